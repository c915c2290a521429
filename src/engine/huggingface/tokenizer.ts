/** @file Implements the project's `Tokenizer` interface with a Hugging Face `tokenizer.json`. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { EngineError, messageOf } from "../../base/errors.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { readChatTemplate, specialToken } from "./chat-template.ts";
import { type JsonObject, readJsonObject, show } from "./json-file.ts";
import type { ModelConfig } from "./model-config.ts";
import { type AddedToken, readTokenizerFile, type TokenizerFile } from "./tokenizer-file.ts";

const MAX_SETTINGS_BYTES = 10 * 2 ** 20;

/** @throws EngineError naming the file if the folder has no usable tokenizer */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  const file = join(directory, "tokenizer.json");
  const checked = readTokenizerFile(file);
  const settings = settingsOf(directory, "tokenizer_config.json");
  const { added, pieces } = checked;
  const encoders = encodersOf(file, checked);
  const bytesOf = (id: number): Uint8Array => {
    const bytes = pieces[id];
    if (!bytes) throw new EngineError(`${file} has no token ${id}`);
    return bytes;
  };
  return {
    vocabSize: pieces.length,
    eosIds: eosIdsOf(directory, settings, checked),
    specialIds: new Set(added.map(({ id }) => id)),
    ...encoders,
    bytesOf,
    decode: (ids) => Buffer.concat(Array.from(ids, bytesOf)).toString("utf8"),
    chatTemplate: readChatTemplate(directory, settings),
  };
}

/**
 * @throws EngineError if the tokenizer has ids beyond the model's vocabulary, or an end-of-reply id is not a special
 * token
 */
export function checkTokenizer(tokenizer: Tokenizer, config: ModelConfig, directory: string): void {
  const hint = "the tokenizer belongs to another model";
  const file = join(directory, "tokenizer.json");
  if (tokenizer.vocabSize > config.vocabSize)
    throw new EngineError(
      `${file} has ids up to ${tokenizer.vocabSize - 1}, beyond the model's vocabulary of ${config.vocabSize}`,
      { hint },
    );
  const word = config.eosIds.find((id) => !tokenizer.specialIds.has(id));
  if (word === undefined) return;
  const what = word < tokenizer.vocabSize ? `the piece ${show(tokenizer.decode([word]))}` : "no token at all";
  throw new EngineError(`${join(directory, "config.json")} ends a reply with id ${word}, which in ${file} is ${what}`, {
    hint,
  });
}

type Encode = (text: string) => number[];

function encodersOf(
  file: string,
  { json, model, added }: TokenizerFile,
): Pick<Tokenizer, "encodeText" | "encodeTemplate"> {
  const encoderOf = (content: object): Encode => {
    try {
      // tokenizer_config.json is not passed on: the reference implementation does not read it either
      const tokenizer = new HuggingFaceTokenizer(content, {});
      return (text) => (text === "" ? [] : tokenizer.encode(text, { add_special_tokens: false }).ids);
    } catch (cause) {
      throw new EngineError(`${file} cannot be used: ${messageOf(cause)}`, { cause });
    }
  };
  const whole = encoderOf(json);
  // Without added tokens, a special token in a text is encoded as ordinary text. Without unk_token, which is one of
  // them, a byte that the vocabulary lacks (in SmolLM2 some control characters) is dropped, as the reference does if no
  // unk_token is set.
  const plain = encoderOf({ ...json, added_tokens: [], post_processor: null, model: { ...model, unk_token: null } });
  const encodeText = spellingOut(plain, added, file);
  // a lone surrogate has no UTF-8 bytes: it becomes U+FFFD
  return {
    encodeText: (text) => Int32Array.from(encodeText(text.toWellFormed())),
    encodeTemplate: (text) => Int32Array.from(whole(text.toWellFormed())),
  };
}

/**
 * Merges may still produce an added token that is also in the vocabulary; then the text is encoded in smaller parts.
 */
function spellingOut(plain: Encode, added: readonly AddedToken[], file: string): Encode {
  const special = new Set(added.map(({ id }) => id));
  const isClean = (ids: readonly number[]) => !ids.some((id) => special.has(id));
  return (text) => {
    const ids = plain(text);
    if (isClean(ids)) return ids;
    return cutSpellings(text, added).flatMap((part) => {
      const partIds = plain(part);
      if (isClean(partIds)) return partIds;
      const letters = [...part].flatMap(plain); // a normaliser produced it: single characters do not avoid it
      if (isClean(letters)) return letters;
      throw new EngineError(`${file} encodes ${show(part)} as a special token only`, {
        hint: "text from outside may not hold special tokens; remove the token from added_tokens",
      });
    });
  };
}

/** Cuts a text after the first character of every occurrence of an added token, so that no part contains one. */
function cutSpellings(text: string, added: readonly AddedToken[]): string[] {
  const cuts = new Set<number>();
  for (const { content } of added) {
    const first = String.fromCodePoint(content.codePointAt(0)!).length;
    for (let at = text.indexOf(content); at >= 0; at = text.indexOf(content, at + first)) cuts.add(at + first);
  }
  const bounds = [0, ...[...cuts].sort((a, b) => a - b), text.length];
  return bounds.slice(1).map((to, i) => text.slice(bounds[i], to));
}

/** Reads a settings file; a folder need not have it. */
export function settingsOf(directory: string, name: string): JsonObject {
  const file = join(directory, name);
  return existsSync(file) ? readJsonObject(file, { maxBytes: MAX_SETTINGS_BYTES }) : {};
}

/** generation_config.json takes precedence: a chat model often ends its turn with another token than its base model. */
function eosIdsOf(directory: string, settings: JsonObject, { ids, pieces }: TokenizerFile): number[] {
  const found = new Set<number>();
  for (const name of ["generation_config.json", "config.json"]) {
    const value = settingsOf(directory, name)["eos_token_id"] ?? [];
    for (const id of Array.isArray(value) ? (value as unknown[]) : [value]) {
      if (typeof id !== "number" || !pieces[id])
        throw new EngineError(`${join(directory, name)}: eos_token_id ${show(id)} is no id of tokenizer.json`);
      found.add(id);
    }
  }
  const eos = specialToken(settings["eos_token"]);
  const id = eos === undefined ? undefined : ids.get(eos);
  if (eos !== undefined && id === undefined)
    throw new EngineError(
      `${join(directory, "tokenizer_config.json")}: eos_token ${show(eos)} is not in tokenizer.json`,
    );
  if (id !== undefined) found.add(id);
  return [...found];
}
