import fc from "fast-check";
import { expect, test } from "vitest";
import { analyze, analyzerNames, analyzerOf } from "./analyzer.ts";

test("words of any script, digits and marks are terms; case and compatibility forms are folded", () => {
  expect(analyze("Zoë's ＡＢＣ №5: naïve café, 東京タワー — हिन्दी 1,234")).toEqual([
    "zoë",
    "abc",
    "no5",
    "naïve",
    "café",
    "東京タワー",
    "हिन्दी",
    "1",
    "234",
  ]);
});

test("composed and decomposed accents are the same term", () => {
  expect(analyze("Jędrzejewiczowa café")).toEqual(analyze("Jędrzejewiczowa café".normalize("NFD")));
});

test("function words are dropped and nothing is stemmed", () => {
  expect(analyze("When did the father of Ada Quill found the guilds?")).toEqual([
    "father",
    "ada",
    "quill",
    "found",
    "guilds",
  ]);
});

test("ASCII text gives the terms that the general path gives", () => {
  const ascii = fc.string({ unit: "binary-ascii", maxLength: 60 });
  fc.assert(
    fc.property(ascii, (text) => {
      expect(analyze(`${text} é`).slice(0, -1)).toEqual(analyze(text));
    }),
    { numRuns: 500 },
  );
});

test("any string gives terms without lone surrogates, so terms survive UTF-8", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary" }),
      fc.array(fc.constantFrom("\ud800", "\udfff", "a", "\u0000", "é")),
      (text, odd) => {
        for (const term of analyze(text + odd.join(""))) expect(Buffer.from(term).toString()).toBe(term);
      },
    ),
  );
});

test("every analyzer is found by the name that an index records", () => {
  for (const name of analyzerNames) expect(analyzerOf(name)?.name).toBe(name);
  expect(analyzerOf("porter-v9")).toBeUndefined();
});

test("stemming joins the forms of English words and leaves all others as they are", () => {
  const terms = (text: string) => analyzerOf("unicode-v1+porter")!.terms(text);
  expect(terms("mapped mapping maps")).toEqual(["map", "map", "map"]);
  expect(terms("is 1990s naïves 東京s x2s")).toEqual(["1990s", "naïves", "東京s", "x2s"]);
});
