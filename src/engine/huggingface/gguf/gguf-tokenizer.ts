/** @file A tokenizer as llama.cpp reads it: pieces with their types, merges, and the name of the pre-tokenizer. */
import { join } from "node:path";
import { EngineError } from "../../../base/errors.ts";
import { chatTemplateSource, specialToken } from "../chat-template.ts";
import { isObject, type JsonObject, show } from "../json-file.ts";
import type { ModelConfig } from "../model-config.ts";
import { settingsOf } from "../tokenizer.ts";
import { readTokenizerFile, type TokenizerFile } from "../tokenizer-file.ts";

export interface GgufTokenizer {
  /** llama.cpp's name of the pre-tokenizer. */
  readonly pre: string;
  /** One piece per row of the model's embedding. */
  readonly tokens: readonly string[];
  /** Of each token: 1 ordinary, 3 control, 4 added by a user, 5 unused. */
  readonly types: readonly number[];
  readonly merges: readonly string[];
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  /** Whether encoding puts `bosId` first by itself. */
  readonly addsBos: boolean;
  readonly chatTemplate: string | undefined;
}

const kinds = { ordinary: 1, control: 3, added: 4, unused: 5 } as const;

/** How a text is split before merging, and whether a piece that is a whole token is used without merging. */
const words = (digits: string) =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
const rules: readonly { readonly pre: string; readonly steps: readonly string[]; readonly ignoresMerges: boolean }[] = [
  { pre: "gpt-2", steps: ["bytes, cut"], ignoresMerges: false },
  { pre: "smollm", steps: ["\\p{N}", "bytes, cut"], ignoresMerges: false },
  { pre: "llama-bpe", steps: [words("\\p{N}{1,3}"), "bytes"], ignoresMerges: true },
  { pre: "qwen2", steps: [words("\\p{N}"), "bytes"], ignoresMerges: false },
];

/** @throws EngineError if llama.cpp has no pre-tokenizer that splits texts as this tokenizer does */
export function ggufTokenizer(directory: string, config: ModelConfig): GgufTokenizer {
  const path = join(directory, "tokenizer.json");
  const file = readTokenizerFile(path);
  const settings = settingsOf(directory, "tokenizer_config.json");
  const idOf = (key: string): number | undefined => {
    const token = specialToken(settings[key]);
    return token === undefined ? undefined : file.ids.get(token);
  };
  return {
    pre: preOf(path, file),
    ...vocabularyOf(file, config.vocabSize),
    merges: (file.model["merges"] as (string | [string, string])[]).map((merge) =>
      Array.isArray(merge) ? merge.join(" ") : merge,
    ),
    bosId: idOf("bos_token") ?? config.bosId,
    eosId: idOf("eos_token") ?? config.eosIds[0],
    padId: idOf("pad_token") ?? config.padId,
    addsBos: addsBos(file.json["post_processor"]),
    chatTemplate: chatTemplateSource(directory, settings)?.source,
  };
}

function vocabularyOf({ ids, added, json }: TokenizerFile, size: number): Pick<GgufTokenizer, "tokens" | "types"> {
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`);
  const types = new Array<number>(size).fill(kinds.unused);
  for (const [piece, id] of ids) {
    tokens[id] = piece;
    types[id] = kinds.ordinary;
  }
  const list = json["added_tokens"] as readonly JsonObject[];
  for (const [i, { id }] of added.entries()) types[id] = list[i]!["special"] === true ? kinds.control : kinds.added;
  return { tokens, types };
}

function preOf(path: string, { json, model }: TokenizerFile): string {
  const steps = stepsOf(json["pre_tokenizer"]);
  const ignoresMerges = model["ignore_merges"] === true;
  const rule = rules.find(
    (known) => known.steps.join("\0") === steps.join("\0") && known.ignoresMerges === ignoresMerges,
  );
  if (rule) return rule.pre;
  throw new EngineError(`${path} has a pre-tokenizer that llama.cpp does not know: ${show(json["pre_tokenizer"])}`, {
    hint: "the tokenizers of Llama 3, Qwen, SmolLM2, GPT-2 and nano can be written as GGUF; use --format hf for others",
  });
}

/** Each pre-tokenizer step as its pattern, or as "bytes" with or without GPT-2's split pattern. */
function stepsOf(part: unknown): string[] {
  if (!isObject(part)) return [show(part)];
  if (part["type"] === "Sequence" && Array.isArray(part["pretokenizers"]))
    return part["pretokenizers"].flatMap(stepsOf);
  if (part["type"] === "ByteLevel" && part["add_prefix_space"] !== true)
    return [part["use_regex"] === false ? "bytes" : "bytes, cut"];
  const pattern = isObject(part["pattern"]) ? part["pattern"]["Regex"] : undefined;
  const isSplit = part["type"] === "Split" && part["behavior"] === "Isolated" && part["invert"] !== true;
  return [isSplit && typeof pattern === "string" ? pattern : show(part)];
}

/** A post-processor that puts a special token before the text. */
function addsBos(part: unknown): boolean {
  if (!isObject(part)) return false;
  if (part["type"] === "Sequence" && Array.isArray(part["processors"])) return part["processors"].some(addsBos);
  const single = part["single"];
  return (
    part["type"] === "TemplateProcessing" && Array.isArray(single) && isObject(single[0]) && "SpecialToken" in single[0]
  );
}
