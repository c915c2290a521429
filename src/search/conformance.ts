/** @file The requirements on every searcher, as plain checks that run under any test runner. */
import { deepStrictEqual, ok, rejects, strictEqual } from "node:assert/strict";
import type { Passage } from "../protocol/passage.ts";
import type { Hit, Searcher } from "./searcher.ts";

export interface ConformanceCheck {
  readonly name: string;
  readonly run: () => Promise<void>;
}

type Make = (passages: readonly Passage[]) => Promise<Searcher>;

const written: readonly Passage[] = [
  { id: "p7", title: "Ada Quill", text: "Ada Quill mapped the northern glacier of Tervane in winter." },
  { id: "p3", title: "Tervane", text: "Tervane is a harbour town known for its glacier and its copper." },
  { id: "p9", title: "Copper guild", text: "The copper guild of Tervane met twice a year." },
  { id: "p1", title: "Same", text: "identical lantern words" },
  { id: "p0", title: "Same", text: "identical lantern words" },
  { id: "p2", title: "Zoë Ōkami", text: "Zoë Ōkami painted 東京 and wrote \u2028 odd \ud800 characters \u0000 too." },
];

const hostileQueries: readonly string[] = [
  "",
  "   \t\r\n",
  "the of and",
  "\u0000\u0001\u001f\u007f",
  "\ud800 \udfff lone",
  "(((((\"'`;--\\* OR 1=1 AND NOT title:* [a TO z] ~2 ^9",
  "<|begin_of_documents|> (1) </answer>",
  "é".repeat(2000),
  "%00 %2e%2e/ {{7*7}} $",
  "glacier ".repeat(131_072), // 1 MiB
  Array.from({ length: 40_000 }, (_, i) => `w${i}`).join(" "),
];

/** For searchers over stores that cannot store everything or do not report everything. */
export interface SearcherConformanceOptions {
  /** What the store makes of a text if it cannot hold NUL or a lone surrogate. */
  readonly stored?: (text: string) => string;
  /** The backend does not report how many passages it has. */
  readonly hidesSize?: boolean;
  /** Every passage is a hit of every query with words, as in vector search. */
  readonly ranksAll?: boolean;
}

/** `make` gets passages in corpus order and returns a new searcher over exactly those. */
export function searcherConformance(
  name: string,
  make: Make,
  { stored = (text) => text, hidesSize = false, ranksAll = false }: SearcherConformanceOptions = {},
): readonly ConformanceCheck[] {
  const passages = written.map((passage) => ({ ...passage, text: stored(passage.text) }));
  const check = (what: string, body: (searcher: Searcher) => Promise<void>): ConformanceCheck => ({
    name: `${name}: ${what}`,
    run: async () => {
      const searcher = await make(passages);
      try {
        await body(searcher);
      } finally {
        await searcher.close();
      }
    },
  });
  return [
    ...answers(check, passages),
    ...(ranksAll ? [] : matching(check)),
    ...extremes(check, ranksAll ? passages.length : 3),
    ...lifecycle(check, hidesSize ? undefined : passages.length),
  ];
}

type Check = (what: string, body: (searcher: Searcher) => Promise<void>) => ConformanceCheck;

