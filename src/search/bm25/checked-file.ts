import { closeSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { SearchError } from "../../base/errors.ts";
import { PAGE } from "./format.ts";

/**
 * Pages read lately, of any files of an index. Their memory is taken once and used again: left to the collector, pages
 * would fill several times of it before they are freed.
 */
export class PageCache {
  /** Slots in use; a page is `PAGE` bytes, of which a file's last may fill a part. */
  readonly slots: Uint8Array[] = [];
  readonly #limit: number;
  /** By slot: whose page it holds, and whether it was asked for since the hand passed. */
  readonly #owners: { readonly forget: (page: number) => void; readonly page: number }[] = [];
  readonly #recent: boolean[] = [];
  #hand = 0;

  /** @param bytes about what it may hold */
  constructor(bytes: number) {
    this.#limit = Math.max(2, Math.floor(bytes / PAGE));
  }

  touch(slot: number): void {
    this.#recent[slot] = true;
  }

  /** Takes a slot, of a page that was not asked for lately where all are in use. @param forget is told when it is lost */
  take(page: number, forget: (page: number) => void): number {
    const slot = this.slots.length < this.#limit ? this.slots.push(new Uint8Array(PAGE)) - 1 : this.#freed();
    this.#owners[slot] = { forget, page };
    this.#recent[slot] = true;
    return slot;
  }

  #freed(): number {
    for (;;) {
      const slot = this.#hand;
      this.#hand = (slot + 1) % this.slots.length;
      if (!this.#recent[slot]) {
        this.#owners[slot]!.forget(this.#owners[slot]!.page);
        return slot;
      }
      this.#recent[slot] = false;
    }
  }
}

const ABSENT = -1;
/** Pages that are read at once where a file is read whole. */
const RUN_PAGES = 16;

/** A file read page by page; each page is compared with its sum before anybody sees it. */
export class CheckedFile {
  readonly path: string;
  readonly size: number;
  readonly #sums: Uint32Array;
  readonly #cache: PageCache;
  /** By page: its slot in the cache, or ABSENT. */
  readonly #slots: Int32Array;
  readonly #handle: number;
  readonly #forget = (page: number) => {
    this.#slots[page] = ABSENT;
  };
  #open = true;

  constructor(path: string, parts: { readonly size: number; readonly sums: Uint32Array; readonly cache: PageCache }) {
    this.path = path;
    this.size = parts.size;
    this.#sums = parts.sums;
    this.#cache = parts.cache;
    this.#slots = new Int32Array(parts.sums.length).fill(ABSENT);
    this.#handle = openSync(path, "r");
  }

  /**
   * @returns the bytes of a range, until anything else is read through the same cache
   * @throws SearchError where the range is not in the file, or its pages were changed
   */
  read(from: number, to: number): Uint8Array {
    const page = this.pageWith(from, to);
    return page === undefined
      ? this.copy(from, to, new Uint8Array(to - from))
      : page.subarray(from % PAGE, (from % PAGE) + to - from);
  }

  /** Copies a range of any length to the front of `into`. @throws as `read` does @returns `into` */
  copy(from: number, to: number, into: Uint8Array): Uint8Array {
    this.#checkRange(from, to);
    for (let at = from; at < to; ) {
      const page = Math.floor(at / PAGE);
      const part = this.#page(page).subarray(at - page * PAGE, Math.min(PAGE, to - page * PAGE));
      into.set(part, at - from);
      at += part.length;
    }
    return into;
  }

  /**
   * The page that holds a range, which begins in it at `from % PAGE`: `read` without a new object for every block.
   * @returns undefined where the range is on more pages than one
   * @throws as `read` does
   */
  pageWith(from: number, to: number): Uint8Array | undefined {
    this.#checkRange(from, to);
    if (from === to) return nothing;
    return (from % PAGE) + to - from > PAGE ? undefined : this.#page(Math.floor(from / PAGE));
  }

  /** The whole file past the cache, a run of whole pages at a time: each until the next is asked for. */
  *pages(): Generator<Uint8Array> {
    const bytes = new Uint8Array(Math.min(RUN_PAGES * PAGE, this.size));
    for (let first = 0; first < this.#sums.length; first += RUN_PAGES) {
      const run = bytes.subarray(0, Math.min(bytes.length, this.size - first * PAGE));
      this.#load(first * PAGE, run);
      for (let at = 0; at < run.length; at += PAGE) this.#check(run.subarray(at, at + PAGE), first + at / PAGE);
      yield run;
    }
  }

  /** May be called twice. */
  close(): void {
    if (this.#open) closeSync(this.#handle);
    this.#open = false;
  }

  #checkRange(from: number, to: number): void {
    if (!(from >= 0 && to >= from && to <= this.size)) throw damaged(`${this.path} ends before byte ${to}`);
  }

  #page(page: number): Uint8Array {
    const slot = this.#slots[page]!;
    if (slot === ABSENT) return this.#fetched(page);
    this.#cache.touch(slot);
    return this.#cache.slots[slot]!;
  }

  #fetched(page: number): Uint8Array {
    const slot = this.#cache.take(page, this.#forget);
    const bytes = this.#cache.slots[slot]!;
    const part = bytes.subarray(0, Math.min(PAGE, this.size - page * PAGE));
    this.#load(page * PAGE, part);
    this.#check(part, page);
    this.#slots[page] = slot; // a page that does not add up stays absent
    return bytes;
  }

  #load(from: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const read = readSync(this.#handle, bytes, at, bytes.length - at, from + at);
      if (read === 0) throw damaged(`${this.path} ends early`);
      at += read;
    }
  }

  #check(bytes: Uint8Array, page: number): void {
    if (crc32(bytes) !== this.#sums[page]) throw damaged(`${this.path} was changed after it was written`);
  }
}

const nothing = new Uint8Array(PAGE);

export function damaged(what: string, cause?: unknown): SearchError {
  return new SearchError(what, { hint: "build the index again", cause });
}
