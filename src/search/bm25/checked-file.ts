import { closeSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { SearchError } from "../../base/errors.ts";
import { PAGE } from "./format.ts";

/**
 * A cache of recently read pages of all files of an index. Its memory is allocated once and reused; if pages were left
 * to the garbage collector, they would occupy several times as much before they are freed.
 */
export class PageCache {
  /** Slots in use. A page has `PAGE` bytes, except the last one of a file, which may be shorter. */
  readonly slots: Uint8Array[] = [];
  readonly #limit: number;
  /**
   * By slot: the file whose page it holds, and whether it was used since the clock hand last passed (clock
   * replacement).
   */
  readonly #owners: { readonly forget: (page: number) => void; readonly page: number }[] = [];
  readonly #recent: boolean[] = [];
  #hand = 0;

  /** @param bytes approximate capacity */
  constructor(bytes: number) {
    this.#limit = Math.max(2, Math.floor(bytes / PAGE));
  }

  touch(slot: number): void {
    this.#recent[slot] = true;
  }

  /**
   * Takes a free slot or evicts a page that was not used recently. @param forget is called when the new page is evicted
   */
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
/** Number of pages per read when a file is read completely. */
const RUN_PAGES = 16;

/** A file that is read page by page. Each page is compared with its checksum before its bytes are used. */
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
   * @returns the bytes of a range, valid until the next read through the same cache
   * @throws SearchError if the range is outside the file, or its pages were changed
   */
  read(from: number, to: number): Uint8Array {
    const page = this.pageWith(from, to);
    return page === undefined
      ? this.copy(from, to, new Uint8Array(to - from))
      : page.subarray(from % PAGE, (from % PAGE) + to - from);
  }

  /** Copies a range of any length to the start of `into`. @throws like `read` @returns `into` */
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
   * The page that contains a range, which begins at `from % PAGE` in it: like `read`, without a new object per block.
   * @returns undefined if the range covers more than one page
   * @throws like `read`
   */
  pageWith(from: number, to: number): Uint8Array | undefined {
    this.#checkRange(from, to);
    if (from === to) return nothing;
    return (from % PAGE) + to - from > PAGE ? undefined : this.#page(Math.floor(from / PAGE));
  }

  /**
   * Reads the whole file without the cache, several pages at a time. Each chunk is valid until the next is requested.
   */
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
    this.#slots[page] = slot; // a page with a wrong checksum is not cached
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
