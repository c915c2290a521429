/**
 * @file Reads and checks `tokenizer.json`, including what the tokenizer library accepts silently and then encodes
 * wrongly.
 */
import { EngineError } from "../../base/errors.ts";
import { byteLetters, type PieceSpelling, pieceBytes } from "./byte-pieces.ts";
import { isObject, type JsonObject, readJsonObject, show } from "./json-file.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
}

export interface TokenizerFile {
  readonly json: JsonObject;
  /** The BPE model: vocabulary, merges, options. */
  readonly model: JsonObject;
  readonly added: readonly AddedToken[];
  /** Ids by piece, added tokens included. */
  readonly ids: ReadonlyMap<string, number>;
  /** The bytes of each token, by id; there may be gaps between ids. */
  readonly pieces: readonly (Uint8Array | undefined)[];
}

const MAX_BYTES = 100 * 2 ** 20;
const MAX_ID = 2 ** 21;
const MAX_PATTERN = 4_000;

type Fail = (message: string, hint?: string) => never;

/** @throws EngineError naming the file and what is wrong with it */
export function readTokenizerFile(file: string): TokenizerFile {
  const json = readJsonObject(file, { maxBytes: MAX_BYTES, hint: "a model folder needs its tokenizer.json" });
  const fail: Fail = (message, hint) => {
    throw new EngineError(`${file}: ${message}`, { hint });
  };
  const model = json["model"];
  if (!isObject(model)) return fail("it has no model", "a BPE tokenizer.json is expected");
  if (model["type"] !== "BPE") fail(`its model is of type ${show(model["type"])}; BPE is supported`);
  for (const key of ["continuing_subword_prefix", "end_of_word_suffix"])
    if ((model[key] ?? "") !== "") fail(`model.${key} ${show(model[key])} is not supported`);
  for (const part of ["normalizer", "pre_tokenizer"]) checkPatterns(json[part], part, fail);
  const ids = vocabularyOf(model["vocab"], fail);
  checkMerges(model["merges"], ids, fail);
  const spelling = spellingOf(json, model, fail);
  const pieces: (Uint8Array | undefined)[] = [];
  for (const [piece, id] of ids) {
    if (pieces[id] !== undefined) fail(`${show(piece)} has id ${id}, which another piece has`);
    pieces[id] = pieceBytes(piece, spelling);
  }
  const added = addedTokensOf(json["added_tokens"] ?? [], fail);
  for (const token of added) addToken(token, { ids, pieces, spelling, fail });
  const usable = { ...json, added_tokens: json["added_tokens"] ?? [], pre_tokenizer: anyDigits(json["pre_tokenizer"]) };
  return { json: usable, model, added, ids, pieces };
}

/**
 * The library's Digits matches only 0 to 9, the reference's everything that Unicode calls a number ("½", "Ⅷ"). A Split
 * replaces it.
 */
function anyDigits(part: unknown): unknown {
  if (Array.isArray(part)) return part.map(anyDigits);
  if (!isObject(part)) return part;
  if (part["type"] === "Digits") {
    const pattern = { Regex: part["individual_digits"] === true ? "\\p{N}" : "\\p{N}+" };
    return { type: "Split", pattern, behavior: "Isolated", invert: false };
  }
  return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, anyDigits(value)]));
}

function vocabularyOf(vocab: unknown, fail: Fail): Map<string, number> {
  if (!isObject(vocab) || Object.keys(vocab).length === 0) return fail("it has no model.vocab");
  const ids = new Map<string, number>();
  for (const [piece, id] of Object.entries(vocab)) ids.set(piece, checkedId(id, piece, fail));
  return ids;
}

function checkedId(id: unknown, piece: string, fail: Fail): number {
  if (typeof id === "number" && Number.isInteger(id) && id >= 0 && id <= MAX_ID) return id;
  return fail(`${show(piece)} has id ${show(id)}; expected a whole number up to ${MAX_ID}`);
}

