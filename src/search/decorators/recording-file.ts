import { closeSync, fsyncSync, ftruncateSync, openSync, readSync, statSync, writeSync } from "node:fs";
import { z } from "zod";
import { DataError, messageOf } from "../../base/errors.ts";
import { toJson } from "../../base/jsonl.ts";
import type { QueryResult, SearcherInfo } from "../searcher.ts";

const Header = z.object({
  recording: z.literal(1),
  searcher: z.object({
    kind: z.string(),
    passages: z.int().optional(),
    hash: z.string(),
    settings: z.record(z.string(), z.union([z.string(), z.number()])),
  }),
});

const Line = z.object({
  query: z.string(),
  k: z.int(),
  hits: z.array(z.object({ id: z.string(), title: z.string(), text: z.string(), score: z.number() })).optional(),
  error: z.object({ message: z.string(), retryable: z.boolean() }).optional(),
});

interface Place {
  readonly at: number;
  readonly length: number;
}

/**
 * A file of JSON lines: a header with what was searched, then each query with its hits or its error. A later line of
 * the same query replaces an earlier one. Only the positions of lines are in memory.
 */
export class RecordingFile {
  readonly info: SearcherInfo;
  readonly #path: string;
  readonly #handle: number;
  readonly #writable: boolean;
  readonly #places = new Map<string, Place>();
  #end = 0;
  #closed = false;

  private constructor(path: string, handle: number, info: SearcherInfo | undefined) {
    this.#path = path;
    this.#handle = handle;
    this.#writable = info !== undefined;
    const header = this.#readAll();
    if (header === undefined && info === undefined) throw new DataError(`${path} is empty`, { hint: recordFirst });
    if (header !== undefined && info !== undefined && header.hash !== info.hash) {
      throw new DataError(`${path} holds answers of another searcher (${header.kind})`, {
        hint: "name another file, or delete that one",
      });
    }
    this.info = header ?? info!;
    if (header === undefined) this.#append(toJson({ recording: 1, searcher: info }));
  }

  static forWriting(path: string, info: SearcherInfo): RecordingFile {
    return RecordingFile.#open(path, "a+", info);
  }

  static forReading(path: string): RecordingFile {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) {
      throw new DataError(`there is no recording ${path}`, { hint: recordFirst });
    }
    return RecordingFile.#open(path, "r", undefined);
  }

  static #open(path: string, flags: string, info: SearcherInfo | undefined): RecordingFile {
    let handle: number;
    try {
      handle = openSync(path, flags);
    } catch (cause) {
      throw new DataError(`recording ${path} cannot be opened: ${messageOf(cause)}`, { hint: "check the path", cause });
    }
    try {
      return new RecordingFile(path, handle, info);
    } catch (error) {
      closeSync(handle);
      throw error;
    }
  }

  find(query: string, k: number): QueryResult | undefined {
    const place = this.#places.get(keyOf(query, k));
    if (place === undefined) return undefined;
    const bytes = Buffer.alloc(place.length);
    readSync(this.#handle, bytes, 0, place.length, place.at);
    const line = this.#parse(bytes.toString("utf8"));
    // another program may have written to the file since
    if (line === undefined || line.query !== query || line.k !== k) return undefined;
    if (line.error) return { ok: false, error: line.error };
    return { ok: true, hits: (line.hits ?? []).map((hit, i) => ({ ...hit, rank: i + 1 })) };
  }

  add(query: string, k: number, result: QueryResult): void {
    if (this.#closed) return;
    const outcome = result.ok
      ? { hits: result.hits.map(({ id, title, text, score }) => ({ id, title, text, score })) }
      : { error: { message: result.error.message, retryable: result.error.retryable } };
    this.#places.set(keyOf(query, k), this.#append(toJson({ query, k, ...outcome })));
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.#writable) fsyncSync(this.#handle);
    closeSync(this.#handle);
  }

  #append(text: string): Place {
    const bytes = Buffer.from(`${text}\n`);
    for (let written = 0; written < bytes.length; ) written += writeSync(this.#handle, bytes, written);
    const place = { at: this.#end, length: bytes.length - 1 };
    this.#end += bytes.length;
    return place;
  }

  /**
   * Finds the positions of all lines, reading the file in chunks. An incomplete last line is cut off, or skipped when
   * reading only.
   */
  #readAll(): SearcherInfo | undefined {
    let header: SearcherInfo | undefined;
    let rest: Buffer = Buffer.alloc(0);
    const piece = Buffer.alloc(1 << 20);
    for (let at = 0; ; ) {
      const read = readSync(this.#handle, piece, 0, piece.length, at);
      if (read === 0) break;
      at += read;
      rest = Buffer.concat([rest, piece.subarray(0, read)]);
      let from = 0;
      for (let end = rest.indexOf(10, from); end >= 0; end = rest.indexOf(10, from)) {
        const text = rest.toString("utf8", from, end);
        if (header === undefined) header = this.#header(text);
        else this.#note(text, { at: this.#end, length: end - from });
        this.#end += end + 1 - from;
        from = end + 1;
      }
      rest = rest.subarray(from);
    }
    if (rest.length > 0 && this.#writable) ftruncateSync(this.#handle, this.#end);
    return header;
  }

  #header(text: string): SearcherInfo {
    const parsed = Header.safeParse(jsonOf(text));
    if (!parsed.success) throw new DataError(`${this.#path} is no recording of searches`, { hint: recordFirst });
    const { passages, ...info } = parsed.data.searcher;
    return { ...info, passages };
  }

  #note(text: string, place: Place): void {
    const line = this.#parse(text);
    if (line === undefined) {
      const hint = "restore it from a copy, or delete it";
      throw new DataError(`${this.#path} is damaged at byte ${place.at}`, { hint });
    }
    // replay returns recorded failures; a file that is written to asks those queries again
    if (line.error && this.#writable) return;
    this.#places.set(keyOf(line.query, line.k), place);
  }

  #parse(text: string): z.infer<typeof Line> | undefined {
    return Line.safeParse(jsonOf(text)).data;
  }
}

const recordFirst = "make one with --record FILE";
const keyOf = (query: string, k: number) => `${k}\n${query}`;

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
