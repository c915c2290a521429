/**
 * @file Keyed randomness: a draw is a pure function of its key, so a resumed run, another order of arrival or another
 * batch gives the same draws. There is no generator state to save, and no `Math.random` in training code.
 */

/** A key is a path of numbers and words, for example `[seed, "sample", step, question, sibling, turn, position]`. */
export type RandomKey = readonly (number | string)[];

/** 64 bits of hash state in two 32-bit halves (mixed like murmur3, twice). */
function hashKey(key: RandomKey): [number, number] {
  let a = 0x9e3779b9 | 0;
  let b = 0x85ebca6b | 0;
  const mix = (word: number) => {
    a = Math.imul(a ^ word, 0xcc9e2d51);
    a = (a << 15) | (a >>> 17);
    a = (Math.imul(a, 0x1b873593) + 0xe6546b64) | 0;
    b = Math.imul(b ^ Math.imul(word, 0x2c1b3c6d) ^ a, 0x297a2d39);
    b = (b << 13) | (b >>> 19);
    b = (Math.imul(b, 5) + 0x561ccd1b) | 0;
  };
  for (const part of key) {
    if (typeof part === "string") {
      mix(0x53545200 ^ part.length);
      for (let i = 0; i < part.length; i++) mix(part.charCodeAt(i));
    } else if (Number.isSafeInteger(part)) {
      mix(part | 0);
      mix(Math.floor(part / 4294967296) | 0);
    } else {
      throw new Error(`random key part ${part} is not an integer or a string`);
    }
  }
  return [finalize(a ^ b), finalize(Math.imul(b, 0x9e3779b1) ^ a)];
}

function finalize(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** One uniform draw in [0, 1) with 53 bits, which depends only on the key. */
export function uniform(key: RandomKey): number {
  const [high, low] = hashKey(key);
  return ((high >>> 5) * 67108864 + (low >>> 6)) / 9007199254740992;
}

/** A generator whose whole sequence depends only on its key; for making worlds, shuffles and initial weights. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** Integer in [0, n). */
  int(n: number): number;
  pick<T>(items: readonly T[]): T;
  chance(probability: number): boolean;
  /** A new shuffled array. */
  shuffle<T>(items: readonly T[]): T[];
  /** Standard normal. */
  normal(): number;
}

export function randomOf(...key: (number | string)[]): Random {
  let [a, b] = hashKey(key);
  let [c, d] = hashKey([...key, "tail"]);
  // sfc32: small, fast, passes PractRand; seeded with the key's hash
  const word = () => {
    const sum = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + sum) | 0;
    return sum >>> 0;
  };
  for (let i = 0; i < 12; i++) word();
  const next = () => ((word() >>> 5) * 67108864 + (word() >>> 6)) / 9007199254740992;
  const int = (n: number) => Math.floor(next() * n);
  return {
    next,
    int,
    pick: (items) => {
      if (items.length === 0) throw new Error("pick from an empty list");
      return items[int(items.length)]!;
    },
    chance: (probability) => next() < probability,
    shuffle: (items) => {
      const out = [...items];
      for (let i = out.length - 1; i > 0; i--) {
        const j = int(i + 1);
        [out[i], out[j]] = [out[j]!, out[i]!];
      }
      return out;
    },
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}
