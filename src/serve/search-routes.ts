/** @file The routes of a search server, one for every request format that training code of this field uses. */
import { createRoute, z } from "@hono/zod-openapi";
import { documentsFault } from "./bounded-json.ts";

/**
 * Limits: passages per query, queries per request, passages per reply, passages that one request has reranked, bytes
 * and JSON values of a body.
 */
export const limits = {
  k: 100,
  queries: 4096,
  passages: 40_960,
  reranked: 4096,
  bodyBytes: 4 << 20,
  bodyValues: 1 << 17,
} as const;

const Count = (fallback: number) => z.int().min(1).max(limits.k).default(fallback);
/** A client may send null for an option that it leaves open. */
const Asked = (fallback: number) => z.preprocess((value) => value ?? undefined, Count(fallback));
const Chosen = z.int().min(1).max(limits.k).nullish();
const Queries = z.array(z.string()).max(limits.queries);

const Document = z.object({ id: z.string(), contents: z.string(), title: z.string(), text: z.string() });
const Scored = z.object({ document: Document, score: z.number() });
const Failure = z.object({ error: z.string() });
const QueryFailure = z.object({ message: z.string(), retryable: z.boolean() });

const json = <Schema extends z.ZodType>(description: string, schema: Schema) => ({
  description,
  content: { "application/json": { schema } },
});

const failures = {
  400: json("The request is invalid", Failure),
  413: json("The request is too large", Failure),
  500: json("Search failed", Failure),
  501: json("The request needs something that this server does not have", Failure),
  503: json("The queue is full; try again after Retry-After seconds", Failure),
};

const post = <Path extends string, Body extends z.ZodType, Reply extends z.ZodType>(
  path: Path,
  summary: string,
  body: Body,
  reply: Reply,
) =>
  createRoute({
    method: "post",
    path,
    summary,
    request: { body: { required: true, content: { "application/json": { schema: body } } } },
    responses: { 200: json("Passages", reply), ...failures },
  });

export const queriesRoute = post(
  "/queries",
  "R1-Searcher: each passage is one line, id, tab, title and text",
  z.object({ queries: Queries, k: Asked(3) }),
  z.object({ queries: z.array(z.string()), answers: z.array(z.array(z.string())) }),
);

export const retrieveRoute = post(
  "/retrieve",
  "Search-R1, veRL and ASearcher (queries), SkyRL (query)",
  z
    .object({
      queries: Queries.optional(),
      query: z.string().optional(),
      topk: Asked(3),
      return_scores: z.boolean().default(false),
      partial: z
        .boolean()
        .default(false)
        .describe("If single queries fail, list them in errors instead of failing the request."),
      topk_retrieval: Chosen.describe("Passages that are reranked; needs a reranker."),
      topk_rerank: Chosen.describe("Passages returned after reranking, instead of topk; needs a reranker."),
      rerank_topk: Chosen.describe("The same as rerank_topk."),
    })
    .refine(({ queries, query }) => (queries === undefined) !== (query === undefined), {
      error: "expected queries or query",
      path: ["queries"],
    }),
  z.object({
    result: z.array(z.array(z.union([Scored, Document]))),
    errors: z.array(QueryFailure.nullable()).optional(),
  }),
);

const ResearchBody = { top_n: Asked(10), return_score: z.boolean().default(false) };
const ResearchDocument = z.object({ id: z.string(), contents: z.string() });

export const searchRoute = post(
  "/search",
  "ReSearch: one query",
  z.object({ query: z.string(), ...ResearchBody }),
  z.union([z.array(ResearchDocument), z.tuple([z.array(ResearchDocument), z.array(z.number())]).readonly()]),
);

export const batchSearchRoute = post(
  "/batch_search",
  "ReSearch: many queries",
  z.object({ query: Queries, ...ResearchBody }),
  z.union([
    z.array(z.array(ResearchDocument)),
    z.tuple([z.array(z.array(ResearchDocument)), z.array(z.array(z.number()))]).readonly(),
  ]),
);

const Given = z.object({
  id: z.union([z.string(), z.int()]).nullish(),
  contents: z.string().nullish(),
  title: z.string().nullish(),
  text: z.string().nullish(),
});
const Worded = Given.refine(({ contents, text }) => typeof contents === "string" || typeof text === "string", {
  error: "expected contents, or title and text",
});

const GivenLists = z.array(
  z.array(z.union([z.object({ document: Worded }), Worded.transform((document) => ({ document }))])),
);
/** Counts first, and stops at the first fault; only documents that passed reach the schema. */
const Documents = z.preprocess((value, context) => {
  const fault = documentsFault(value, limits.reranked);
  if (fault !== undefined) context.addIssue({ code: "custom", ...fault });
  return value;
}, GivenLists);

export const rerankRoute = post(
  "/rerank",
  "Search-R1: reranks the documents of each query, in the format of /retrieve",
  z
    .object({
      queries: Queries,
      documents: Documents,
      rerank_topk: Asked(3),
      return_scores: z.boolean().default(false),
    })
    .refine(({ queries, documents }) => queries.length === documents.length, {
      error: "expected one list for each query",
      path: ["documents"],
    }),
  z.object({ result: z.array(z.array(z.union([z.object({ document: Given, score: z.number() }), Given]))) }),
);

export const healthRoute = createRoute({
  method: "get",
  path: "/health",
  summary: "Whether the server is ready, and what it searches",
  responses: {
    200: json(
      "It is ready",
      z.object({
        status: z.literal("healthy"),
        retrievers: z.object({ total: z.number(), available: z.number() }),
        searcher: z.object({
          kind: z.string(),
          passages: z.number().optional(),
          hash: z.string(),
          settings: z.record(z.string(), z.union([z.string(), z.number()])),
        }),
      }),
    ),
    503: json("It is stopping", Failure),
  },
});
