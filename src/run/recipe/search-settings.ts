/** @file What a recipe says of search. */
import { z } from "zod";
import { ConfigError } from "../../base/errors.ts";
import { webModes } from "../../search/web/web-modes.ts";

const BudgetConfig = z.strictObject({
  calls: z.int().min(0).optional().describe("Queries that may be asked in one go of the program."),
  money: z.number().min(0).optional().describe("What they may cost in all; needs costPerCall."),
  costPerCall: z.number().positive().optional().describe("In the unit of money."),
});

const DigestConfig = z.strictObject({
  url: z.string().describe("Of a server with OpenAI's /v1/chat/completions, up to and with /v1."),
  model: z.string(),
});

/** For `source: web`. Keys of providers come from the environment. */
const webKeys = {
  provider: z.string().optional().describe("serper, tavily, brave, searxng or wikipedia."),
  mode: z
    .enum(webModes)
    .optional()
    .describe("snippets as the provider shows, the best stretch of each of its pages (default), or r1-searcher."),
  site: z.string().optional().describe("Only pages of this host."),
  digest: DigestConfig.optional().describe("A model that reads pages; else the stretch with most words of the query."),
  allowAddresses: z
    .array(z.string())
    .optional()
    .describe("Pages may lie there although it is not the public internet: 10.1.0.0/16."),
} as const;

export const SearchConfig = z.strictObject({
  source: z
    .enum(["world", "index", "corpus", "http", "web"])
    .default("world")
    .describe(
      "The worlds' own passages, an index that was built, a corpus file to index at start, a server, or the live web.",
    ),
  path: z.string().optional().describe("Of the index or corpus."),
  encoder: z
    .string()
    .optional()
    .describe("Folder or address of a dense index's encoder, where it is not where it was when the index was built."),
  url: z
    .string()
    .optional()
    .describe(
      "Of the server: http://host:port/retrieve or another dialect, opensearch+http, qdrant+http, pgvector. For web: in place of the provider's own.",
    ),
  ...webKeys,
  rerank: z
    .string()
    .optional()
    .describe("Folder of a cross-encoder that reads the best passages of each query again and orders them."),
  rerankDepth: z.int().min(1).max(100).optional().describe("How many it reads (default 10), or as many as are shown."),
  timeoutMs: z.int().min(1).default(30_000).describe("For one exchange with a server."),
  attempts: z.int().min(1).default(4).describe("Tries of a query at a server, while the failures may pass."),
  perSecond: z.number().positive().optional().describe("Most queries a second."),
  concurrency: z.int().min(1).optional().describe("Most searches at once."),
  budget: BudgetConfig.optional().describe("Beyond it no query is asked."),
  cache: z.string().optional().describe("File of answers; what it holds is not asked again."),
  record: z.string().optional().describe("File that keeps the outcome of every query, for replay."),
  replay: z.string().optional().describe("File of a recording that answers alone; nothing is asked."),
  stopAfterEmptySteps: z
    .int()
    .min(0)
    .default(5)
    .describe(
      "Steps in a row whose searches all found nothing before the run stops, if the questions themselves find nothing either; 0 is never.",
    ),
});
export type SearchConfig = z.infer<typeof SearchConfig>;

/** What is wrong among the keys, in words; undefined where nothing is. */
export function searchComplaint(search: SearchConfig): string | undefined {
  const { source, path, url, budget, cache, record, replay } = search;
  if (search.rerankDepth !== undefined && search.rerank === undefined)
    return "search.rerankDepth is given without search.rerank";
  if ((source === "index" || source === "corpus") && path === undefined) {
    return `search.path is missing: search.source is ${source}`;
  }
  if (source === "http" && url === undefined) return "search.url is missing: search.source is http";
  if (source === "web" && search.provider === undefined) return "search.provider is missing: search.source is web";
  const stray = (Object.keys(webKeys) as (keyof typeof webKeys)[]).find((key) => search[key] !== undefined);
  if (source !== "web" && stray !== undefined) return `search.${stray} is given, but search.source is ${source}`;
  if (source !== "http" && source !== "web" && url !== undefined)
    return `search.url is given, but search.source is ${source}`;
  if ((budget?.money === undefined) !== (budget?.costPerCall === undefined)) {
    return "search.budget.money and search.budget.costPerCall need each other";
  }
  const files = Object.entries({ cache, record, replay }).filter(([, file]) => file !== undefined);
  if (files.length > 1)
    return `search.${files.map(([name]) => name).join(" and search.")} are given: expected one of them`;
  return undefined;
}

/** Passwords in addresses end up in recipes and logs. @throws ConfigError */
export function checkNoPassword(url: string): void {
  if (!URL.canParse(url) || new URL(url).password === "") return;
  throw new ConfigError("the address of search holds a password", {
    hint: "give it by environment: PGPASSWORD for PostgreSQL, R1_SEARCHER_TOKEN for a search server",
  });
}
