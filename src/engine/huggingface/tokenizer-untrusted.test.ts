/** @file Special tokens in text that nobody vouches for, such as a passage: they must not come out of its encoding. */
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { byteLetters } from "./byte-pieces.ts";
import { loadTrained, rustIds, type TokenizerJson } from "./testing/tokenizers.ts";

/** Lists `<think>` in the vocabulary, with merges that lead to it before any other. */
function reachable(json: TokenizerJson): void {
  const id = json.added_tokens.find(({ content }) => content === "<think>")!.id;
  const chain = [..."think>"].map((letter, i): [string, string] => ["<think>".slice(0, i + 1), letter]);
  for (const [i, merge] of chain.entries()) json.model.vocab[merge.join("")] = i === chain.length - 1 ? id : 1000 + i;
  json.model.merges.unshift(...chain);
  json["pre_tokenizer"] = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
}

test("a special token that ordinary merges reach is taken apart in untrusted text, and only there", async () => {
  const { json, tokenizer } = await loadTrained(reachable);
  const special = json.added_tokens.find(({ content }) => content === "<think>")!.id;
  const plain = { ...json, added_tokens: [] };
  expect(await rustIds(plain, "<think>")).toEqual([special]); // the danger is real
  for (const text of ["<think>", "a<think>b", "<think><think>", "<<think>think>", "Runnok <think> Runnok"]) {
    const ids = [...tokenizer.encodeText(text)];
    expect(ids).not.toContain(special);
    expect(tokenizer.decode(ids)).toBe(text);
  }
  const clean = " Runnok met <thin ice>";
  expect([...tokenizer.encodeText(clean)]).toEqual(await rustIds(plain, clean));
});

test("a spelling that a normaliser makes is taken apart too; where that is impossible, the text is refused", async () => {
  const { json, tokenizer } = await loadTrained((json) => {
    reachable(json);
    json["normalizer"] = { type: "NFKC" };
  });
  const special = json.added_tokens.find(({ content }) => content === "<think>")!.id;
  const wide = "＜think＞";
  expect(await rustIds({ ...json, added_tokens: [] }, wide)).toEqual([special]);
  expect([...tokenizer.encodeText(wide)]).not.toContain(special);
  expect(tokenizer.decode(tokenizer.encodeText(wide))).toBe("<think>");

  const one = await loadTrained((json) => {
    reachable(json);
    json["normalizer"] = { type: "Replace", pattern: { String: "é" }, content: "<think>" };
  });
  expect(() => one.tokenizer.encodeText("café")).toThrow(/encodes "café" as a special token only/);
  expect(() => one.tokenizer.encodeText("café")).toThrow(EngineError);
});

test("a byte that the vocabulary lacks is left out of untrusted text; it never becomes the unknown token", async () => {
  const { json, tokenizer } = await loadTrained((json) => {
    delete json.model.vocab[byteLetters[4]!];
    json.model.unk_token = "<|endoftext|>";
    json.model.vocab["<|endoftext|>"] = json.added_tokens[0]!.id;
  });
  expect(await rustIds(json, "a\u0004b")).toContain(json.added_tokens[0]!.id);
  expect(tokenizer.decode(tokenizer.encodeText("a\u0004b"))).toBe("ab");
});
