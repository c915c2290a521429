/** @file A Qdrant collection whose points carry `title` and `text`, found by the query's vector. */
import { createHash } from "node:crypto";
import { z } from "zod";
import { SearchError } from "../../base/errors.ts";
import { HttpError } from "../../base/http/http-error.ts";
import { type JsonClient, shownUrl } from "../../base/http/json-client.ts";
import type { Searcher } from "../searcher.ts";
import type { EncodeQueries } from "./embeddings.ts";
import { rankedHits, remoteSearcher } from "./remote-searcher.ts";

const Counted = z.object({ result: z.object({ count: z.int() }) });
const Payload = z.object({
  id: z.union([z.string(), z.int()]).transform(String).optional(),
  title: z.string().default(""),
  text: z.string().default(""),
});
const Point = z.object({ id: z.union([z.string(), z.int()]).transform(String), score: z.number(), payload: Payload });
const Replies = z.object({ result: z.array(z.object({ points: z.array(Point) })) });

export interface QdrantOptions {
  readonly client: JsonClient;
  /** http://host:port */
  readonly url: string;
  readonly collection: string;
  readonly encode: EncodeQueries;
  readonly headers?: Readonly<Record<string, string>>;
}

/** @throws SearchError if the collection does not exist */
export async function openQdrant({ client, url, collection, encode, headers = {} }: QdrantOptions): Promise<Searcher> {
  const place = `${url}/collections/${encodeURIComponent(collection)}`;
  const counted = Counted.safeParse(
    await client.json({ url: `${place}/points/count`, body: { exact: true }, headers }),
  );
  if (!counted.success) {
    throw new SearchError(`${shownUrl(place)} is no Qdrant collection`, {
      hint: "write qdrant+http://host:6333/collection",
    });
  }
  const { count } = counted.data.result;
  const hash = createHash("sha256").update(`${place}\n${count}`).digest("hex");
  return remoteSearcher({
    info: { kind: "qdrant", passages: count, hash, settings: { server: shownUrl(place) } },
    ask: async (queries, k, signal) => {
      const vectors = await encode(queries, signal);
      const searches = vectors.map((query) => ({ query, limit: k, with_payload: ["id", "title", "text"] }));
      const reply = await client.json({ url: `${place}/points/query/batch`, body: { searches }, headers, signal });
      const replies = Replies.safeParse(reply);
      if (!replies.success)
        throw new HttpError(`${shownUrl(place)}: the reply has another shape`, { retryable: false });
      return replies.data.result.map(({ points }) => ({
        ok: true,
        hits: rankedHits(
          points.map(({ id, score, payload }) => ({ ...payload, id: payload.id ?? id, score })),
          k,
        ),
      }));
    },
    close: client.close,
  });
}
