/** @file Assigns cache slots to sequences, and keeps sequences with an active request together at the front. */
import type { SampleKey, SampleRequest } from "../../engine.ts";
import { type CachedSequence, isPrefix, MIN_ROWS, sharedPrefixLength, tapeOf } from "./cached-sequence.ts";
import type { KvCache } from "./kv-cache.ts";

export class SlotScheduler {
  readonly #cache: KvCache;
  /** By slot of the cache. */
  readonly #sequences: (CachedSequence | undefined)[];
  /** One if the cache has a single slot: then bits cannot depend on a batch. */
  readonly #minRows: number;

  constructor(cache: KvCache) {
    this.#cache = cache;
    this.#minRows = Math.min(MIN_ROWS, cache.slots);
    this.#sequences = new Array(cache.slots).fill(undefined);
  }

  at(slot: number): CachedSequence | undefined {
    return this.#sequences[slot];
  }

  live(): [slot: number, sequence: CachedSequence][] {
    return [...this.#sequences.entries()].filter(
      (entry): entry is [number, CachedSequence] => entry[1]?.live !== undefined,
    );
  }

  isAnyLive(): boolean {
    return this.#sequences.some((sequence) => sequence?.live);
  }

  leave(slot: number): void {
    this.#sequences[slot] = undefined;
  }

  /** No request will continue this sequence; its slot becomes free. */
  finished(key: SampleKey): void {
    const slot = this.#sequences.findIndex((sequence) => sequence?.tape === tapeOf(key) && !sequence.live);
    if (slot >= 0) this.leave(slot);
  }

  /** Frees every slot without an active request. */
  release(): void {
    for (const [slot, sequence] of this.#sequences.entries()) if (sequence && !sequence.live) this.leave(slot);
  }

  /** The slot of the sequence that this request continues, or a free one; undefined if all are in use. */
  slotFor(request: SampleRequest, waiting: readonly { readonly request: SampleRequest }[]): number | undefined {
    const tape = tapeOf(request.key);
    const own = this.#sequences.findIndex((sequence) => sequence?.tape === tape);
    if (own >= 0) {
      const sequence = this.#sequences[own]!;
      if (sequence.live) return undefined;
      if (isPrefix(sequence.cached, request.tokens)) return own;
      sequence.cached = [];
      return own;
    }
    let slot = this.#sequences.indexOf(undefined);
    if (slot < 0) {
      const cached = new Set(this.#sequences.map((sequence) => sequence?.tape));
      if (this.isAnyLive() || waiting.some((other) => cached.has(tapeOf(other.request.key)))) return undefined;
      slot = 0; // every slot is held by a sequence that nobody has finished: the first is evicted
    }
    this.#sequences[slot] = { tape, cached: [], promptLength: 0, live: undefined };
    return slot;
  }

  /** Copies the longest common beginning that another slot holds: of a sibling, the whole prompt. @returns its tokens */
  copyPrompt(slot: number, body: Int32Array, prefillChunk: number): number {
    let [tokens, from] = [0, slot];
    for (const [other, sequence] of this.#sequences.entries()) {
      const common = sequence && other !== slot ? sharedPrefixLength(sequence, body, prefillChunk) : 0;
      if (common > tokens) [tokens, from] = [common, other];
    }
    if (tokens > 0) this.#cache.copy(from, slot, tokens);
    return tokens;
  }

  /** Rows of the next batch: up to the last slot with an active request. */
  rows(): number {
    return Math.max(this.#minRows, this.#sequences.findLastIndex((sequence) => sequence?.live) + 1);
  }

  /** Moves active sequences to the front if many idle rows between them would be computed. */
  compact(): void {
    const live = this.#sequences.filter((sequence) => sequence?.live).length;
    const rows = this.rows();
    if (rows <= Math.max(this.#minRows, 1.2 * live)) return;
    for (let target = 0, source = rows - 1; target < source; ) {
      if (this.#sequences[target]?.live) target++;
      else if (!this.#sequences[source]?.live) source--;
      else if (this.#sequences[target] === undefined) this.#move(source, target);
      else if (!this.#parkBehind(target)) return;
    }
  }

  /** Moves an idle sequence away from the front. */
  #parkBehind(slot: number): boolean {
    const free = this.#sequences.lastIndexOf(undefined);
    if (free <= slot) return false;
    this.#move(slot, free);
    return true;
  }

  #move(from: number, to: number): void {
    this.#cache.copy(from, to, this.#sequences[from]!.cached.length);
    this.#sequences[to] = this.#sequences[from];
    this.leave(from);
  }
}
