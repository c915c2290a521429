/**
 * @file The interface of a web search provider: how to send a query and how to read the reply. Each provider is one
 * small file.
 */
import type { JsonRequest } from "../../base/http/json-client.ts";

export interface WebResult {
  readonly url: string;
  readonly title: string;
  readonly snippet: string;
}

export interface WebQuestion {
  readonly query: string;
  /** Number of results wanted. */
  readonly count: number;
  /** Restricts results to this host. */
  readonly site: string | undefined;
  /** The provider's address, or one that the user gave. */
  readonly address: string;
  /** Undefined if the provider needs no key. */
  readonly key: string | undefined;
}

export interface WebProvider {
  readonly name: string;
  /** The default address; undefined if every user has their own server. */
  readonly address: string | undefined;
  /** The environment variable with the key; absent if none is needed. */
  readonly keyName?: string;
  /** The provider also answers without a key. */
  readonly isKeyOptional?: true;
  request(question: WebQuestion): JsonRequest;
  /** Best first. @throws ZodError if the reply has an unexpected form */
  read(reply: unknown): readonly WebResult[];
}

/** For providers that take the site as an operator in the query. */
export const withSite = (query: string, site: string | undefined) =>
  site === undefined ? query : `${query} site:${site}`;

/** Shortens a query for providers that refuse longer ones. */
export const shortened = (query: string, most: number) => query.slice(0, most).toWellFormed();

/** Removes HTML and highlighting from a snippet. */
export const plain = (html: string) =>
  html
    .replace(/<[^<>]{0,200}>/g, "")
    .replace(/&(?:#(\d{1,7})|#x([\da-f]{1,6})|(\w{2,6}));/gi, (whole, decimal, hex, name) => {
      if (name !== undefined) return entities[String(name).toLowerCase()] ?? whole;
      const code = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
      return code > 0 && code < 0x110000 ? String.fromCodePoint(code) : whole;
    })
    .replace(/\s+/g, " ")
    .trim();

const entities: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };
