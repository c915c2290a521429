import fc from "fast-check";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { loadTrained, pipelines, rustIds, texts } from "./testing/tokenizers.ts";

test.each(pipelines)("%s: templates encode as the reference encodes them", async (_, change) => {
  const { json, tokenizer } = await loadTrained(change);
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      expect([...tokenizer.encodeTemplate(text)]).toEqual(await rustIds(json, text.toWellFormed()));
    }),
    { numRuns: 300 },
  );
});

test.each(pipelines)("%s: untrusted text encodes as the reference without special tokens does", async (_, change) => {
  const { json, tokenizer } = await loadTrained(change);
  const plain = { ...json, added_tokens: [], model: { ...json.model, unk_token: null } };
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      const ids = [...tokenizer.encodeText(text)];
      expect(ids.filter((id) => tokenizer.specialIds.has(id))).toEqual([]);
      expect(ids).toEqual(await rustIds(plain, text.toWellFormed()));
    }),
    { numRuns: 300 },
  );
});

test.each(pipelines)("%s: no text is lost", async (_, change) => {
  const { json, tokenizer } = await loadTrained(change);
  const prefix = json.model["byte_fallback"] === true ? " " : ""; // SentencePiece puts a space before every text
  fc.assert(
    fc.property(texts, (text) => {
      // in that spelling ▁ is a space, whoever wrote it
      const expected = text === "" ? "" : prefix + (prefix === "" ? text : text.replaceAll("▁", " ")).toWellFormed();
      expect(tokenizer.decode(tokenizer.encodeText(text))).toBe(expected);
    }),
    { numRuns: 300 },
  );
});

test("any ids decode as the reference decodes them, incomplete letters included", async () => {
  const { json, tokenizer } = await loadTrained();
  const rust = RustTokenizer.fromString(JSON.stringify(json));
  const ids = fc.array(fc.nat({ max: tokenizer.vocabSize - 1 }), { minLength: 1, maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(ids, async (some) => {
      expect(tokenizer.decode(some)).toBe(await rust.decode(some, false));
    }),
    { numRuns: 300 },
  );
  expect(tokenizer.decode([])).toBe("");
});

test("the end of text is known, tags are one token each", async () => {
  const { tokenizer } = await loadTrained();
  expect(tokenizer.decode(tokenizer.eosIds)).toBe("<|endoftext|>");
  expect(tokenizer.encodeTemplate("</think>")).toHaveLength(1);
  expect(tokenizer.encodeText("</think>").length).toBeGreaterThan(1);
  expect(tokenizer.encodeText("")).toHaveLength(0);
  expect(tokenizer.encodeTemplate("")).toHaveLength(0);
  expect(tokenizer.encodeText("\ud800")).toEqual(tokenizer.encodeText("\ufffd"));
  expect(tokenizer.bytesOf(tokenizer.eosIds[0]!)).toEqual(new TextEncoder().encode("<|endoftext|>"));
  expect(() => tokenizer.bytesOf(tokenizer.vocabSize)).toThrow(EngineError);
});

test("64 KB of one letter, of spaces or of open tags encode in reasonable time", async () => {
  for (const [, change] of pipelines) {
    const { tokenizer } = await loadTrained(change);
    for (const unit of ["a", " ", "\n", "<", "<think>", "\r\n ", "1", "é"]) {
      const began = process.cpuUsage(); // processor time: other work on the machine does not lengthen it
      tokenizer.encodeText(unit.repeat(Math.ceil(65_536 / unit.length)));
      const { user, system } = process.cpuUsage(began);
      expect((user + system) / 1000, unit).toBeLessThan(3000);
    }
  }
});
