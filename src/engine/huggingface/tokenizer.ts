/** @file A Hugging Face `tokenizer.json` behind the project's `Tokenizer` interface. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { EngineError, messageOf } from "../../base/errors.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import type { ModelConfig } from "./model-config.ts";

const MAX_TOKENIZER_BYTES = 256 * 2 ** 20;
const MAX_ID = 2 ** 21;

interface AddedToken {
  readonly id: number;
  readonly content: string;
}

/** @throws EngineError naming the file where the folder has no usable tokenizer */
export async function loadTokenizer(directory: string): Promise<Tokenizer> {
  const file = join(directory, "tokenizer.json");
  const json = readJson(file) as { added_tokens?: AddedToken[]; model?: { vocab?: Record<string, number> } };
  const settings = existsSync(join(directory, "tokenizer_config.json"))
    ? (readJson(join(directory, "tokenizer_config.json")) as Record<string, unknown>)
    : {};
  const added = json.added_tokens ?? [];
  const vocab = json.model?.vocab;
  if (typeof vocab !== "object" || vocab === null || !Array.isArray(added)) {
    throw new EngineError(`${file} has no model.vocab`, { hint: "a byte-level BPE tokenizer.json is expected" });
  }
  const pieces = piecesOf(file, vocab, added);
  let whole: HuggingFaceTokenizer;
  let plain: HuggingFaceTokenizer;
  try {
    whole = new HuggingFaceTokenizer(json, settings);
    // without added tokens nothing in a text can become one: special tokens in it are spelled out
    plain = new HuggingFaceTokenizer({ ...json, added_tokens: [], post_processor: null }, {});
  } catch (cause) {
    throw new EngineError(`${file} cannot be used: ${messageOf(cause)}`, { cause });
  }
  return build({
    file,
    pieces,
    added,
    whole,
    plain,
    eosIds: eosIdsOf(directory, settings, added),
    template: templateOf(directory, settings),
  });
}

interface Parts {
  readonly file: string;
  readonly pieces: readonly (Uint8Array | undefined)[];
  readonly added: readonly AddedToken[];
  readonly whole: HuggingFaceTokenizer;
  readonly plain: HuggingFaceTokenizer;
  readonly eosIds: readonly number[];
  readonly template: Template | undefined;
}

function build({ file, pieces, added, whole, plain, eosIds, template }: Parts): Tokenizer {
  const specialIds = new Set(added.map(({ id }) => id));
  const encodeText = (untrusted: string): Int32Array => {
    const text = untrusted.toWellFormed(); // a lone surrogate has no bytes
    if (text === "") return new Int32Array();
    const ids = Int32Array.from(plain.encode(text, { add_special_tokens: false }).ids);
    if (ids.some((id) => specialIds.has(id))) {
      // merges lead to the special token's own piece: letters alone cannot
      return Int32Array.from([...text].flatMap((letter) => plain.encode(letter, { add_special_tokens: false }).ids));
    }
    return ids;
  };
  const bytesOf = (id: number): Uint8Array => {
    const bytes = pieces[id];
    if (!bytes) throw new EngineError(`${file} has no token ${id}`);
    return bytes;
  };
  return {
    vocabSize: pieces.length,
    eosIds,
    specialIds,
    encodeText,
    encodeTemplate: (text) =>
      text === "" ? new Int32Array() : Int32Array.from(whole.encode(text, { add_special_tokens: false }).ids),
    bytesOf,
    decode: (ids) => Buffer.concat(Array.from(ids, bytesOf)).toString("utf8"),
    chatTemplate: template
      ? (messages) =>
          template.render({
            messages: messages.map(({ role, content }) => ({ role, content })),
            add_generation_prompt: true,
            bos_token: "",
            eos_token: "",
          })
      : undefined,
  };
}

function readJson(file: string): unknown {
  try {
    if (statSync(file).size > MAX_TOKENIZER_BYTES) throw new Error("it is larger than 256 MB");
    const value: unknown = JSON.parse(readFileSync(file, "utf8"));
    if (typeof value !== "object" || value === null) throw new Error("it is not a JSON object");
    return value;
  } catch (cause) {
    throw new EngineError(`${file} cannot be read: ${messageOf(cause)}`, { cause });
  }
}

/** The bytes of every token, by id. */
function piecesOf(
  file: string,
  vocab: Record<string, number>,
  added: readonly AddedToken[],
): (Uint8Array | undefined)[] {
  const pieces: (Uint8Array | undefined)[] = [];
  const put = (id: number, bytes: Uint8Array, what: string) => {
    if (!Number.isSafeInteger(id) || id < 0 || id > MAX_ID)
      throw new EngineError(`${file}: ${JSON.stringify(what)} has id ${id}`);
    pieces[id] = bytes;
  };
  for (const [piece, id] of Object.entries(vocab)) put(id, byteLevel(piece), piece);
  const encoder = new TextEncoder();
  for (const { id, content } of added) put(id, encoder.encode(content), content);
  return pieces;
}

/** GPT-2's alphabet: printable bytes stand for themselves, the others for letters from U+0100 on. */
export const byteLetters: readonly string[] = (() => {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();

const byteOfLetter = new Map(byteLetters.map((letter, byte) => [letter, byte]));

function byteLevel(piece: string): Uint8Array {
  const letters = [...piece];
  const bytes = letters.map((letter) => byteOfLetter.get(letter));
  // a piece outside the alphabet is an added token that the vocabulary lists as well
  return bytes.includes(undefined) ? new TextEncoder().encode(piece) : Uint8Array.from(bytes as number[]);
}

function eosIdsOf(directory: string, settings: Record<string, unknown>, added: readonly AddedToken[]): number[] {
  const ids = new Set<number>();
  for (const name of ["generation_config.json", "config.json"]) {
    const file = join(directory, name);
    if (!existsSync(file)) continue;
    const value = (readJson(file) as Record<string, unknown>)["eos_token_id"];
    for (const id of Array.isArray(value) ? value : [value]) if (Number.isSafeInteger(id)) ids.add(id as number);
  }
  const name = settings["eos_token"];
  const content = typeof name === "string" ? name : (name as AddedToken | undefined)?.content;
  const token = added.find((candidate) => candidate.content === content);
  if (token) ids.add(token.id);
  return [...ids];
}

function templateOf(directory: string, settings: Record<string, unknown>): Template | undefined {
  const file = join(directory, "chat_template.jinja");
  const source = existsSync(file) ? readFileSync(file, "utf8") : settings["chat_template"];
  return typeof source === "string" ? new Template(source) : undefined;
}

/** @throws EngineError where the tokenizer has ids that the model has no row for */
export function checkTokenizer(tokenizer: Tokenizer, config: ModelConfig, directory: string): void {
  if (tokenizer.vocabSize <= config.vocabSize) return;
  throw new EngineError(
    `${join(directory, "tokenizer.json")} has ids up to ${tokenizer.vocabSize - 1}, beyond the model's vocabulary of ${config.vocabSize}`,
    { hint: "the tokenizer belongs to another model" },
  );
}
