/** @file Passages in a PostgreSQL table, found by the query's vector (pgvector) or by its words. */
import { createHash } from "node:crypto";
import pg from "pg";
import { SearchError } from "../../base/errors.ts";
import { HttpError } from "../../base/http/http-error.ts";
import type { QueryResult, Searcher } from "../searcher.ts";
import type { EncodeQueries } from "./embeddings.ts";
import { rankedHits, remoteSearcher } from "./remote-searcher.ts";

export interface PostgresOptions {
  /** postgresql://user@host:port/database; missing parts come from PGPASSWORD and the other standard variables. */
  readonly url: string;
  /** Has the columns `position` (bigint), `id`, `title` and `text`, and `embedding` (vector) for vector search. */
  readonly table: string;
  /** If absent, words are matched with PostgreSQL's full text search. */
  readonly encode?: EncodeQueries | undefined;
  /** A passage with a lower similarity (−1 to 1) is not a hit; by default all are. */
  readonly leastSimilarity?: number | undefined;
  readonly timeoutMs?: number;
  readonly connections?: number;
}

interface Row {
  readonly id: string;
  readonly title: string;
  readonly text: string;
  readonly score: number;
}

/** @throws SearchError if the table or its columns do not exist */
export async function openPostgres(options: PostgresOptions): Promise<Searcher> {
  const { url, table, encode, timeoutMs = 30_000, connections = 8 } = options;
  const pool = new pg.Pool({
    connectionString: url,
    max: connections,
    connectionTimeoutMillis: timeoutMs,
    query_timeout: timeoutMs,
    statement_timeout: timeoutMs,
  });
  pool.on("error", () => {}); // a broken idle connection is replaced; a broken query reports its own error
  const name = table.split(".").map(pg.escapeIdentifier).join(".");
  try {
    const columns = `position, id, title, text${encode ? ", embedding" : ""}`;
    await pool.query(`select ${columns} from ${name} limit 0`);
    const { rows } = await pool.query<{ passages: string; top: string | null }>(
      `select count(*) as passages, max(position) as top from ${name}`,
    );
    const passages = Number(rows[0]!.passages);
    const { host, port, database } = pool.options as { host?: string; port?: number; database?: string };
    const settings = { table, by: encode ? "vector" : "words" };
    const hash = createHash("sha256").update(
      [url.replace(/\/\/[^@/]*@/, "//"), host, port, database, table, passages, rows[0]!.top, settings.by].join("\n"),
    );
    const statement = encode ? byVector(name) : byWords(name);
    return remoteSearcher({
      info: { kind: "postgresql", passages, hash: hash.digest("hex"), settings },
      ask: async (queries, k, signal) => {
        const needles = encode ? (await encode(queries, signal)).map((vector) => `[${vector.join()}]`) : queries;
        return Promise.all(needles.map((needle) => ask(pool, statement, needle, k, options.leastSimilarity)));
      },
      close: () => pool.end(),
    });
  } catch (cause) {
    await pool.end();
    throw new SearchError(`table ${table} of PostgreSQL cannot be searched: ${reasonOf(cause).message}`, {
      hint: "it needs the columns position, id, title and text, and embedding for search by vector",
      cause,
    });
  }
}

/** Exact if the table has no index on `embedding`, otherwise as good as that index. */
const byVector = (table: string) => `
  select id, title, text, 1 - (embedding <=> $1::vector) as score from ${table}
  where $3::float8 is null or 1 - (embedding <=> $1::vector) >= $3::float8
  order by embedding <=> $1::vector, position limit $2`;

/**
 * Matches any word of the query, ranked by PostgreSQL's ts_rank (not BM25); the table should have an index on this
 * tsvector.
 */
const byWords = (table: string) => `
  with asked as (select string_agg(quote_literal(word), ' | ')::tsquery as words
    from unnest(tsvector_to_array(to_tsvector('simple', $1))) as word)
  select id, title, text, ts_rank(to_tsvector('simple', title || ' ' || text), words) as score from ${table}, asked
  where to_tsvector('simple', title || ' ' || text) @@ words and ($3::float8 is null or true)
  order by score desc, position limit $2`;

async function ask(
  pool: pg.Pool,
  statement: string,
  needle: string,
  k: number,
  leastSimilarity: number | undefined,
): Promise<QueryResult> {
  try {
    const { rows } = await pool.query<Row>(statement, [needle, k, leastSimilarity ?? null]);
    return { ok: true, hits: rankedHits(rows, k) };
  } catch (cause) {
    return { ok: false, error: reasonOf(cause) };
  }
}

/** SQLSTATE classes 08, 53, 55 and 57 are temporary errors; without a code the connection broke. */
function reasonOf(cause: unknown): { message: string; retryable: boolean } {
  if (cause instanceof HttpError) return { message: cause.message, retryable: cause.retryable };
  const { code, message = String(cause) } = cause as { code?: string; message?: string };
  const isSqlState = code !== undefined && /^[0-9A-Z]{5}$/.test(code);
  return { message: `PostgreSQL: ${message || code}`, retryable: !isSqlState || /^(08|53|55|57)/.test(code) };
}
