/** @file What a provider of web search is: how it is asked, and how its reply is read. One small file each. */
import type { JsonRequest } from "../../base/http/json-client.ts";

export interface WebResult {
  readonly url: string;
  readonly title: string;
  readonly snippet: string;
}

export interface WebQuestion {
  readonly query: string;
  /** Results wanted. */
  readonly count: number;
  /** Only pages of this host. */
  readonly site: string | undefined;
  /** Of the provider, or the one that the user named. */
  readonly address: string;
  /** Undefined where the provider wants none, or does without. */
  readonly key: string | undefined;
}

export interface WebProvider {
  readonly name: string;
  /** Undefined where everyone has one of their own. */
  readonly address: string | undefined;
  /** The environment variable that holds its key; absent where it wants none. */
  readonly keyName?: string;
  /** It also answers without. */
  readonly isKeyOptional?: true;
  request(question: WebQuestion): JsonRequest;
  /** Best first. @throws ZodError where the reply has another shape */
  read(reply: unknown): readonly WebResult[];
}

/** For providers that take the site as an operator of the query. */
export const withSite = (query: string, site: string | undefined) =>
  site === undefined ? query : `${query} site:${site}`;

/** The first characters of a query, for providers that refuse longer ones. */
export const shortened = (query: string, most: number) => query.slice(0, most).toWellFormed();

/** Snippets come as HTML, or with the marks of a highlighter. */
export const plain = (html: string) =>
  html
    .replace(/<[^>]{0,200}>/g, "")
    .replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,6}));/gi, (whole, decimal, hex, name) => {
      if (name !== undefined) return entities[String(name).toLowerCase()] ?? whole;
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
      return code > 0 && code < 0x110000 ? String.fromCodePoint(code) : whole;
    })
    .replace(/\s+/g, " ")
    .trim();

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };
