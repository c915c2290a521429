/** @file An index of OpenSearch or Elasticsearch whose documents have `title` and `text`. */
import { z } from "zod";
import { SearchError } from "../../base/errors.ts";
import { HttpError } from "../../base/http/http-error.ts";
import { type JsonClient, shownUrl } from "../../base/http/json-client.ts";
import type { QueryResult, Searcher } from "../searcher.ts";
import { rankedHits, remoteSearcher } from "./remote-searcher.ts";

const Count = z.object({ count: z.int() });
const Mapping = z.record(z.string(), z.object({ settings: z.object({ index: z.object({ uuid: z.string() }) }) }));
const Source = z.object({ title: z.string().default(""), text: z.string().default("") });
/** Shards that did not answer; results of the others alone are not an answer. */
const Shards = z.object({ failed: z.int().default(0) }).default({ failed: 0 });
const Found = z.object({
  timed_out: z.boolean().default(false),
  _shards: Shards,
  hits: z.object({ hits: z.array(z.object({ _id: z.string(), _score: z.number().nullable(), _source: Source })) }),
});
const Failed = z.object({
  status: z.int().default(500),
  error: z.object({ reason: z.string().default("no reason given") }),
});
const Replies = z.object({ responses: z.array(z.union([Found, Failed])) });

export interface OpenSearchOptions {
  readonly client: JsonClient;
  /** http://host:port/index */
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** @throws SearchError if the index does not exist */
export async function openOpenSearch({ client, url, headers = {} }: OpenSearchOptions): Promise<Searcher> {
  const read = async <T>(schema: z.ZodType<T>, path: string): Promise<T> => {
    const parsed = schema.safeParse(await client.json({ url: `${url}${path}`, headers }));
    if (parsed.success) return parsed.data;
    throw new SearchError(`${shownUrl(url)} is no OpenSearch index`, {
      hint: "write opensearch+http://host:9200/index",
    });
  };
  const { count } = await read(Count, "/_count");
  const uuids = Object.values(await read(Mapping, "/_settings")).map(({ settings }) => settings.index.uuid);
  return remoteSearcher({
    info: {
      kind: "opensearch",
      passages: count,
      hash: `${uuids.sort().join()}:${count}`,
      settings: { server: shownUrl(url) },
    },
    ask: async (queries, k, signal) => {
      const lines = queries.flatMap((query) => [{}, searchOf(query, k)]);
      const replies = Replies.safeParse(await client.json({ url: `${url}/_msearch`, lines, headers, signal }));
      if (replies.success) return replies.data.responses.map((reply) => resultOf(reply, k));
      throw new HttpError(`${shownUrl(url)}: the reply has another shape`, { retryable: false });
    },
    close: client.close,
  });
}

/** Matches any word in either field; equal scores are ordered by id, so that a repeated query gives the same result. */
const searchOf = (query: string, k: number) => ({
  size: k,
  _source: ["title", "text"],
  query: { multi_match: { query, fields: ["title", "text"], type: "cross_fields", operator: "or" } },
  sort: ["_score", { _id: "asc" }],
  track_scores: true,
});

function resultOf(reply: z.infer<typeof Found> | z.infer<typeof Failed>, k: number): QueryResult {
  if ("error" in reply) {
    const retryable = reply.status === 429 || reply.status >= 500;
    return { ok: false, error: { message: `OpenSearch: ${reply.error.reason}`, retryable } };
  }
  if (reply.timed_out || reply._shards.failed > 0) {
    const message = `OpenSearch: ${reply.timed_out ? "it ran out of time" : `${reply._shards.failed} shards failed`}`;
    return { ok: false, error: { message, retryable: true } };
  }
  const found = reply.hits.hits.map(({ _id, _score, _source }) => ({ id: _id, score: _score ?? 0, ..._source }));
  return { ok: true, hits: rankedHits(found, k) };
}
