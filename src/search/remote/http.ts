/** @file A search server over HTTP, with the protocol ("dialect") that its address names. */

import { createHash } from "node:crypto";
import { z } from "zod";
import { ConfigError, messageOf, SearchError } from "../../base/errors.ts";
import { HttpError } from "../../base/http/http-error.ts";
import { type JsonClient, jsonClient, shownUrl } from "../../base/http/json-client.ts";
import { withoutSlashes } from "../../base/without-slashes.ts";
import type { QueryResult, Searcher, SearcherInfo } from "../searcher.ts";
import { type Dialect, type DialectName, dialects } from "./dialects.ts";
import { failedQueries, remoteSearcher } from "./remote-searcher.ts";

export interface HttpSearchOptions {
  /** Time limit for one request. */
  readonly timeoutMs?: number;
  readonly token?: string | undefined;
}

/** Queries per request; other programs' servers set no limit, that of this program is larger. */
const mostQueries = 256;

interface Place {
  readonly dialect: DialectName;
  /** Without the path of the dialect. */
  readonly base: string;
}

/**
 * The dialect is the last part of the address (/queries, /retrieve, /search or /batch_search), or its prefix as in
 * skyrl+http://. An address without either is a server of this program.
 *
 * @throws ConfigError on an address with an unknown dialect, SearchError if nothing answers there
 */
export async function openHttpSearch(address: string, options: HttpSearchOptions = {}): Promise<Searcher> {
  const place = placeOf(address);
  const client = jsonClient({
    timeoutMs: options.timeoutMs ?? 30_000,
    headers: options.token === undefined ? {} : { authorization: `Bearer ${options.token}` },
  });
  try {
    const dialect: Dialect = dialects[place.dialect];
    const info = await infoOf(place, client);
    return remoteSearcher({
      info,
      ask: (queries, k, signal) => askAll(client, `${place.base}${dialect.path}`, { dialect, queries, k, signal }),
      close: client.close,
    });
  } catch (cause) {
    await client.close();
    throw cause;
  }
}

function placeOf(address: string): Place {
  const [, prefix, rest] = /^(?:([a-z0-9-]+)\+)?(https?:\/\/.*)$/s.exec(address) ?? [];
  if (rest === undefined || !URL.canParse(rest)) {
    throw new ConfigError(`${address} is no address of a search server`, {
      hint: "write it as http://host:port/retrieve",
    });
  }
  if (prefix !== undefined && !Object.hasOwn(dialects, prefix)) {
    throw new ConfigError(`${shownUrl(address)}: there is no dialect "${prefix}"`, {
      hint: `dialects: ${Object.keys(dialects).join(", ")}`,
    });
  }
  const { origin, pathname, search, username } = new URL(rest);
  if (search !== "" || username !== "") {
    throw new ConfigError(`${shownUrl(rest)}: an address of a search server has no user and nothing after a ?`, {
      hint: "give a token as R1_SEARCHER_TOKEN",
    });
  }
  const [path, dialectOfPath] = Object.entries(dialectPaths).find(([ending]) => pathname.endsWith(ending)) ?? [
    "",
    undefined,
  ];
  const bare = withoutSlashes(pathname.slice(0, pathname.length - path.length));
  return { base: `${origin}${bare}`, dialect: (prefix as DialectName | undefined) ?? dialectOfPath ?? "search-r1" };
}

const dialectPaths: Readonly<Record<string, DialectName>> = {
  "/queries": "r1-searcher",
  "/retrieve": "search-r1",
  "/batch_search": "research",
  "/search": "research",
};

const Health = z.object({
  searcher: z.object({
    kind: z.string(),
    passages: z.int().optional(),
    hash: z.string(),
    settings: z.record(z.string(), z.union([z.string(), z.number()])),
  }),
});

/** A server of this program describes what it searches; others are identified by their address only. */
async function infoOf({ base, dialect }: Place, client: JsonClient): Promise<SearcherInfo> {
  let health: unknown;
  try {
    health = await client.json({ url: `${base}/health` });
  } catch (cause) {
    if (!(cause instanceof HttpError)) throw cause;
    if (cause.status === 401 || cause.status === 403) {
      throw new SearchError(cause.message, { hint: "give the server's token as R1_SEARCHER_TOKEN", cause });
    }
    if (cause.status === undefined) {
      const hint = "start it, for example with `r1-searcher serve search --index DIR`, or correct the address";
      throw new SearchError(`the search server does not answer: ${messageOf(cause)}`, { hint, cause });
    }
  }
  const ours = Health.safeParse(health);
  if (ours.success) {
    const { kind, passages, hash, settings } = ours.data.searcher;
    return { kind, passages, hash, settings: { ...settings, dialect } };
  }
  const hash = createHash("sha256").update(`${base}\n${dialect}`).digest("hex");
  return { kind: "http", passages: undefined, hash, settings: { dialect, server: base } };
}

interface Asked {
  readonly dialect: Dialect;
  readonly queries: readonly string[];
  readonly k: number;
  readonly signal: AbortSignal | undefined;
}

async function askAll(client: JsonClient, url: string, asked: Asked): Promise<readonly QueryResult[]> {
  const { dialect, queries, k, signal } = asked;
  const size = dialect.isSingle ? 1 : mostQueries;
  const parts = Array.from({ length: Math.ceil(queries.length / size) }, (_, i) =>
    queries.slice(i * size, (i + 1) * size),
  );
  const results = await Promise.all(
    parts.map(async (part) => {
      try {
        const reply = await client.json({ url, body: dialect.body(part, k), signal });
        const read = readReply(dialect, url, reply, k);
        if (read.length === part.length) return read;
        const message = `${shownUrl(url)}: ${part.length} queries got ${read.length} results`;
        throw new HttpError(message, { retryable: true });
      } catch (cause) {
        signal?.throwIfAborted();
        return failedQueries(part, cause);
      }
    }),
  );
  return results.flat();
}

function readReply(dialect: Dialect, url: string, reply: unknown, k: number): readonly QueryResult[] {
  try {
    return dialect.read(reply, k);
  } catch (cause) {
    if (!(cause instanceof z.ZodError)) throw cause;
    const [issue] = cause.issues;
    const where = issue?.path.join(".") || "the reply";
    throw new HttpError(`${shownUrl(url)}: the reply has another shape (${where}: ${issue?.message})`, {
      retryable: false,
      cause,
    });
  }
}
