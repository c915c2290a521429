import { Command, Option } from "@commander-js/extra-typings";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption, neededSearch, rerankHelp, searchHelp, wholeNumber } from "../options.ts";
import { createOutput } from "../output.ts";

export function command() {
  return new Command("serve")
    .description("Serve search to other programs, over HTTP or MCP.")
    .addCommand(search())
    .addCommand(mcp());
}

function search() {
  return describedCommand(
    "search",
    "Serve an index to training code: /queries (R1-Searcher), /retrieve (Search-R1, veRL, SkyRL), /search and /batch_search (ReSearch), /rerank. Ends on SIGTERM.",
    "serve search --index my-index --port 8000",
    "serve search --index my-index --port 5003 --host 0.0.0.0 --token $(openssl rand -hex 16)",
  )
    .option("--index <dir>", "index to search")
    .option("--search <url>", searchHelp)
    .option("--port <n>", "0 uses a free port", wholeNumber(0, 65_535), 8000)
    .option("--host <address>", hostHelp, "127.0.0.1")
    .addOption(tokenOption())
    .option("--rerank <dir>", rerankHelp)
    .option("--rerank-depth <n>", "passages of each query that are reranked", wholeNumber(1, 100), 10)
    .option("--queue <n>", "length of the queue of queries; requests beyond it are rejected", wholeNumber(1), 4096)
    .addOption(jsonOption())
    .action(async ({ port, host, token, queue, rerank, rerankDepth, json, ...where }) => {
      const output = createOutput({ json });
      const search = neededSearch("serve search", where);
      const options = { search, rerank, rerankDepth, port, host, token, maxWaiting: queue, say };
      const { runServeSearch } = await import("../../serve/run-serve-search.ts");
      output.result(await untilInterrupted(output, (signal) => runServeSearch({ ...options, signal }), stopping));
    });
}

function mcp() {
  return describedCommand(
    "mcp",
    "Serve the tools search and, with --model, ask over the Model Context Protocol: on stdin and stdout, or with --port over HTTP at /mcp.",
    "serve mcp --index my-index --model runs/my-run",
    "serve mcp --index my-index --port 8001",
  )
    .option("--index <dir>", "index to search")
    .option("--search <url>", searchHelp)
    .option("--model <dir>", "policy of the tool ask: model folder or run folder")
    .option("--rerank <dir>", rerankHelp)
    .option("--port <n>", "serve over HTTP; 0 uses a free port", wholeNumber(0, 65_535))
    .option("--host <address>", hostHelp, "127.0.0.1")
    .addOption(tokenOption())
    .action(async ({ port, host, token, model, rerank, ...where }) => {
      const output = createOutput({ json: true }); // stdout carries the protocol
      const search = { ...neededSearch("serve mcp", where), ...(rerank === undefined ? {} : { rerank }) };
      const options = { search, port, host, token, model, say };
      const { runServeMcp } = await import("../../serve/run-serve-mcp.ts");
      await untilInterrupted(output, (signal) => runServeMcp({ ...options, signal }), stopping);
    });
}

const say = (text: string) => void process.stderr.write(`${text}\n`);
const stopping = "stopping: finishing the replies in progress …";
const hostHelp = "address to listen on; any other than this machine's own needs --token";
const tokenOption = () =>
  new Option("--token <text>", "token that clients must send as Authorization: Bearer").env("R1_SEARCHER_TOKEN");
