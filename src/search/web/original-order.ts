/**
 * @file The procedure of R1-Searcher's online evaluation: a query gets one document, the digest of the first useful
 * page.
 */
import type { Passage } from "../../protocol/passage.ts";
import type { Digest } from "./digest.ts";
import type { PageFailure, PageResult } from "./page.ts";
import type { PageReader } from "./page-reader.ts";
import type { WebResult } from "./provider.ts";

export const originalSite = "en.wikipedia.org";
export const originalLinks = 3;
const mostCharacters = 35_000;

/** What is removed from a query before it is sent. */
export const originalQuery = (query: string) => query.replace(/"|'|\.\.\./g, "").replaceAll("\t", " ");

export interface ReadParts {
  readonly reader: PageReader;
  readonly digest: Digest;
}

/**
 * Reads the first links in order and stops at the first page with a non-empty digest. Of a page, lines of three and
 * more words are used; of a Wikipedia article, its plain text; of each, the first 35,000 characters.
 *
 * @returns no passage if no page had anything relevant · @throws if no page could be read
 */
export async function firstWorthReading(
  query: string,
  results: readonly WebResult[],
  { reader, digest }: ReadParts,
  signal?: AbortSignal,
): Promise<readonly Passage[]> {
  const failures: Failed[] = [];
  let read = 0;
  for (const { url, title } of results.slice(0, originalLinks)) {
    const result = await reader.read(url, "lines", signal);
    if (!result.ok) {
      failures.push(result);
      continue;
    }
    read++;
    const text = await digest(query, result.page.text.slice(0, mostCharacters), signal);
    if (text !== undefined) return [{ id: url, title: result.page.title || title, text }];
  }
  if (read === 0 && failures.length > 0) throw new PagesUnread(failures);
  return [];
}

type Failed = Extract<PageResult, { ok: false }>;
const mayPass: readonly PageFailure[] = ["unreachable", "status", "time"];

/** Every page failed, which is an error and not an empty result. */
export class PagesUnread extends Error {
  /** Whether a retry may succeed. */
  readonly retryable: boolean;

  constructor(failures: readonly Failed[]) {
    const more = failures.length > 1 ? `, and ${failures.length - 1} more` : "";
    super(`no page could be read (${failures[0]!.message}${more})`);
    this.retryable = failures.some(({ why }) => mayPass.includes(why));
  }
}
