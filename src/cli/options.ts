import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import { ConfigError } from "../base/errors.ts";
import { isWebMode, type WebMode, webModes } from "../search/web/web-modes.ts";

/** The option every command has. */
export const jsonOption = () =>
  new Option("--json", "print one JSON object on the last line of stdout, words on stderr");

export const promptHelp =
  "how the question is put to the policy: nano, base, chat, examples, or a template file (default: as in its training; chat or base for other models)";

export const adapterHelp =
  "PEFT folder of an adapter for the model, or the run that trained one (such a run uses its own by default)";

/** A command with its description, its example and `--json`. */
export function describedCommand(name: string, description: string, ...examples: readonly string[]) {
  const shown = examples.map((example) => `\n  $ r1-searcher ${example}`).join("");
  return new Command(name)
    .description(description)
    .addHelpText("after", `\n${examples.length > 1 ? "Examples" : "Example"}:${shown}`);
}

/** Parses an integer of at least `least`, and at most `most` if that is given. */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text.trim()) || !(value >= least && value <= most)) {
      const upTo = most === Number.MAX_SAFE_INTEGER ? "" : `, at most ${most}`;
      throw new InvalidArgumentError(`Give a whole number, at least ${least}${upTo}.`);
    }
    return value;
  };
}

/** Repeatable `--set key=value`. */
export function assignment(text: string, before: readonly string[] = []): readonly string[] {
  if (!/^[^=\s]+=/.test(text))
    throw new InvalidArgumentError("Write it as key=value, for example optimizer.learningRate=0.0003.");
  return [...before, text];
}

/** The searcher from `--index` and `--search`. @throws ConfigError if both are given */
export function searchOption({
  index,
  search,
}: {
  readonly index?: string | undefined;
  readonly search?: string | undefined;
}):
  | { readonly source: "index"; readonly path: string }
  | { readonly source: "http"; readonly url: string }
  | WebSource
  | undefined {
  if (index !== undefined && search !== undefined) {
    throw new ConfigError("--index and --search are both given", { hint: "give the one that should answer" });
  }
  if (index !== undefined) return { source: "index", path: index };
  if (search === undefined) return undefined;
  return search.startsWith("web:") ? webSource(search) : { source: "http", url: search };
}

interface WebSource {
  readonly source: "web";
  readonly provider: string;
  readonly mode?: WebMode;
  readonly site?: string;
  readonly url?: string;
}

/** Parses `web:serper?mode=r1-searcher&site=…` into the keys that a recipe has under `search`. */
function webSource(text: string): WebSource {
  const [, provider = "", rest = ""] = /^web:([^?]*)\??(.*)$/s.exec(text)!;
  const given = Object.fromEntries(new URLSearchParams(rest));
  const { mode, site, url, ...unknown } = given;
  const [stray] = Object.keys(unknown);
  if (provider === "" || stray !== undefined) {
    throw new ConfigError(
      stray === undefined ? "--search web: names no provider" : `--search web: unknown option ${stray}`,
      {
        hint: "write web:serper, or web:serper?mode=r1-searcher&site=HOST&url=ADDRESS; a recipe also takes digest",
      },
    );
  }
  if (mode !== undefined && !isWebMode(mode)) {
    throw new ConfigError(`--search ${text} has mode "${mode}"`, { hint: `modes: ${webModes.join(", ")}` });
  }
  return {
    source: "web",
    provider,
    ...(mode === undefined ? {} : { mode }),
    ...(site === undefined ? {} : { site }),
    ...(url === undefined ? {} : { url }),
  };
}

/** The same, for a command that requires a searcher. */
export function neededSearch(command: string, where: Parameters<typeof searchOption>[0]) {
  const search = searchOption(where);
  if (search) return search;
  throw new ConfigError(`${command} got neither --index nor --search`, {
    hint: "make an index with `r1-searcher index build CORPUS --out DIR`",
  });
}

/** The searcher of an evaluation, with its recording and budget; undefined if none is given. */
export function measuredSearch(given: {
  readonly index?: string | undefined;
  readonly search?: string | undefined;
  readonly record?: string | undefined;
  readonly replay?: string | undefined;
  readonly searchBudget?: number | undefined;
  readonly rerank?: string | undefined;
}) {
  const { record, replay, searchBudget, rerank } = given;
  const where = searchOption(given) ?? (replay === undefined ? undefined : {});
  if (where === undefined) return undefined;
  return {
    ...where,
    ...(record === undefined ? {} : { record }),
    ...(replay === undefined ? {} : { replay }),
    ...(rerank === undefined ? {} : { rerank }),
    ...(searchBudget === undefined ? {} : { budget: { calls: searchBudget } }),
  };
}

export const rerankHelp = "folder of a cross-encoder (BERT family, ONNX) that reranks the best passages";

/** Help for every `--search`. */
export const searchHelp =
  "server that answers: http://host:port/retrieve or another dialect, opensearch+http://…, qdrant+http://…, pgvector://…; or the web: web:serper, web:tavily, web:brave, web:searxng?url=…, web:wikipedia";
