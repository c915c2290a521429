/** Finds stop texts in the bytes of sampled tokens, also where a text spans several tokens. */
export class StopMatcher {
  readonly #stops: readonly Buffer[];
  readonly #keep: number;
  #tail: Buffer = Buffer.alloc(0);

  constructor(texts: readonly string[]) {
    this.#stops = texts.filter((text) => text !== "").map((text) => Buffer.from(text));
    this.#keep = Math.max(0, ...this.#stops.map(({ length }) => length - 1));
  }

  /** @returns whether a stop text ends in this token */
  push(bytes: Uint8Array): boolean {
    if (this.#stops.length === 0) return false;
    const seen = Buffer.concat([this.#tail, bytes]);
    this.#tail = seen.subarray(Math.max(0, seen.length - this.#keep));
    return this.#stops.some((stop) => seen.includes(stop));
  }
}
