/** @file The search settings of a recipe. */
import { z } from "zod";
import { ConfigError } from "../../base/errors.ts";
import { webModes } from "../../search/web/web-modes.ts";

const BudgetConfig = z.strictObject({
  calls: z.int().min(0).optional().describe("Maximum number of queries in one call of the program."),
  money: z.number().min(0).optional().describe("Their maximum total cost; needs costPerCall."),
  costPerCall: z.number().positive().optional().describe("Cost of one query, in the unit of money."),
});

const DigestConfig = z.strictObject({
  url: z.string().describe("Base URL of a server with OpenAI's /v1/chat/completions, ending in /v1."),
  model: z.string(),
});

/** For `source: web`. API keys come from the environment. */
const webKeys = {
  provider: z.string().optional().describe("serper, tavily, brave, searxng or wikipedia."),
  mode: z
    .enum(webModes)
    .optional()
    .describe(
      "snippets: the provider's; pages: the most relevant part of each page (default); r1-searcher: as in that paper's online evaluation.",
    ),
  site: z.string().optional().describe("Only pages of this host."),
  digest: DigestConfig.optional().describe(
    "A model that summarises pages; without it, the part with most words of the query is used.",
  ),
  allowAddresses: z
    .array(z.string())
    .optional()
    .describe("Address ranges outside the public internet from which pages may be fetched, for example 10.1.0.0/16."),
} as const;

export const SearchConfig = z.strictObject({
  source: z
    .enum(["world", "index", "corpus", "http", "web"])
    .default("world")
    .describe(
      "The worlds' own passages, an index that was built, a corpus file to index at start, a server, or the live web.",
    ),
  path: z.string().optional().describe("Path of the index or corpus."),
  encoder: z
    .string()
    .optional()
    .describe("Folder or address of a dense index's encoder, if it has moved since the index was built."),
  url: z
    .string()
    .optional()
    .describe(
      "Address of the server: http://host:port/retrieve or another dialect, opensearch+http, qdrant+http, pgvector. For web: replaces the provider's own.",
    ),
  ...webKeys,
  rerank: z.string().optional().describe("Folder of a cross-encoder that reranks the best passages of each query."),
  rerankDepth: z
    .int()
    .min(1)
    .max(100)
    .optional()
    .describe("How many passages it reranks (default 10), or as many as are shown if that is more."),
  timeoutMs: z.int().min(1).max(2_147_483_647).default(30_000).describe("Time limit of one request to a server."),
  attempts: z
    .int()
    .min(1)
    .default(4)
    .describe("Total number of tries of a query at a server, if the failures may be temporary."),
  perSecond: z.number().positive().optional().describe("Maximum number of queries per second."),
  concurrency: z.int().min(1).max(65_536).optional().describe("Maximum number of simultaneous searches."),
  budget: BudgetConfig.optional().describe("When it is used up, no further query is sent."),
  cache: z.string().optional().describe("Cache file of answers; queries that it contains are not sent again."),
  record: z.string().optional().describe("File that records the outcome of every query, for replay."),
  replay: z.string().optional().describe("File of a recording that answers all queries; no server is asked."),
  stopAfterEmptySteps: z
    .int()
    .min(0)
    .default(5)
    .describe(
      "The run stops after this many consecutive steps whose searches all found nothing, if the questions themselves find nothing either; 0 is never.",
    ),
});
export type SearchConfig = z.infer<typeof SearchConfig>;

/** A message about inconsistent keys; undefined if they are consistent. */
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

/** A password in an address would end up in recipes and logs. @throws ConfigError */
export function checkNoPassword(url: string): void {
  if (!URL.canParse(url) || new URL(url).password === "") return;
  throw new ConfigError("the address of search holds a password", {
    hint: "give it by environment: PGPASSWORD for PostgreSQL, R1_SEARCHER_TOKEN for a search server",
  });
}
