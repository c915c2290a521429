import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { trainBpe, writeTokenizer } from "./bpe.ts";
import { byteLetters } from "./byte-pieces.ts";
import { parseModelConfig } from "./model-config.ts";
import { checkTokenizer, loadTokenizer } from "./tokenizer.ts";

interface Json {
  added_tokens: { id: number; content: string; [option: string]: unknown }[];
  model: {
    vocab: Record<string, number>;
    merges: [string, string][];
    unk_token: string | null;
    [option: string]: unknown;
  };
  [part: string]: unknown;
}

const specials = ["<|endoftext|>", "<think>", "</think>", "<|begin_of_query|>"];
const corpus = Array.from(
  { length: 200 },
  (_, i) => ` The mayor of Dekgun${i % 7} met Runnok Namder near Pukral; it's ${i}.\n\n`,
);
const trained = trainBpe({ texts: corpus, vocabSize: 400, specials }) as Json;
const folder = () => mkdtempSync(join(tmpdir(), "r1-tokenizer-"));

async function load(change: (json: Json) => void = () => {}, files: Record<string, unknown> = {}) {
  const directory = folder();
  const json = structuredClone(trained);
  change(json);
  const all = { "tokenizer.json": json, "tokenizer_config.json": { eos_token: "<|endoftext|>" }, ...files };
  for (const [name, value] of Object.entries(all)) {
    writeFileSync(join(directory, name), typeof value === "string" ? value : JSON.stringify(value));
  }
  return { directory, json, tokenizer: await loadTokenizer(directory) };
}

const pieces = fc.oneof(
  fc.string({ unit: "binary" }),
  fc.string({ unit: "grapheme" }),
  fc.constantFrom(
    ...specials,
    " Runnok",
    "\n\n",
    "<|",
    "|>",
    "<think",
    "’s",
    " 12",
    "½",
    "Ⅷ٣",
    "\u0000",
    "日本",
    "🙂",
    "<unk>",
    "▁",
  ),
);
const texts = fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join(""));

async function rustIds(json: object, text: string): Promise<number[]> {
  const key = JSON.stringify(json);
  let rust = rusts.get(key);
  if (!rust) rusts.set(key, (rust = RustTokenizer.fromString(key)));
  return [...(await rust.encode(text, null, { addSpecialTokens: false })).getIds()];
}
const rusts = new Map<string, RustTokenizer>();

/** The four pipelines that the families to come use: GPT-2, SmolLM2, Llama 3 and SentencePiece-like. */
const pipelines: [string, (json: Json) => void][] = [
  ["GPT-2", () => {}],
  [
    "SmolLM2",
    (json) =>
      (json["pre_tokenizer"] = {
        type: "Sequence",
        pretokenizers: [{ type: "Digits", individual_digits: true }, json["pre_tokenizer"]],
      }),
  ],
  ["Llama 3", llama3],
  ["SentencePiece", sentencePiece],
];

function llama3(json: Json): void {
  const pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  json["pre_tokenizer"] = { type: "Sequence", pretokenizers: [split, byteLevel] };
  json.model["ignore_merges"] = true;
}

function sentencePiece(json: Json): void {
  const letters = [..."▁abcdehiklmnorstu<>|/_"];
  const merges: [string, string][] = [
    ["t", "h"],
    ["th", "e"],
    ["▁", "the"],
    ["▁", "th"],
    ["i", "n"],
    ["<", "u"],
    ["▁", "▁"],
  ];
  const bytes = Array.from({ length: 256 }, (_, b) => `<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`);
  const control = ["<unk>", "<s>", "</s>", ...specials];
  const all = [...control, ...bytes, ...letters, ...merges.map((merge) => merge.join(""))];
  json["normalizer"] = {
    type: "Sequence",
    normalizers: [
      { type: "Prepend", prepend: "▁" },
      { type: "Replace", pattern: { String: " " }, content: "▁" },
    ],
  };
  json["pre_tokenizer"] = null;
  json["decoder"] = {
    type: "Sequence",
    decoders: [
      { type: "Replace", pattern: { String: "▁" }, content: " " },
      { type: "ByteFallback" },
      { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 },
    ],
  };
  json.model = {
    ...json.model,
    unk_token: "<unk>",
    byte_fallback: true,
    fuse_unk: true,
    vocab: Object.fromEntries(all.map((piece, id) => [piece, id])),
    merges,
  };
  json.added_tokens = control.map((content, id) => ({ ...trained.added_tokens[0]!, id, content }));
}

test.each(pipelines)("%s: templates encode as the reference encodes them", async (_, change) => {
  const { json, tokenizer } = await load(change);
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      expect([...tokenizer.encodeTemplate(text)]).toEqual(await rustIds(json, text.toWellFormed()));
    }),
    { numRuns: 300 },
  );
});

test.each(pipelines)("%s: untrusted text encodes as the reference without special tokens does", async (_, change) => {
  const { json, tokenizer } = await load(change);
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
  const { json, tokenizer } = await load(change);
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
  const { json, tokenizer } = await load();
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
  const { tokenizer } = await load();
  expect(tokenizer.decode(tokenizer.eosIds)).toBe("<|endoftext|>");
  expect(tokenizer.encodeTemplate("</think>")).toHaveLength(1);
  expect(tokenizer.encodeText("</think>").length).toBeGreaterThan(1);
  expect(tokenizer.encodeText("")).toHaveLength(0);
  expect(tokenizer.encodeTemplate("")).toHaveLength(0);
  expect(tokenizer.encodeText("\ud800")).toEqual(tokenizer.encodeText("\ufffd"));
  expect(tokenizer.bytesOf(tokenizer.eosIds[0]!)).toEqual(new TextEncoder().encode("<|endoftext|>"));
  expect(() => tokenizer.bytesOf(tokenizer.vocabSize)).toThrow(EngineError);
});

