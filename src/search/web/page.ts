import type { FetchFailure } from "../../base/http/guarded-fetch.ts";

/** The text of the page behind a link. */
export interface Page {
  /** The URL after redirects. */
  readonly url: string;
  readonly title: string;
  readonly text: string;
}

export type PageFailure = FetchFailure | "memory" | "unreadable";
export type PageResult =
  | { readonly ok: true; readonly page: Page }
  | { readonly ok: false; readonly why: PageFailure; readonly message: string };
