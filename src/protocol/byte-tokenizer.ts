import type { Tokenizer } from "../base/tokenizer.ts";

export interface ByteTokenizerOptions {
  /** Which of the specials ends a reply; none by default. */
  readonly eos?: string;
  /** Longer plain tokens that only a policy writes: encoding never makes them, so encoding what was decoded changes ids. */
  readonly pieces?: readonly string[];
  readonly chatTemplate?: (messages: readonly { role: string; content: string }[]) => string;
}

/** A tokenizer that needs no file: ids 0–255 are bytes, then the specials, then the pieces. For tests and examples. */
export function byteTokenizer(
  specials: readonly string[],
  { eos, pieces = [], chatTemplate }: ByteTokenizerOptions = {},
): Tokenizer {
  if (eos !== undefined && !specials.includes(eos))
    throw new Error(`the end of a reply ${JSON.stringify(eos)} is not a special token`);
  const encoder = new TextEncoder();
  const table = [
    ...Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte)),
    ...[...specials, ...pieces].map((text) => encoder.encode(text)),
  ];
  const idOf = new Map(specials.map((text, i) => [text, 256 + i]));
  const longestFirst = [...specials].sort((a, b) => b.length - a.length);
  const literal = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  /** Matches a special token, the longest one first; nothing where there are none. */
  const special = specials.length === 0 ? /(?!)/ : new RegExp(`(${longestFirst.map(literal).join("|")})`);
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  const bytesOf = (id: number): Uint8Array => {
    const bytes = table[id];
    if (!bytes) throw new Error(`there is no token ${id}`);
    return bytes;
  };
  const encodeText = (text: string) => Int32Array.from(encoder.encode(text));
  return {
    vocabSize: table.length,
    eosIds: eos === undefined ? [] : [idOf.get(eos)!],
    specialIds: new Set(idOf.values()),
    encodeText,
    encodeTemplate: (text) =>
      // the odd pieces are what the pattern captured
      Int32Array.from(
        text.split(special).flatMap((piece, i) => (i % 2 === 1 ? idOf.get(piece)! : [...encoder.encode(piece)])),
      ),
    bytesOf,
    decode: (ids) => {
      const pieces = Array.from(ids, bytesOf);
      const bytes = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
      let at = 0;
      for (const piece of pieces) {
        bytes.set(piece, at);
        at += piece.length;
      }
      return decoder.decode(bytes);
    },
    chatTemplate,
  };
}
