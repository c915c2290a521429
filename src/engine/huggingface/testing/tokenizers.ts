/** @file A small trained tokenizer, in the four spellings that model families use, and the reference beside it. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { trainBpe } from "../bpe.ts";
import { loadTokenizer } from "../tokenizer.ts";

export interface TokenizerJson {
  added_tokens: { id: number; content: string; [option: string]: unknown }[];
  model: {
    vocab: Record<string, number>;
    merges: [string, string][];
    unk_token: string | null;
    [option: string]: unknown;
  };
  [part: string]: unknown;
}

export const specials = ["<|endoftext|>", "<think>", "</think>", "<|begin_of_query|>"];
const corpus = Array.from(
  { length: 200 },
  (_, i) => ` The mayor of Dekgun${i % 7} met Runnok Namder near Pukral; it's ${i}.\n\n`,
);
export const trained = trainBpe({ texts: corpus, vocabSize: 400, specials }) as TokenizerJson;
export const newFolder = () => mkdtempSync(join(tmpdir(), "r1-tokenizer-"));

export async function loadTrained(
  change: (json: TokenizerJson) => void = () => {},
  files: Record<string, unknown> = {},
) {
  const directory = newFolder();
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
export const texts = fc.array(pieces, { maxLength: 8 }).map((parts) => parts.join(""));

export async function rustIds(json: object, text: string): Promise<number[]> {
  const key = JSON.stringify(json);
  let rust = rusts.get(key);
  if (!rust) rusts.set(key, (rust = RustTokenizer.fromString(key)));
  return [...(await rust.encode(text, null, { addSpecialTokens: false })).getIds()];
}
const rusts = new Map<string, RustTokenizer>();

/** The four kinds of tokenizer that model families use, each made of the trained one. */
export const pipelines: [string, (json: TokenizerJson) => void][] = [
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

function llama3(json: TokenizerJson): void {
  const pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
  const split = { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  json["pre_tokenizer"] = { type: "Sequence", pretokenizers: [split, byteLevel] };
  json.model["ignore_merges"] = true;
}

function sentencePiece(json: TokenizerJson): void {
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
