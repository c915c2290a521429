/**
 * @file Invented names. A word is two syllables (a film's three), each consonant-vowel-consonant, so that a small
 * tokenizer cuts a name into one token per syllable and a small model can copy it. Every word belongs to one split,
 * by its checksum: pretraining, training and test worlds share no name.
 */
import { crc32 } from "node:zlib";
import type { Random } from "../../base/random.ts";

export type Split = "pretrain" | "train" | "test";

const consonants = [..."bdfgklmnprst"];
const vowels = [..."aeiou"];
const codas = [..."klmnrs"];

/** 100 of the 360 possible syllables, spread evenly: fewer syllables are learnt sooner. */
export const syllables: readonly string[] = (() => {
  const all = consonants.flatMap((c) => vowels.flatMap((v) => codas.map((k) => c + v + k)));
  return Array.from({ length: 100 }, (_, i) => all[(i * 97) % all.length]!);
})();

/**
 * An eighth of the words for tests, an eighth for training, the rest for pretraining: the more words pretraining
 * leaves out, the more it gains by remembering which pairs of syllables are words, and the worse it copies new ones.
 */
export function splitOf(word: string): Split {
  const class8 = checksum(word.toLowerCase()) % 8;
  return class8 === 0 ? "test" : class8 === 1 ? "train" : "pretrain";
}

/** Draws new words of one split; never the same word twice. */
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

/** CRC-32; Node 20 has it in zlib from 20.15 on. */
function checksum(text: string): number {
  return crc32(text);
}
