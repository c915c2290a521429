/**
 * @file Fetches the page behind a link and returns its text. A page that cannot be read is a value with the reason, and
 * is counted.
 */
import pLimit from "p-limit";
import type { FetchResult, GuardedFetch } from "../../base/http/guarded-fetch.ts";
import type { ExtractAs } from "./extract.ts";
import type { PageResult } from "./page.ts";
import type { PageWorkers } from "./page-workers.ts";
import { wikipediaPage } from "./wikipedia-page.ts";

export interface PageReader {
  read(url: string, as: ExtractAs, signal?: AbortSignal): Promise<PageResult>;
  /** Pages read, and pages not read by reason, since the last call. */
  take(): Record<string, number>;
  close(): Promise<void>;
}

export interface PageReaderParts {
  readonly fetch: GuardedFetch;
  readonly workers: PageWorkers;
  /** API address for Wikipedia; default the language edition's own. */
  readonly wikipediaApi?: ((host: string) => string) | undefined;
}

/** Limit on simultaneous pages of all queries together. */
const mostAtOnce = 16;
const pageTypes = ["text/html", "application/xhtml+xml", "text/plain", "application/pdf"];

export function pageReader({ fetch, workers, wikipediaApi }: PageReaderParts): PageReader {
  const limit = pLimit(mostAtOnce);
  let counts: Record<string, number> = {};
  const readAny = async (url: string, as: ExtractAs, signal?: AbortSignal): Promise<PageResult> => {
    const article = wikipediaPage(url, wikipediaApi);
    if (article !== undefined) {
      const reply = await fetch(article.api, { types: ["application/json"], signal });
      return reply.ok ? article.read(reply.bytes) : reply;
    }
    const reply: FetchResult = await fetch(url, { types: pageTypes, signal });
    if (!reply.ok) return reply;
    const { bytes, contentType } = reply;
    const read = await workers.extract({ bytes, contentType, as });
    if (!read.ok) return read;
    return { ok: true, page: { url: reply.url, title: read.title, text: read.text } };
  };
  return {
    async read(url, as, signal) {
      const result = await limit(readAny, url, as, signal);
      const name = result.ok ? "pages_read" : `pages_failed_${result.why}`;
      counts[name] = (counts[name] ?? 0) + 1;
      return result;
    },
    take() {
      const taken = counts;
      counts = {};
      return taken;
    },
    close: workers.close,
  };
}