const answers = (check: Check, passages: readonly Passage[]): ConformanceCheck[] => [
  check("results have the length and order of the queries", async (searcher) => {
    const queries = ["glacier", "lantern", "nothingmatchesthis", "copper guild"];
    const together = await hitsOf(searcher, queries, 3);
    strictEqual(together.length, queries.length);
    for (const [i, query] of queries.entries()) deepStrictEqual(together[i], (await hitsOf(searcher, [query], 3))[0]);
    deepStrictEqual(await searcher.search([], { k: 3 }), []);
  }),
  check("hits are whole passages, ranked from 1 by falling score", async (searcher) => {
    const [hits, odd] = await hitsOf(searcher, ["copper guild Tervane", "東京"], 5);
    ok(hits !== undefined && odd !== undefined);
    strictEqual(hits[0]?.id, "p9");
    strictEqual(odd[0]?.text, passages.find(({ id }) => id === "p2")!.text);
    for (const [i, { id, title, text, score, rank }] of hits.entries()) {
      strictEqual(rank, i + 1);
      ok(Number.isFinite(score) && score <= (hits[i - 1]?.score ?? Number.POSITIVE_INFINITY));
      deepStrictEqual(
        { id, title, text },
        passages.find((passage) => passage.id === id),
      );
    }
  }),
  check("title and text are both searched, in any case and script", async (searcher) => {
    const first = async (query: string) => (await hitsOf(searcher, [query], 1))[0]?.[0]?.id;
    strictEqual(await first("QUILL"), "p7");
    strictEqual(await first("zoë ōkami"), "p2");
    strictEqual(await first("東京"), "p2");
  }),
  check("ties go to the earlier passage of the corpus", async (searcher) => {
    const hits = (await hitsOf(searcher, ["identical lantern"], 2))[0]!;
    deepStrictEqual(
      hits.map(({ id }) => id),
      ["p1", "p0"],
    );
    strictEqual(hits[0]!.score, hits[1]!.score);
    deepStrictEqual(
      (await hitsOf(searcher, ["identical lantern"], 1))[0]!.map(({ id }) => id),
      ["p1"],
    );
  }),
  check("the same query gives the same hits, alone, repeated and at once", async (searcher) => {
    const queries = ["glacier town", "copper", "glacier town"];
    const [once, again] = await Promise.all([hitsOf(searcher, queries, 4), hitsOf(searcher, queries, 4)]);
    deepStrictEqual(once, again);
    deepStrictEqual(once[0], once[2]);
  }),
];

const matching = (check: Check): ConformanceCheck[] => [
  check("passages without a word of the query are no hits", async (searcher) => {
    const found = await hitsOf(searcher, ["東京", "identical lantern"], 5);
    deepStrictEqual(
      found.map((hits) => hits.map(({ id }) => id)),
      [["p2"], ["p1", "p0"]],
    );
  }),
  check("no words, function words and unknown words are successes without hits", async (searcher) => {
    deepStrictEqual(await hitsOf(searcher, ["", "the of and", "unheardofword"], 3), [[], [], []]);
  }),
];

const extremes = (check: Check, tervane: number): ConformanceCheck[] => [
  check("a query without letters is a success without hits", async (searcher) => {
    deepStrictEqual(await hitsOf(searcher, ["", "  \n"], 3), [[], []]);
  }),
  check("an unknown word beside a known one does no harm", async (searcher) => {
    deepStrictEqual(
      (await hitsOf(searcher, ["unheardofword lantern"], 1))[0]?.map(({ id }) => id),
      ["p1"],
    );
  }),
  check("k beyond the corpus gives every match and no more", async (searcher) => {
    const [few, many] = await Promise.all([
      hitsOf(searcher, ["tervane"], tervane),
      hitsOf(searcher, ["tervane"], 1_000_000_000),
    ]);
    strictEqual(many[0]!.length, tervane);
    deepStrictEqual(few, many);
  }),
  check("hostile queries are answered, and leave the searcher as it was", async (searcher) => {
    const before = await hitsOf(searcher, ["glacier"], 3);
    const results = await searcher.search(hostileQueries, { k: 3 });
    strictEqual(results.length, hostileQueries.length);
    ok(results.every((result) => result.ok));
    deepStrictEqual(await hitsOf(searcher, ["glacier"], 3), before);
  }),
];

const lifecycle = (check: Check, size: number | undefined): ConformanceCheck[] => [
  check("info tells the size and stays the same", async (searcher) => {
    const info = searcher.info();
    strictEqual(info.passages, size);
    ok(info.kind.length > 0 && info.hash.length > 0);
    await searcher.search(["glacier"], { k: 1 });
    deepStrictEqual(searcher.info(), info);
  }),
  check("an aborted search rejects", async (searcher) => {
    await rejects(searcher.search(["glacier"], { k: 1, signal: AbortSignal.abort() }));
  }),
  check("k that is no whole number from 1 is refused", async (searcher) => {
    for (const k of [0, -1, 1.5, Number.NaN])
      await rejects(searcher.search(["glacier"], { k }), { name: "ConfigError" });
  }),
  check("closing twice is fine, searching after it is an error", async (searcher) => {
    await searcher.close();
    await searcher.close();
    await rejects(searcher.search(["glacier"], { k: 1 }));
  }),
];

async function hitsOf(searcher: Searcher, queries: readonly string[], k: number): Promise<(readonly Hit[])[]> {
  const results = await searcher.search(queries, { k });
  return results.map((result) => {
    if (!result.ok) throw new Error(`a query failed: ${result.error.message}`);
    return result.hits;
  });
}
