/** @file From an address to a searcher in another process. Keys come from the environment. */

import { ConfigError } from "../../base/errors.ts";
import { type JsonClient, jsonClient } from "../../base/http/json-client.ts";
import { withoutSlashes } from "../../base/without-slashes.ts";
import { type EncodeQueries, openAiEmbeddings } from "../../search/remote/embeddings.ts";
import { openHttpSearch } from "../../search/remote/http.ts";
import { openOpenSearch } from "../../search/remote/opensearch.ts";
import { openPostgres } from "../../search/remote/postgres.ts";
import { openQdrant } from "../../search/remote/qdrant.ts";
import type { Searcher } from "../../search/searcher.ts";
import { checkNoPassword } from "../recipe/search-settings.ts";

/**
 * The scheme decides: pgvector and postgresql, opensearch+http, qdrant+http, or one of the HTTP dialects.
 *
 * @throws ConfigError on an address that says too little, SearchError where nothing answers
 */
export async function openUrl(url: string, timeoutMs: number): Promise<Searcher> {
  checkNoPassword(url);
  const scheme = /^([a-z0-9+-]+):/i.exec(url)?.[1]?.toLowerCase() ?? "";
  if (["pgvector", "postgres", "postgresql"].includes(scheme)) return openTable(url, scheme === "pgvector", timeoutMs);
  if (scheme.startsWith("opensearch+")) {
    addressOf(url, url.slice("opensearch+".length));
    const { OPENSEARCH_USERNAME: user, OPENSEARCH_PASSWORD: password } = process.env;
    const basic = Buffer.from(`${user}:${password}`).toString("base64");
    return withClient(jsonClient({ timeoutMs }), (client) =>
      openOpenSearch({
        client,
        url: withoutSlashes(url.slice("opensearch+".length)),
        headers: user === undefined ? {} : { authorization: `Basic ${basic}` },
      }),
    );
  }
  if (scheme.startsWith("qdrant+")) return openCollection(url, timeoutMs);
  return openHttpSearch(url, { timeoutMs, token: process.env.R1_SEARCHER_TOKEN });
}

/** @param given the whole address, for the message. PostgreSQL may have no host: a local socket, or PGHOST. */
function addressOf(given: string, address: string): URL {
  const place = URL.canParse(address) ? new URL(address) : undefined;
  if (place !== undefined && (place.host !== "" || !place.protocol.startsWith("http"))) return place;
  throw new ConfigError(`the search address ${given} cannot be used`, {
    hint: "write it as scheme://host:port/name, with a port of at most 65535",
  });
}

function decoded(given: string, name: string): string {
  try {
    return decodeURIComponent(name);
  } catch (cause) {
    throw new ConfigError(`the search address ${given} has a % that begins no character`, {
      hint: "write a % itself as %25",
      cause,
    });
  }
}

/** The client ends with the searcher, or at once where that cannot be opened. */
async function withClient(client: JsonClient, open: (client: JsonClient) => Promise<Searcher>): Promise<Searcher> {
  try {
    const searcher = await open(client);
    const close = async () => {
      await searcher.close();
      await client.close();
    };
    return { ...searcher, close };
  } catch (cause) {
    await client.close();
    throw cause;
  }
}

function openCollection(url: string, timeoutMs: number): Promise<Searcher> {
  const place = addressOf(url, url.slice("qdrant+".length));
  const collection = decoded(url, place.pathname.slice(1));
  const { QDRANT_API_KEY: key } = process.env;
  return withClient(jsonClient({ timeoutMs }), async (client) => {
    const encode = encoderOf(place, client);
    if (encode === undefined)
      throw new ConfigError(`${place.origin}: Qdrant is asked by vector`, { hint: embeddingsHint });
    return openQdrant({
      client,
      url: place.origin,
      collection,
      encode,
      headers: key === undefined ? {} : { "api-key": key },
    });
  });
}

function openTable(url: string, byVector: boolean, timeoutMs: number): Promise<Searcher> {
  const place = addressOf(url, url);
  return withClient(jsonClient({ timeoutMs }), async (client) => {
    const encode = byVector ? encoderOf(place, client) : undefined;
    if (byVector && encode === undefined) {
      throw new ConfigError(`pgvector://${place.host} is asked by vector`, {
        hint: `${embeddingsHint}; or write postgresql:// to search by words`,
      });
    }
    const table = place.searchParams.get("table") ?? "passages";
    for (const name of ["table", "embeddings", "model", "prefix"]) place.searchParams.delete(name);
    return openPostgres({ url: place.href.replace(/^\w+:/, "postgresql:"), table, encode, timeoutMs });
  });
}

const embeddingsHint = "add ?embeddings=http://host:port/v1&model=NAME, a server with OpenAI's /v1/embeddings";

function encoderOf({ searchParams }: URL, client: JsonClient): EncodeQueries | undefined {
  const [url, model] = [searchParams.get("embeddings"), searchParams.get("model")];
  if (url === null || model === null) return undefined;
  return openAiEmbeddings({
    client,
    url,
    model,
    prefix: searchParams.get("prefix") ?? undefined,
    key: process.env.OPENAI_API_KEY,
  });
}
