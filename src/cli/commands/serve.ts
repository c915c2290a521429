import { Command, Option } from "@commander-js/extra-typings";
import { ConfigError } from "../../base/errors.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption, searchHelp, searchOption, wholeNumber } from "../options.ts";
import { createOutput } from "../output.ts";

export function command() {
  return new Command("serve").description("Search for other programs, over HTTP or MCP.").addCommand(search());
}

function search() {
  return describedCommand(
    "search",
    "Serve an index to training code: /queries (R1-Searcher), /retrieve (Search-R1, veRL, SkyRL), /search and /batch_search (ReSearch). Ends on SIGTERM.",
    "serve search --index my-index --port 8000",
    "serve search --index my-index --port 5003 --host 0.0.0.0 --token $(openssl rand -hex 16)",
  )
    .option("--index <dir>", "index that answers")
    .option("--search <url>", searchHelp)
    .option("--port <n>", "0 takes a free one", wholeNumber(0), 8000)
    .option("--host <address>", "where to listen; any other than this machine's own wants --token", "127.0.0.1")
    .addOption(new Option("--token <text>", "what clients must send as Authorization: Bearer").env("R1_SEARCHER_TOKEN"))
    .option("--queue <n>", "queries that may wait before requests are sent away", wholeNumber(1), 4096)
    .addOption(jsonOption())
    .action(async ({ port, host, token, queue, json, ...where }) => {
      const output = createOutput({ json });
      const source = searchOption(where);
      if (source === undefined) {
        throw new ConfigError("serve search got neither --index nor --search", {
          hint: "make an index with `r1-searcher index build CORPUS --out DIR`",
        });
      }
      const { runServeSearch } = await import("../../serve/run-serve-search.ts");
      const say = (text: string) => void process.stderr.write(`${text}\n`);
      const totals = await untilInterrupted(
        output,
        (signal) => runServeSearch({ search: source, port, host, token, maxWaiting: queue, signal, say }),
        "stopping: finishing the replies in progress …",
      );
      output.result(totals);
    });
}
