import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { beforeAll, expect, test } from "vitest";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { trainBpe, writeTokenizer } from "./bpe.ts";
import { loadTokenizer } from "./tokenizer.ts";

const specials = ["<|endoftext|>", "<think>", "</think>", "<|begin_of_query|>"];
let ours: Tokenizer;
let rust: Awaited<ReturnType<typeof RustTokenizer.fromFile>>;

beforeAll(async () => {
  const directory = mkdtempSync(join(tmpdir(), "r1-tokenizer-"));
  const texts = Array.from(
    { length: 200 },
    (_, i) => ` The mayor of Dekgun${i % 7} met Runnok Namder near Pukral; it's ${i}.\n\n`,
  );
  writeTokenizer(directory, trainBpe({ texts, vocabSize: 400, specials }), {
    eos: "<|endoftext|>",
    contextLength: 128,
  });
  writeFileSync(join(directory, "config.json"), "{}");
  ours = await loadTokenizer(directory);
  rust = await RustTokenizer.fromFile(join(directory, "tokenizer.json"));
});

const pieces = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.constantFrom(...specials, " Runnok", "\n\n", "<|", "|>", "’s", " 12", "\u0000", "日本", "🙂"),
);
const texts = fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join(""));

test("templates encode as the reference implementation encodes them, and decode back", async () => {
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const wellFormed = text.toWellFormed();
      const expected = await rust.encode(wellFormed, null, { addSpecialTokens: false });
      const ids = ours.encodeTemplate(wellFormed);
      expect([...ids]).toEqual([...expected.getIds()]);
      expect(ours.decode(ids)).toBe(wellFormed);
    }),
    { numRuns: 400 },
  );
});

test("no special token ever comes out of untrusted text, and no text is lost", () => {
  fc.assert(
    fc.property(texts, (text) => {
      const ids = ours.encodeText(text);
      expect([...ids].filter((id) => ours.specialIds.has(id))).toEqual([]);
      expect(ours.decode(ids)).toBe(text.toWellFormed());
    }),
    { numRuns: 400 },
  );
});

test("the end of text is known, tags are one token each", () => {
  expect(ours.eosIds).toHaveLength(1);
  expect(ours.decode(ours.eosIds)).toBe("<|endoftext|>");
  expect(ours.encodeTemplate("</think>")).toHaveLength(1);
  expect(ours.encodeText("</think>").length).toBeGreaterThan(1);
  expect(ours.encodeText("")).toHaveLength(0);
});
