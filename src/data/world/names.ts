/**
 * @file Invented names. A word is two syllables (in film titles three), each consonant-vowel-consonant, so that a small
 * tokenizer makes one token per syllable and a small model can copy a name. Every word belongs to one split, chosen by
 * its checksum, so pretraining, training and test worlds share no name.
 */
import { crc32 } from "node:zlib";
import type { Random } from "../../base/random.ts";

export type Split = "pretrain" | "train" | "test";

const consonants = [..."bdfgklmnprst"];
const vowels = [..."aeiou"];
const codas = [..."klmnrs"];

/** 100 of the 360 possible syllables, spread evenly: a smaller set is learnt sooner. */
export const syllables: readonly string[] = (() => {
  const all = consonants.flatMap((c) => vowels.flatMap((v) => codas.map((k) => c + v + k)));
  return Array.from({ length: 100 }, (_, i) => all[(i * 97) % all.length]!);
})();

/**
 * An eighth of the words for tests, an eighth for training, the rest for pretraining. If pretraining left out more
 * words, memorising which syllables form words would help it more, and it would copy new words worse.
 */
export function splitOf(word: string): Split {
  const class8 = checksum(word.toLowerCase()) % 8;
  return class8 === 0 ? "test" : class8 === 1 ? "train" : "pretrain";
}

/** Draws new words of one split, never the same word twice. */
export class NameMaker {
  readonly #random: Random;
  readonly #split: Split;
  readonly #used = new Set<string>();

  constructor(random: Random, split: Split) {
    this.#random = random;
    this.#split = split;
  }

  word(syllableCount = 2): string {
    for (;;) {
      const letters = Array.from({ length: syllableCount }, () => this.#random.pick(syllables)).join("");
      if (this.#used.has(letters) || splitOf(letters) !== this.#split) continue;
      this.#used.add(letters);
      return letters[0]!.toUpperCase() + letters.slice(1);
    }
  }

  words(count: number, syllableCount = 2): string[] {
    return Array.from({ length: count }, () => this.word(syllableCount));
  }
}

/** CRC-32; Node's zlib has it only since 20.15. */
function checksum(text: string): number {
  return crc32(text);
}
