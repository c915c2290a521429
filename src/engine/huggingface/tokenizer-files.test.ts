/** @file What a tokenizer is read from and written to, and which of it is refused. */
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { writeTokenizer } from "./bpe.ts";
import { parseModelConfig } from "./model-config.ts";
import { loadTrained, newFolder, type TokenizerJson, trained } from "./testing/tokenizers.ts";
import { checkTokenizer, loadTokenizer } from "./tokenizer.ts";

test("ends of a reply are gathered from every file that names them, generation_config.json first", async () => {
  const eos = async (files: Record<string, unknown>) => (await loadTrained(undefined, files)).tokenizer.eosIds;
  const [end, think, close] = trained.added_tokens.map(({ id }) => id);
  expect(
    await eos({ "generation_config.json": { eos_token_id: [close, end] }, "config.json": { eos_token_id: think } }),
  ).toEqual([close, end, think]);
  expect(await eos({ "tokenizer_config.json": { eos_token: { content: "</think>" } } })).toEqual([close]);
  expect(await eos({ "tokenizer_config.json": {}, "generation_config.json": { eos_token_id: null } })).toEqual([]);
  await expect(eos({ "config.json": { eos_token_id: 5000 } })).rejects.toThrow(/config\.json: eos_token_id 5000/);
  await expect(eos({ "tokenizer_config.json": { eos_token: "</s>" } })).rejects.toThrow(/eos_token "<\/s>"/);
});

test.each<[string, (json: TokenizerJson) => void, RegExp]>([
  ["no model", (json) => Object.assign(json, { model: null }), /no model/],
  ["another kind of model", (json) => Object.assign(json.model, { type: "Unigram" }), /type "Unigram"/],
  ["no vocabulary", (json) => Object.assign(json.model, { vocab: {} }), /no model\.vocab/],
  ["an id that is no id", (json) => Object.assign(json.model.vocab, { a: 1.5 }), /"a" has id 1\.5/],
  ["an id beyond reason", (json) => Object.assign(json.model.vocab, { zz: 1e9 }), /"zz" has id 1000000000/],
  ["one id for two pieces", (json) => Object.assign(json.model.vocab, { zz: 3 }), /"zz" has id 3, which/],
  [
    "an added token with another's id",
    (json) => Object.assign(json.added_tokens[1]!, { id: 3 }),
    /"<think>" has id 3, which/,
  ],
  ["an added token with two ids", (json) => Object.assign(json.model.vocab, { "<think>": 900 }), /in model\.vocab 900/],
  [
    "an added token without text",
    (json) => Object.assign(json.added_tokens[1]!, { content: "" }),
    /added_tokens holds/,
  ],
  [
    "an added token that is a byte",
    (json) => Object.assign(json.added_tokens[1]!, { content: "!", id: json.model.vocab["!"]! }),
    /plain byte/,
  ],
  ["whole-word tokens", (json) => Object.assign(json.added_tokens[1]!, { single_word: true }), /single_word/],
  ["no merges", (json) => Object.assign(json.model, { merges: null }), /no model\.merges/],
  ["a merge of three", (json) => json.model.merges.push(["a", "b", "c"] as never), /merge \d+ is/],
  ["merges in two spellings", (json) => json.model.merges.push("T h" as never), /merge \d+ is/],
  ["a merge past the vocabulary", (json) => json.model.merges.push(["q", "q"]), /needs the piece "qq"/],
  ["word endings", (json) => Object.assign(json.model, { end_of_word_suffix: "</w>" }), /end_of_word_suffix/],
  [
    "a spelling we do not know",
    (json) => Object.assign(json, { pre_tokenizer: null, decoder: null }),
    /neither byte-level/,
  ],
  [
    "a pattern that can take exponential time",
    (json) =>
      Object.assign(json, { pre_tokenizer: { type: "Split", pattern: { Regex: "^(a+)+$" }, behavior: "Isolated" } }),
    /can take exponential time/,
  ],
  ["an unknown step", (json) => Object.assign(json, { normalizer: { type: "Magic" } }), /cannot be used: .*Magic/],
])("a tokenizer with %s is refused by name", async (_, change, message) => {
  const loading = loadTrained(change);
  await expect(loading).rejects.toBeInstanceOf(EngineError);
  await expect(loading).rejects.toThrow(message);
  await expect(loading).rejects.toThrow(/tokenizer\.json/);
});

test("no tokenizer, half a file and a file nested without end are refused", async () => {
  await expect(loadTokenizer(newFolder())).rejects.toThrow(EngineError);
  await expect(loadTrained(undefined, { "tokenizer.json": JSON.stringify(trained).slice(0, 900) })).rejects.toThrow(
    EngineError,
  );
  await expect(loadTrained(undefined, { "tokenizer.json": `{"a":${"[".repeat(1e6)}` })).rejects.toThrow(
    /nested deeper/,
  );
});

test("a tokenizer with ids beyond the model's vocabulary is refused", async () => {
  const { tokenizer, directory } = await loadTrained();
  const config = (vocab_size: number) =>
    parseModelConfig(
      {
        model_type: "llama",
        vocab_size,
        hidden_size: 8,
        intermediate_size: 8,
        num_hidden_layers: 1,
        num_attention_heads: 2,
      },
      "config.json",
    );
  checkTokenizer(tokenizer, config(tokenizer.vocabSize), directory);
  const check = () => checkTokenizer(tokenizer, config(tokenizer.vocabSize - 1), directory);
  expect(check).toThrow(EngineError);
  expect(check).toThrow(
    `ids up to ${tokenizer.vocabSize - 1}, beyond the model's vocabulary of ${tokenizer.vocabSize - 1}`,
  );
});

test("a writer of tokenizers names roles that exist", async () => {
  expect(() => writeTokenizer(newFolder(), trained, { eos: "</s>", contextLength: 8 })).toThrow(/"<\/s>" is not among/);
  const directory = newFolder();
  writeTokenizer(directory, trained, { eos: "</think>", pad: "<think>", contextLength: 8 });
  expect((await loadTokenizer(directory)).eosIds).toEqual([trained.added_tokens[2]!.id]);
});
