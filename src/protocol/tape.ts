/**
 * @file The only record of who wrote what. Loss mask, stops, rewards, metrics and the studio read authors from
 * here; nothing ever finds documents by scanning text.
 */
export type Author = "prompt" | "policy" | EnvironmentAuthor;

/** What an environment writes as: a search that brought documents, or any other tool. */
export type EnvironmentAuthor = (typeof environmentAuthors)[number];
export const environmentAuthors = ["search", "tool"] as const;

export interface Run {
  readonly author: Author;
  readonly length: number;
}

/** Tokens [T] and their authors as runs; Σ length = T, neighbouring runs may have the same author (two calls). */
export interface Tape {
  readonly tokens: Int32Array;
  readonly runs: readonly Run[];
}

/** A tape that grows at its end; what is on it never changes. */
export class TapeBuilder {
  #buffer = new Int32Array(256);
  #length = 0;
  readonly #runs: Run[] = [];

  append(author: Author, tokens: ArrayLike<number>): void {
    if (tokens.length === 0) return;
    const end = this.#length + tokens.length;
    if (end > this.#buffer.length) {
      const wider = new Int32Array(Math.max(end, 2 * this.#buffer.length));
      wider.set(this.#buffer);
      this.#buffer = wider;
    }
    this.#buffer.set(tokens, this.#length);
    this.#length = end;
    this.#runs.push({ author, length: tokens.length });
  }

  get length(): number {
    return this.#length;
  }

  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** A copy: whoever receives it may keep it or hand its memory on. */
  get tokens(): Int32Array {
    return this.#buffer.slice(0, this.#length);
  }

  tape(): Tape {
    return { tokens: this.tokens, runs: [...this.#runs] };
  }
}

/** The tokens before anybody answered. */
export function promptTokens({ tokens, runs }: Tape): Int32Array {
  const end = runs.findIndex(({ author }) => author !== "prompt");
  const own = end < 0 ? runs : runs.slice(0, end);
  return tokens.subarray(
    0,
    own.reduce((sum, { length }) => sum + length, 0),
  );
}

/** [T]: 1 where the policy wrote, 0 elsewhere. */
export function lossMask({ tokens, runs }: Tape): Uint8Array {
  const mask = new Uint8Array(tokens.length);
  let at = 0;
  for (const { author, length } of runs) {
    if (author === "policy") mask.fill(1, at, at + length);
    at += length;
  }
  return mask;
}

/** Who wrote the token at `index`; undefined beyond the end. */
export function authorAt({ runs }: Pick<Tape, "runs">, index: number): Author | undefined {
  if (index < 0) return undefined;
  let end = 0;
  for (const { author, length } of runs) {
    end += length;
    if (index < end) return author;
  }
  return undefined;
}
