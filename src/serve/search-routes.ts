/** @file The routes of a search server, one for every shape that training code of this field sends. */
import { createRoute, z } from "@hono/zod-openapi";

/** Most passages for one query, most queries of one request, and most passages of one reply. */
export const limits = { k: 100, queries: 4096, passages: 40_960, bodyBytes: 4 << 20 } as const;

const Count = (fallback: number) => z.int().min(1).max(limits.k).default(fallback);
/** A client that leaves a choice open may say so with null. */
const Asked = (fallback: number) => z.preprocess((value) => value ?? undefined, Count(fallback));
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
  400: json("The request is not what was expected", Failure),
  413: json("The request is too large", Failure),
  500: json("Search failed", Failure),
  501: json("Something was asked for that this server does not have", Failure),
  503: json("Too many queries wait; try again after Retry-After seconds", Failure),
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
        .describe("Where single queries fail: name them in errors, instead of failing the request."),
      rerank_topk: z.int().optional().describe("Needs a reranker."),
      topk_rerank: z.int().optional().describe("Needs a reranker."),
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

export const rerankRoute = createRoute({
  method: "post",
  path: "/rerank",
  summary: "Search-R1's reranker; this server has none",
  responses: { 501: json("There is no reranker", Failure) },
});

export const healthRoute = createRoute({
  method: "get",
  path: "/health",
  summary: "Whether it serves, and what",
  responses: {
    200: json(
      "It serves",
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
    503: json("It is about to stop", Failure),
  },
});
