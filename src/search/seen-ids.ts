/** A run of passages whose ids and positions both count up by one. */
interface Run {
  readonly id: number;
  readonly at: number;
  length: number;
}

/**
 * Remembers the ids of a corpus and their positions in little memory. Ids that count up by one, as in every large dump,
 * take none. For others a 64-bit hash is kept: among 21 million ids the chance of a collision is 1 in 80,000.
 */
export class SeenIds {
  readonly #runs: Run[] = [];
  readonly #others = new HashedIds();

  /** @returns the earlier position of the id, or undefined if it is new */
  add(id: string, at: number): number | undefined {
    const number = /^(0|[1-9]\d{0,14})$/.test(id) ? Number(id) : undefined;
    if (number === undefined) return this.#others.add(id, at);
    const counted = this.#counted(number);
    if (counted !== undefined) return counted;
    const last = this.#runs.at(-1);
    if (last !== undefined && number !== last.id + last.length) return this.#others.add(id, at);
    const other = this.#others.find(id);
    if (other !== undefined) return other;
    if (last !== undefined && at === last.at + last.length) last.length++;
    else this.#runs.push({ id: number, at, length: 1 });
    return undefined;
  }

  #counted(number: number): number | undefined {
    let low = 0;
    let high = this.#runs.length; // the first run that begins after it
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#runs[middle]!.id > number) high = middle;
      else low = middle + 1;
    }
    const run = this.#runs[low - 1];
    return run !== undefined && number < run.id + run.length ? run.at + number - run.id : undefined;
  }
}

/** A hash table in typed arrays, with linear probing. */
class HashedIds {
  #slots = 1 << 10;
  #used = 0;
  #high = new Uint32Array(this.#slots);
  #low = new Uint32Array(this.#slots);
  /** 0 if the slot is free: positions count from 1. */
  #places = new Uint32Array(this.#slots);

  find(id: string): number | undefined {
    const place = this.#places[this.#slot(...hash(id))]!;
    return place === 0 ? undefined : place;
  }

  /** @returns the earlier position, or undefined */
  add(id: string, at: number): number | undefined {
    const [high, low] = hash(id);
    const slot = this.#slot(high, low);
    if (this.#places[slot] !== 0) return this.#places[slot];
    this.#put(slot, high, low, at);
    if (++this.#used > this.#slots * 0.7) this.#grow();
    return undefined;
  }

  #slot(high: number, low: number): number {
    let slot = low & (this.#slots - 1);
    while (this.#places[slot] !== 0 && !(this.#low[slot] === low && this.#high[slot] === high))
      slot = (slot + 1) & (this.#slots - 1);
    return slot;
  }

  #put(slot: number, high: number, low: number, place: number): void {
    this.#high[slot] = high;
    this.#low[slot] = low;
    this.#places[slot] = place;
  }

  #grow(): void {
    const [oldHigh, oldLow, oldPlaces] = [this.#high, this.#low, this.#places];
    this.#slots *= 2;
    this.#high = new Uint32Array(this.#slots);
    this.#low = new Uint32Array(this.#slots);
    this.#places = new Uint32Array(this.#slots);
    for (let i = 0; i < oldPlaces.length; i++) {
      if (oldPlaces[i] !== 0) this.#put(this.#slot(oldHigh[i]!, oldLow[i]!), oldHigh[i]!, oldLow[i]!, oldPlaces[i]!);
    }
  }
}

/** Two multiplicative hashes over the code units, mixed at the end. */
function hash(id: string): [number, number] {
  let a = 0x9e3779b9;
  let b = 0x85ebca6b;
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b ^ unit ^ (a >>> 15), 0x27d4eb2d);
  }
  return [mixed(a ^ id.length), mixed(b ^ Math.imul(a, 0x5bd1e995))];
}

function mixed(word: number): number {
  let h = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
