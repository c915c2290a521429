/** @file Who sits where in the cache: tapes come and go, and live ones are kept together at the front. */
import type { SampleKey, SampleRequest } from "../../engine.ts";
import type { KvCache } from "./kv-cache.ts";
import { commonOpening, isPrefix, MIN_ROWS, type Seat, tapeOf } from "./seat.ts";

export class Seating {
  readonly #cache: KvCache;
  /** By slot of the cache. */
  readonly #seats: (Seat | undefined)[];
  /** Where there is one seat alone, nobody's bits can depend on company. */
  readonly #minRows: number;

  constructor(cache: KvCache) {
    this.#cache = cache;
    this.#minRows = Math.min(MIN_ROWS, cache.slots);
    this.#seats = new Array(cache.slots).fill(undefined);
  }

  at(slot: number): Seat | undefined {
    return this.#seats[slot];
  }

  live(): [slot: number, seat: Seat][] {
    return [...this.#seats.entries()].filter((entry): entry is [number, Seat] => entry[1]?.live !== undefined);
  }

  isAnyLive(): boolean {
    return this.#seats.some((seat) => seat?.live);
  }

  leave(slot: number): void {
    this.#seats[slot] = undefined;
  }

  /** The tape will not be continued. */
  finished(key: SampleKey): void {
    const slot = this.#seats.findIndex((seat) => seat?.tape === tapeOf(key) && !seat.live);
    if (slot >= 0) this.leave(slot);
  }

  /** Forgets every tape that is not being sampled. */
  release(): void {
    for (const [slot, seat] of this.#seats.entries()) if (seat && !seat.live) this.leave(slot);
  }

  /** The slot of the tape this request continues, or of a new one; undefined where all are taken. */
  slotFor(request: SampleRequest, waiting: readonly { readonly request: SampleRequest }[]): number | undefined {
    const tape = tapeOf(request.key);
    const own = this.#seats.findIndex((seat) => seat?.tape === tape);
    if (own >= 0) {
      const seat = this.#seats[own]!;
      if (seat.live) return undefined;
      if (isPrefix(seat.cached, request.tokens)) return own;
      seat.cached = [];
      return own;
    }
    let slot = this.#seats.indexOf(undefined);
    if (slot < 0) {
      const seated = new Set(this.#seats.map((seat) => seat?.tape));
      if (this.isAnyLive() || waiting.some((other) => seated.has(tapeOf(other.request.key)))) return undefined;
      slot = 0; // every seat is held by a tape that nobody has finished: the first gives way
    }
    this.#seats[slot] = { tape, cached: [], opening: 0, live: undefined };
    return slot;
  }

  /** Copies what another tape has in the cache already: a sibling all, another question how its prompt begins. @returns tokens */
  copyPrompt(slot: number, body: Int32Array, stretch: number): number {
    let [tokens, from] = [0, slot];
    for (const [other, seat] of this.#seats.entries()) {
      const common = seat && other !== slot ? commonOpening(seat, body, stretch) : 0;
      if (common > tokens) [tokens, from] = [common, other];
    }
    if (tokens > 0) this.#cache.copy(from, slot, tokens);
    return tokens;
  }

  /** Rows of the next batch: up to the last live slot. */
  rows(): number {
    return Math.max(this.#minRows, this.#seats.findLastIndex((seat) => seat?.live) + 1);
  }

  /** Moves live sequences to the front where many idle rows would be computed between them. */
  compact(): void {
    const live = this.#seats.filter((seat) => seat?.live).length;
    const rows = this.rows();
    if (rows <= Math.max(this.#minRows, 1.2 * live)) return;
    for (let target = 0, source = rows - 1; target < source; ) {
      if (this.#seats[target]?.live) target++;
      else if (!this.#seats[source]?.live) source--;
      else if (this.#seats[target] === undefined) this.#move(source, target);
      else if (!this.#parkBehind(target)) return;
    }
  }

  /** Moves a tape that waits away from the front. */
  #parkBehind(slot: number): boolean {
    const free = this.#seats.lastIndexOf(undefined);
    if (free <= slot) return false;
    this.#move(slot, free);
    return true;
  }

  #move(from: number, to: number): void {
    this.#cache.copy(from, to, this.#seats[from]!.cached.length);
    this.#seats[to] = this.#seats[from];
    this.leave(from);
  }
}
