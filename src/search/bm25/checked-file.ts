import { closeSync, openSync, readSync } from "node:fs";
import { crc32 } from "node:zlib";
import { SearchError } from "../../base/errors.ts";
import { PAGE } from "./format.ts";

/** Pages read lately, of any file of an index. Two generations: a page that is not used while one fills is forgotten. */
export class PageCache {
  readonly #limit: number;
  #young = new Map<number, Uint8Array>();
  #old = new Map<number, Uint8Array>();
  #files = 0;

  /** @param bytes about what it may hold */
  constructor(bytes: number) {
    this.#limit = Math.max(1, Math.floor(bytes / PAGE / 2));
  }

  /** @returns a number that no page of another file has, to count this file's pages from */
  enter(): number {
    return this.#files++ * 2 ** 36;
  }

  get(key: number): Uint8Array | undefined {
    const page = this.#young.get(key);
    if (page !== undefined) return page;
    const old = this.#old.get(key);
    if (old !== undefined) this.put(key, old);
    return old;
  }

  put(key: number, page: Uint8Array): void {
    if (this.#young.size >= this.#limit) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, page);
  }
}

/** A file read page by page; each page is compared with its sum before anybody sees it. */
export class CheckedFile {
  readonly path: string;
  readonly size: number;
  readonly #sums: Uint32Array;
  readonly #cache: PageCache;
  readonly #key: number;
  readonly #handle: number;
  #open = true;

  constructor(path: string, parts: { readonly size: number; readonly sums: Uint32Array; readonly cache: PageCache }) {
    this.path = path;
    this.size = parts.size;
    this.#sums = parts.sums;
    this.#cache = parts.cache;
    this.#key = parts.cache.enter();
    this.#handle = openSync(path, "r");
  }

  /** @throws SearchError where the range is not in the file, or its pages were changed */
  read(from: number, to: number): Uint8Array {
    if (!(from >= 0 && to >= from && to <= this.size)) throw damaged(`${this.path} ends before byte ${to}`);
    const first = Math.floor(from / PAGE);
    const start = from - first * PAGE;
    if (start + to - from <= PAGE && to > from) return this.#page(first).subarray(start, start + to - from);
    const bytes = new Uint8Array(to - from);
    for (let at = from; at < to; ) {
      const page = Math.floor(at / PAGE);
      const part = this.#page(page).subarray(at - page * PAGE, Math.min(PAGE, to - page * PAGE));
      bytes.set(part, at - from);
      at += part.length;
    }
    return bytes;
  }

  /** The whole file past the cache, a run of whole pages at a time. */
  *pages(): Generator<Uint8Array> {
    const PAGES = 16;
    for (let first = 0; first < this.#sums.length; first += PAGES) {
      const bytes = this.#load(first * PAGE, Math.min(PAGES * PAGE, this.size - first * PAGE));
      for (let at = 0; at < bytes.length; at += PAGE) this.#check(bytes.subarray(at, at + PAGE), first + at / PAGE);
      yield bytes;
    }
  }

  /** May be called twice. */
  close(): void {
    if (this.#open) closeSync(this.#handle);
    this.#open = false;
  }

  #page(page: number): Uint8Array {
    const kept = this.#cache.get(this.#key + page);
    if (kept !== undefined) return kept;
    const bytes = this.#load(page * PAGE, Math.min(PAGE, this.size - page * PAGE));
    this.#check(bytes, page);
    this.#cache.put(this.#key + page, bytes);
    return bytes;
  }

  #load(from: number, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const read = readSync(this.#handle, bytes, at, size - at, from + at);
      if (read === 0) throw damaged(`${this.path} ends early`);
      at += read;
    }
    return bytes;
  }

  #check(bytes: Uint8Array, page: number): void {
    if (crc32(bytes) !== this.#sums[page]) throw damaged(`${this.path} was changed after it was written`);
  }
}

export function damaged(what: string, cause?: unknown): SearchError {
  return new SearchError(what, { hint: "build the index again", cause });
}