/** Lists `<think>` in the vocabulary, with merges that lead to it before any other. */
function reachable(json: Json): void {
  const id = json.added_tokens.find(({ content }) => content === "<think>")!.id;
  const chain = [..."think>"].map((letter, i): [string, string] => ["<think>".slice(0, i + 1), letter]);
  for (const [i, merge] of chain.entries()) json.model.vocab[merge.join("")] = i === chain.length - 1 ? id : 1000 + i;
  json.model.merges.unshift(...chain);
  json["pre_tokenizer"] = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
}

test("a special token that ordinary merges reach is taken apart in untrusted text, and only there", async () => {
  const { json, tokenizer } = await load(reachable);
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
  const { json, tokenizer } = await load((json) => {
    reachable(json);
    json["normalizer"] = { type: "NFKC" };
  });
  const special = json.added_tokens.find(({ content }) => content === "<think>")!.id;
  const wide = "＜think＞";
  expect(await rustIds({ ...json, added_tokens: [] }, wide)).toEqual([special]);
  expect([...tokenizer.encodeText(wide)]).not.toContain(special);
  expect(tokenizer.decode(tokenizer.encodeText(wide))).toBe("<think>");

  const one = await load((json) => {
    reachable(json);
    json["normalizer"] = { type: "Replace", pattern: { String: "é" }, content: "<think>" };
  });
  expect(() => one.tokenizer.encodeText("café")).toThrow(/encodes "café" as a special token only/);
  expect(() => one.tokenizer.encodeText("café")).toThrow(EngineError);
});

test("a byte that the vocabulary lacks is left out of untrusted text; it never becomes the unknown token", async () => {
  const { json, tokenizer } = await load((json) => {
    delete json.model.vocab[byteLetters[4]!];
    json.model.unk_token = "<|endoftext|>";
    json.model.vocab["<|endoftext|>"] = json.added_tokens[0]!.id;
  });
  expect(await rustIds(json, "a\u0004b")).toContain(json.added_tokens[0]!.id);
  expect(tokenizer.decode(tokenizer.encodeText("a\u0004b"))).toBe("ab");
});

test("ends of a reply are gathered from every file that names them, generation_config.json first", async () => {
  const eos = async (files: Record<string, unknown>) => (await load(undefined, files)).tokenizer.eosIds;
  const [end, think, close] = trained.added_tokens.map(({ id }) => id);
  expect(
    await eos({ "generation_config.json": { eos_token_id: [close, end] }, "config.json": { eos_token_id: think } }),
  ).toEqual([close, end, think]);
  expect(await eos({ "tokenizer_config.json": { eos_token: { content: "</think>" } } })).toEqual([close]);
  expect(await eos({ "tokenizer_config.json": {}, "generation_config.json": { eos_token_id: null } })).toEqual([]);
  await expect(eos({ "config.json": { eos_token_id: 5000 } })).rejects.toThrow(/config\.json: eos_token_id 5000/);
  await expect(eos({ "tokenizer_config.json": { eos_token: "</s>" } })).rejects.toThrow(/eos_token "<\/s>"/);
});

test.each<[string, (json: Json) => void, RegExp]>([
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
  const loading = load(change);
  await expect(loading).rejects.toBeInstanceOf(EngineError);
  await expect(loading).rejects.toThrow(message);
  await expect(loading).rejects.toThrow(/tokenizer\.json/);
});

test("no tokenizer, half a file and a file nested without end are refused", async () => {
  await expect(loadTokenizer(folder())).rejects.toThrow(EngineError);
  await expect(load(undefined, { "tokenizer.json": JSON.stringify(trained).slice(0, 900) })).rejects.toThrow(
    EngineError,
  );
  await expect(load(undefined, { "tokenizer.json": `{"a":${"[".repeat(1e6)}` })).rejects.toThrow(/nested deeper/);
});

test("a tokenizer with ids beyond the model's vocabulary is refused", async () => {
  const { tokenizer, directory } = await load();
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

test("64 KB of one letter, of spaces or of open tags encode in reasonable time", async () => {
  for (const [, change] of pipelines) {
    const { tokenizer } = await load(change);
    for (const unit of ["a", " ", "\n", "<", "<think>", "\r\n ", "1", "é"]) {
      const began = performance.now();
      tokenizer.encodeText(unit.repeat(Math.ceil(65_536 / unit.length)));
      expect(performance.now() - began, unit).toBeLessThan(3000);
    }
  }
});

test("a writer of tokenizers names roles that exist", async () => {
  expect(() => writeTokenizer(folder(), trained, { eos: "</s>", contextLength: 8 })).toThrow(/"<\/s>" is not among/);
  const directory = folder();
  writeTokenizer(directory, trained, { eos: "</think>", pad: "<think>", contextLength: 8 });
  expect((await loadTokenizer(directory)).eosIds).toEqual([trained.added_tokens[2]!.id]);
});
