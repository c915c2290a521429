/**
 * @file Trains a byte-level BPE tokenizer and writes it as Hugging Face files. It is meant for the small models made
 * here; no npm package does it.
 */
import { join } from "node:path";
import { EngineError } from "../../base/errors.ts";
import { writeDurably } from "../../base/files.ts";
import { byteLetters } from "./byte-pieces.ts";

/** GPT-2's pre-tokenizer, as `ByteLevel` with `use_regex` applies it. */
const words = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu;

interface Word {
  pieces: string[];
  readonly count: number;
}

/**
 * @param texts plain text; special tokens must not occur in it
 * @param vocabSize total size: 256 bytes, the merges and the special tokens
 * @returns the content of tokenizer.json. Pairs with equal counts are ordered by spelling, so that equal texts give
 * equal files. Short texts give fewer pieces than requested
 * @throws EngineError if the bytes and special tokens alone exceed `vocabSize`, or two special tokens are equal
 */
export function trainBpe(options: {
  readonly texts: Iterable<string>;
  readonly vocabSize: number;
  readonly specials: readonly string[];
}): object {
  checkVocabulary(options);
  const merges: [string, string][] = [];
  const list = countWords(options.texts);
  const pieces = [...byteLetters];
  while (pieces.length < options.vocabSize - options.specials.length) {
    const best = mostFrequentPair(list);
    if (!best) break;
    merges.push(best);
    pieces.push(best.join(""));
    for (const word of list) word.pieces = merged(word.pieces, best);
  }
  return tokenizerJson(pieces, merges, options.specials);
}

function checkVocabulary({
  vocabSize,
  specials,
}: {
  readonly vocabSize: number;
  readonly specials: readonly string[];
}): void {
  const least = byteLetters.length + specials.length;
  if (!Number.isSafeInteger(vocabSize) || vocabSize < least)
    throw new EngineError(`a vocabulary of ${vocabSize} cannot hold 256 bytes and ${specials.length} special tokens`, {
      hint: `ask for ${least} or more`,
    });
  const unfit = specials.find((special, i) => special.length < 2 || specials.indexOf(special) !== i);
  if (unfit !== undefined)
    throw new EngineError(`the special token ${JSON.stringify(unfit)} is given twice or is no longer than a letter`);
}

function countWords(texts: Iterable<string>): Word[] {
  const counts = new Map<string, number>();
  for (const text of texts) for (const [word] of text.matchAll(words)) counts.set(word, (counts.get(word) ?? 0) + 1);
  const letters = (word: string) => Array.from(new TextEncoder().encode(word), (byte) => byteLetters[byte]!);
  return [...counts].map(([word, count]) => ({ pieces: letters(word), count }));
}

function mostFrequentPair(list: readonly Word[]): [string, string] | undefined {
  const counts = new Map<string, number>();
  for (const { pieces, count } of list) {
    for (let i = 1; i < pieces.length; i++) {
      const pair = `${pieces[i - 1]} ${pieces[i]}`;
      counts.set(pair, (counts.get(pair) ?? 0) + count);
    }
  }
  let best: string | undefined;
  let most = 1; // a pair seen only once is not worth a token
  for (const [pair, count] of counts) {
    if (count > most || (count === most && best !== undefined && pair < best)) {
      best = pair;
      most = count;
    }
  }
  return best?.split(" ") as [string, string] | undefined;
}

function merged(pieces: readonly string[], [first, second]: readonly [string, string]): string[] {
  const out: string[] = [];
  for (let i = 0; i < pieces.length; i++) {
    if (pieces[i] === first && pieces[i + 1] === second) {
      out.push(first + second);
      i++;
    } else out.push(pieces[i]!);
  }
  return out;
}

function tokenizerJson(
  pieces: readonly string[],
  merges: readonly [string, string][],
  specials: readonly string[],
): object {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, i) => ({
      id: pieces.length + i,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
      merges,
    },
  };
}

export interface TokenizerRoles {
  /** The special token that ends a reply. */
  readonly eos: string;
  /** The padding token; default `eos`. */
  readonly pad?: string;
  readonly contextLength: number;
}

/**
 * Writes the tokenizer files of a folder that transformers, vLLM and this project can load, each durably.
 * @throws EngineError if `eos` or `pad` is not a special token of the tokenizer
 */
export function writeTokenizer(
  directory: string,
  json: object,
  { eos, pad = eos, contextLength }: TokenizerRoles,
): void {
  const { added_tokens: added } = json as { added_tokens: { id: number; content: string }[] };
  const idOf = (token: string): number => {
    const id = added.find(({ content }) => content === token)?.id;
    if (id === undefined) throw new EngineError(`${JSON.stringify(token)} is not among the special tokens`);
    return id;
  };
  const ids = { eos_token_id: idOf(eos), pad_token_id: idOf(pad) };
  const tokens = { eos_token: eos, pad_token: pad };
  const write = (name: string, value: object) =>
    writeDurably(join(directory, name), `${JSON.stringify(value, null, 1)}\n`);
  write("tokenizer.json", json);
  write("tokenizer_config.json", {
    tokenizer_class: "PreTrainedTokenizerFast",
    model_max_length: contextLength,
    clean_up_tokenization_spaces: false,
    ...tokens,
  });
  write("special_tokens_map.json", tokens);
  write("generation_config.json", ids);
}
