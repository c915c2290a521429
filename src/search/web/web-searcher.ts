/**
 * @file Search on the live web: a provider finds links, a reader fetches pages, a digest picks what is relevant to the
 * query.
 */
import { createHash } from "node:crypto";
import { ZodError } from "zod";
import { HttpError } from "../../base/http/http-error.ts";
import { type JsonClient, shownUrl } from "../../base/http/json-client.ts";
import type { Passage } from "../../protocol/passage.ts";
import { rankedHits, remoteSearcher } from "../remote/remote-searcher.ts";
import type { QueryResult, Searcher } from "../searcher.ts";
import {
  firstWorthReading,
  originalLinks,
  originalQuery,
  originalSite,
  PagesUnread,
  type ReadParts,
} from "./original-order.ts";
import type { PageResult } from "./page.ts";
import type { WebProvider, WebResult } from "./provider.ts";
import type { WebMode } from "./web-modes.ts";

export interface WebSearcherOptions extends ReadParts {
  readonly provider: WebProvider;
  readonly client: JsonClient;
  /** The provider's address, or one that replaces it. */
  readonly address: string;
  readonly key?: string | undefined;
  /** Keys of the provider and the digest model, which no message may contain. */
  readonly secrets: readonly string[];
  readonly mode: WebMode;
  /** Restricts results to this host. */
  readonly site?: string | undefined;
  /** The digest method, which is part of the searcher's identity. */
  readonly digestName: string;
}

export interface WebSearcher extends Searcher {
  /** Pages read and failed since the last call. */
  take(): Record<string, number>;
}

export function webSearcher(options: WebSearcherOptions): WebSearcher {
  const { provider, client, address, mode, reader, digestName } = options;
  const site = options.site ?? (mode === "r1-searcher" && provider.name !== "wikipedia" ? originalSite : undefined);
  const settings = { provider: provider.name, address: shownUrl(address), mode, site: site ?? "", digest: digestName };
  const hash = createHash("sha256").update(Object.values(settings).join("\n")).digest("hex");
  const searcher = remoteSearcher({
    info: { kind: `web:${provider.name}`, passages: undefined, hash, settings },
    ask: (queries, k, signal) => Promise.all(queries.map((query) => answer({ ...options, site }, query, k, signal))),
    async close() {
      await Promise.all([client.close(), reader.close()]);
    },
  });
  return { ...searcher, take: reader.take };
}

async function answer(
  options: WebSearcherOptions,
  query: string,
  k: number,
  signal?: AbortSignal,
): Promise<QueryResult> {
  const isOriginal = options.mode === "r1-searcher";
  try {
    const results = await find(
      options,
      isOriginal ? originalQuery(query) : query,
      isOriginal ? originalLinks : k,
      signal,
    );
    const passages = await read(options, query, results.slice(0, isOriginal ? originalLinks : k), signal);
    // providers rank results but give no scores
    return {
      ok: true,
      hits: rankedHits(
        passages.map((passage, i) => ({ ...passage, score: 1 / (i + 1) })),
        k,
      ),
    };
  } catch (cause) {
    signal?.throwIfAborted();
    if (!(cause instanceof HttpError || cause instanceof PagesUnread)) throw cause;
    const retryAfterMs = cause instanceof HttpError ? cause.retryAfterMs : undefined;
    const message = without(options.secrets, cause.message);
    const error = { message, retryable: cause.retryable, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
    return { ok: false, error };
  }
}

async function find(
  { provider, client, address, key, site }: WebSearcherOptions,
  query: string,
  count: number,
  signal: AbortSignal | undefined,
): Promise<readonly WebResult[]> {
  const reply = await client.json({ ...provider.request({ query, count, site, address, key }), signal });
  try {
    const isNew = (url: string, i: number, all: readonly WebResult[]) => all.findIndex((one) => one.url === url) === i;
    return provider.read(reply).filter(({ url }, i, all) => URL.canParse(url) && isNew(url, i, all));
  } catch (cause) {
    if (!(cause instanceof ZodError)) throw cause;
    const where = cause.issues[0]?.path.join(".") || "the reply";
    throw new HttpError(`${provider.name}: the reply has another shape (${where})`, { retryable: false });
  }
}

/** A provider's error text may repeat the key, so it is removed. */
const without = (secrets: readonly string[], message: string) =>
  secrets.reduce((text, secret) => (secret === "" ? text : text.replaceAll(secret, "***")), message);

async function read(
  options: WebSearcherOptions,
  query: string,
  results: readonly WebResult[],
  signal: AbortSignal | undefined,
): Promise<readonly Passage[]> {
  if (options.mode === "snippets") return results.map(passageOf);
  if (options.mode === "r1-searcher") return firstWorthReading(query, results, options, signal);
  const best = await Promise.all(results.map((result) => bestOf(options, query, result, signal)));
  const failures = best.flatMap(({ reply }) => (reply.ok ? [] : [reply]));
  const passages = best.flatMap(({ passage }) => passage ?? []);
  if (passages.length === 0 && failures.length > 0) throw new PagesUnread(failures);
  return passages;
}

const passageOf = ({ url, title, snippet }: WebResult): Passage => ({ id: url, title, text: snippet });

/** The best window of the page; the provider's snippet if the page cannot be read or has less. */
async function bestOf(
  { reader, digest }: WebSearcherOptions,
  query: string,
  result: WebResult,
  signal: AbortSignal | undefined,
): Promise<{ readonly reply: PageResult; readonly passage?: Passage }> {
  const reply = await reader.read(result.url, "article", signal);
  const text = reply.ok ? await digest(query, reply.page.text.slice(0, mostCharacters), signal) : undefined;
  if (reply.ok && text !== undefined)
    return { reply, passage: { id: result.url, title: result.title || reply.page.title, text } };
  return result.snippet === "" ? { reply } : { reply, passage: passageOf(result) };
}

/** Limit per page; text relevant to a query comes before it. */
const mostCharacters = 200_000;