function checkMerges(merges: unknown, ids: ReadonlyMap<string, number>, fail: Fail): void {
  if (!Array.isArray(merges)) fail("it has no model.merges");
  for (const [i, merge] of merges.entries()) {
    // the library assumes that every merge has the form of the first one: a list, or a text with one space
    const isList = Array.isArray(merge);
    const pair: unknown[] = isList ? merge : typeof merge === "string" ? merge.split(" ") : [];
    if (isList !== Array.isArray(merges[0]) || pair.length !== 2) fail(`merge ${i} is ${show(merge)}`);
    for (const piece of [pair[0], pair[1], `${pair[0]}${pair[1]}`]) {
      if (typeof piece !== "string" || !ids.has(piece))
        fail(`merge ${i} ${show(merge)} needs the piece ${show(piece)}, which the vocabulary lacks`);
    }
  }
}

function addedTokensOf(list: unknown, fail: Fail): AddedToken[] {
  if (!Array.isArray(list)) return fail(`added_tokens is ${show(list)}; expected a list`);
  return list.map((token: unknown) => {
    if (!isObject(token) || typeof token["content"] !== "string" || token["content"] === "")
      return fail(`added_tokens holds ${show(token)}; expected an id and a content`);
    if (token["single_word"] === true)
      fail(`the added token ${show(token["content"])} is single_word, which is not supported`);
    return { id: checkedId(token["id"], token["content"], fail), content: token["content"] };
  });
}

function addToken(
  { id, content }: AddedToken,
  parts: {
    readonly ids: Map<string, number>;
    readonly pieces: (Uint8Array | undefined)[];
    readonly spelling: PieceSpelling;
    readonly fail: Fail;
  },
): void {
  const known = parts.ids.get(content);
  if (known !== undefined && known !== id)
    parts.fail(`the added token ${show(content)} has id ${id}, in model.vocab ${known}`);
  if (known === undefined && parts.pieces[id] !== undefined)
    parts.fail(`the added token ${show(content)} has id ${id}, which another piece has`);
  if (known !== undefined && parts.spelling === "byte-level" && byteLetters.includes(content))
    parts.fail(`the added token ${show(content)} is also a plain byte: untrusted text would be encoded to it`);
  parts.ids.set(content, id);
  parts.pieces[id] = new TextEncoder().encode(content);
}

function spellingOf(json: JsonObject, model: JsonObject, fail: Fail): PieceSpelling {
  const kinds = new Set([
    ...kindsIn(json["pre_tokenizer"]),
    ...kindsIn(json["decoder"]),
    ...kindsIn(json["normalizer"]),
  ]);
  if (kinds.has("ByteLevel")) return "byte-level";
  if (model["byte_fallback"] === true || kinds.has("Metaspace")) return "sentencepiece";
  return fail("it is neither byte-level BPE nor SentencePiece-like BPE", "one of these two kinds is expected");
}

/** Every `type` in a part of the pipeline, at any depth; depth was bounded when the file was read. */
function kindsIn(part: unknown): string[] {
  if (Array.isArray(part)) return part.flatMap(kindsIn);
  if (!isObject(part)) return [];
  return [...(typeof part["type"] === "string" ? [part["type"]] : []), ...Object.values(part).flatMap(kindsIn)];
}

/** A repeated group can take exponential time on a hostile text; no known tokenizer has one. */
function checkPatterns(part: unknown, where: string, fail: Fail): void {
  if (typeof part !== "object" || part === null) return;
  for (const [key, value] of Object.entries(part)) {
    if (key === "Regex" && typeof value === "string" && (value.length > MAX_PATTERN || repeatsGroup(value)))
      fail(`the pattern ${show(value)} of its ${where} can take exponential time on some texts`);
    checkPatterns(value, where, fail);
  }
}

function repeatsGroup(pattern: string): boolean {
  let inClass = false;
  for (let at = 0; at < pattern.length; at++) {
    const letter = pattern[at];
    if (letter === "\\") at++;
    else if (letter === "[") inClass = true;
    else if (letter === "]") inClass = false;
    else if (letter === ")" && !inClass && "*+{".includes(pattern[at + 1] ?? " ")) return true;
  }
  return false;
}
