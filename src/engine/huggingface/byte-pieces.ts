/** @file The bytes that a vocabulary piece stands for, in the two spellings that are in use. */

/**
 * - "byte-level" (GPT-2, Llama 3, Qwen, SmolLM, nano): every character of a piece is one byte - "sentencepiece" (Llama
 * 2, Mistral): plain text, `▁` for a space, `<0x0A>` for a byte that is not text
 */
export type PieceSpelling = "byte-level" | "sentencepiece";

/** GPT-2's alphabet: printable bytes map to themselves, the others to characters from U+0100 on. */
export const byteLetters: readonly string[] = (() => {
  const printable = (byte: number) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();

const byteOfLetter = new Map(byteLetters.map((letter, byte) => [letter, byte]));
const encoder = new TextEncoder();

export function pieceBytes(piece: string, spelling: PieceSpelling): Uint8Array {
  switch (spelling) {
    case "byte-level": {
      const bytes = Array.from(piece, (letter) => byteOfLetter.get(letter));
      // like the reference decoder, a piece with a character outside the alphabet is read as plain text
      return bytes.includes(undefined) ? encoder.encode(piece) : Uint8Array.from(bytes as number[]);
    }
    case "sentencepiece": {
      const byte = /^<0x([0-9A-F]{2})>$/.exec(piece)?.[1];
      return byte === undefined ? encoder.encode(piece.replaceAll("▁", " ")) : Uint8Array.of(Number.parseInt(byte, 16));
    }
  }
}
