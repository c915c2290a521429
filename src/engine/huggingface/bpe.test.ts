import { Tokenizer as RustTokenizer } from "tokenizers";
import { expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import { trainBpe } from "./bpe.ts";
import { byteLetters } from "./byte-pieces.ts";

interface Trained {
  model: { vocab: Record<string, number>; merges: [string, string][] };
  added_tokens: { id: number; content: string }[];
}
const train = (texts: readonly string[], vocabSize: number, specials: readonly string[] = []) =>
  trainBpe({ texts, vocabSize, specials }) as Trained;

test("the most frequent pair is merged first; of equals the one that comes first in spelling", () => {
  const { merges } = train(["ab ab ab ab", "xy", "xy", "cd", "cd"], 256 + 5).model;
  expect(merges.map((merge) => merge.join("+"))).toEqual(["a+b", "Ġ+ab", "c+d", "x+y"]);
});

/** The same rule as a slow reference: every step counts all adjacent pairs of all words again. */
function reference(words: readonly string[], steps: number): string[] {
  const split = words.map((word) => Array.from(Buffer.from(word), (byte) => byteLetters[byte]!));
  const merges: string[] = [];
  for (let step = 0; step < steps; step++) {
    const counts = new Map<string, number>();
    for (const word of split)
      for (const [i, piece] of word.slice(1).entries()) {
        const pair = `${word[i]} ${piece}`;
        counts.set(pair, (counts.get(pair) ?? 0) + 1);
      }
    const [best] = [...counts].filter(([, n]) => n > 1).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
    if (!best) break;
    merges.push(best[0]);
    const [first, second] = best[0].split(" ");
    for (const word of split)
      for (let i = 0; i + 1 < word.length; i++)
        if (word[i] === first && word[i + 1] === second) word.splice(i, 2, `${first}${second}`);
  }
  return merges;
}

test("merges are those of the plain rule, on random words", () => {
  const random = randomOf(3, "bpe");
  for (let round = 0; round < 20; round++) {
    const words = Array.from({ length: 40 }, () =>
      Array.from({ length: 1 + random.int(6) }, () => random.pick([..."abcé"])).join(""),
    );
    // one text per word, so that no word gets a space before it
    expect(train(words, 256 + 30).model.merges.map((merge) => merge.join(" "))).toEqual(reference(words, 30));
  }
});

test("equal texts give equal files, in any order of texts", () => {
  const texts = Array.from({ length: 50 }, (_, i) => ` Dekgun${i % 5} met Runnok${i % 3}.`);
  const json = JSON.stringify(train(texts, 320, ["<a>", "<b>"]));
  expect(JSON.stringify(train([...texts].reverse(), 320, ["<a>", "<b>"]))).toBe(json);
});

test("the vocabulary is 256 bytes, the merges and the special tokens, with consecutive ids", () => {
  const { model, added_tokens: added } = train([" abab abab cdcd cdcd"], 264, ["<a>", "<b>"]);
  const ids = [...Object.values(model.vocab), ...added.map(({ id }) => id)];
  expect(ids.sort((a, b) => a - b)).toEqual(ids.map((_, i) => i));
  expect(ids).toHaveLength(264);
  expect(Object.keys(model.vocab)).toHaveLength(256 + model.merges.length);
});

test("short texts give a smaller vocabulary; a pair seen once is never merged", () => {
  expect(train(["abc"], 300).model.merges).toEqual([]);
  expect(train([], 300).model.merges).toEqual([]);
});

test("a vocabulary too small for bytes and special tokens is refused, as are ambiguous special tokens", () => {
  expect(() => train(["a"], 257, ["<a>", "<b>"])).toThrow(/cannot hold 256 bytes and 2 special tokens/);
  expect(() => train(["a"], 300, ["<a>", "<a>"])).toThrow(/"<a>" is given twice/);
  expect(() => train(["a"], 300, ["a"])).toThrow(/no longer than a letter/);
});

test("the reference implementation loads what is trained, and learns nothing else from it", async () => {
  const json = train([" the mayor of the town"], 270, ["<a>"]);
  const rust = RustTokenizer.fromString(JSON.stringify(json));
  expect(rust.getVocabSize(true)).toBe(Object.keys(json.model.vocab).length + 1);
  const text = "the mayor <a> of é🙂\n";
  const ids = (await rust.encode(text, null, { addSpecialTokens: false })).getIds();
  expect(ids).toContain(json.added_tokens[0]!.id);
  expect(await rust.decode(ids, false)).toBe(text);
});
