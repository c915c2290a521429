/**
 * @file The HTTP protocols of the retrieval servers in this field: how to send queries to each, and how to read its
 * reply.
 */
import { createHash } from "node:crypto";
import { z } from "zod";
import type { Passage } from "../../protocol/passage.ts";
import type { QueryResult } from "../searcher.ts";
import { rankedHits } from "./remote-searcher.ts";

export interface Dialect {
  /** The last part of the address. */
  readonly path: string;
  /** The server takes one query at a time. */
  readonly isSingle?: true;
  body(queries: readonly string[], k: number): unknown;
  /** @throws ZodError if the reply has an unexpected form */
  read(reply: unknown, k: number): readonly QueryResult[];
}

const Id = z.union([z.string(), z.int()]).transform(String).optional();
const Document = z.object({
  id: Id,
  contents: z.string().nullish(),
  title: z.string().nullish(),
  text: z.string().nullish(),
});
type Document = z.infer<typeof Document>;

/** A score that a server omits, or gives as NaN, is 0. */
const Score = z
  .number()
  .nullish()
  .transform((score) => score ?? 0);
const Entry = z.union([
  z.object({ document: Document, score: Score }),
  Document.transform((document) => ({ document, score: 0 })),
]);
const Failures = z.array(z.object({ message: z.string(), retryable: z.boolean() }).nullable()).nullish();
const Retrieved = z.object({ result: z.array(z.array(Entry)), errors: Failures });
const Answers = z.object({ answers: z.array(z.array(z.string())) });
const Documents = z.array(Document);
const Searched = z.tuple([z.array(Documents), z.array(z.array(Score))]);

const retrieve = (single: boolean): Dialect => ({
  path: "/retrieve",
  ...(single ? { isSingle: true } : {}),
  body: (queries, k) => ({
    ...(single ? { query: queries[0] } : { queries, partial: true }),
    topk: k,
    return_scores: true,
  }),
  read(reply, k) {
    const { result, errors } = Retrieved.parse(reply);
    return result.map((entries, i) => {
      const error = errors?.[i];
      if (error) return { ok: false, error };
      return found(
        entries.map(({ document, score }) => ({ ...passageOf(document), score })),
        k,
      );
    });
  },
});

export const dialects = {
  /** R1-Searcher: each passage is a line of its corpus; there are no scores. */
  "r1-searcher": {
    path: "/queries",
    body: (queries, k) => ({ queries, k }),
    read: (reply, k) =>
      Answers.parse(reply).answers.map((lines) =>
        found(
          lines.map((line) => ({ ...passageOfLine(line), score: 0 })),
          k,
        ),
      ),
  },
  /** Search-R1, veRL, ASearcher, and this program. */
  "search-r1": retrieve(false),
  /** SkyRL: the same with a single query. */
  skyrl: retrieve(true),
  /** ReSearch. */
  research: {
    path: "/batch_search",
    body: (queries, k) => ({ query: queries, top_n: k, return_score: true }),
    read(reply, k) {
      const [lists, scores] = Searched.parse(reply);
      return lists.map((documents, i) =>
        found(
          documents.map((document, j) => ({ ...passageOf(document), score: scores[i]?.[j] ?? 0 })),
          k,
        ),
      );
    },
  },
} as const satisfies Record<string, Dialect>;
export type DialectName = keyof typeof dialects;

const found = (hits: readonly (Passage & { readonly score: number })[], k: number): QueryResult => ({
  ok: true,
  hits: rankedHits(hits, k),
});

/** Search-R1 puts the title in quotes on the first line of the contents. */
export function passageOf({ id, contents, title, text }: Document): Passage {
  if (typeof text === "string") return identified(id, title ?? "", text);
  const all = contents ?? "";
  const end = all.indexOf("\n");
  if (end < 0) return identified(id, title ?? "", all);
  return identified(id, all.slice(0, end).replace(/^"(.*)"$/, "$1"), all.slice(end + 1));
}

/** `id⇥Title: T Text: …`, `id⇥T   text`, or whatever a server's corpus contains. */
function passageOfLine(line: string): Passage {
  const tab = line.indexOf("\t");
  const rest = line.slice(tab + 1);
  const match = /^Title: (.*?) Text: *(.*)$/s.exec(rest) ?? /^(.*?) {3}(.*)$/s.exec(rest);
  return identified(tab < 0 ? undefined : line.slice(0, tab), match?.[1] ?? "", match?.[2] ?? rest);
}

/** Proxies of web search give no ids: the id is then a hash of the passage. */
function identified(id: string | undefined, title: string, text: string): Passage {
  if (id !== undefined) return { id, title, text };
  const hash = createHash("sha256").update(`${title}\n${text}`).digest("hex");
  return { id: hash.slice(0, 16), title, text };
}
