/** @file Gets vectors of queries from any server with OpenAI's `/v1/embeddings`. */

import { z } from "zod";
import { HttpError } from "../../base/http/http-error.ts";
import { type JsonClient, shownUrl } from "../../base/http/json-client.ts";
import { withoutSlashes } from "../../base/without-slashes.ts";

/** One vector for each query, in order. */
export type EncodeQueries = (
  queries: readonly string[],
  signal?: AbortSignal,
) => Promise<readonly (readonly number[])[]>;

export interface EmbeddingsOptions {
  readonly client: JsonClient;
  /** The base URL, ending in /v1. */
  readonly url: string;
  readonly model: string;
  /** Put before each query, as the model card says. */
  readonly prefix?: string | undefined;
  readonly key?: string | undefined;
}

const Reply = z.object({ data: z.array(z.object({ index: z.int(), embedding: z.array(z.number()) })) });

export function openAiEmbeddings({ client, url, model, prefix = "", key }: EmbeddingsOptions): EncodeQueries {
  const place = `${withoutSlashes(url)}/embeddings`;
  return async (queries, signal) => {
    const body = { model, input: queries.map((query) => prefix + query), encoding_format: "float" };
    const headers: Record<string, string> = key === undefined ? {} : { authorization: `Bearer ${key}` };
    const reply = Reply.safeParse(await client.json({ url: place, body, headers, signal }));
    const byIndex = new Map(reply.data?.data.map(({ index, embedding }) => [index, embedding]));
    return queries.map((_, i) => {
      const vector = byIndex.get(i);
      if (vector?.length) return vector;
      throw new HttpError(`${shownUrl(place)}: no vector for query ${i + 1} of ${queries.length}`, {
        retryable: false,
      });
    });
  };
}
