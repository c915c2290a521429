/** @file Turns a stream of passages into a stream of segments, written in this thread or by worker threads. */
import type { Passage } from "../../protocol/passage.ts";
import { startWorker } from "../../runtime/worker-pool.ts";
import { type AnalyzerName, analyzerOf } from "../analyzer.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { BuilderMemory, SegmentBuilder } from "./segment-builder.ts";

/** Writes segments, one after the other. */
interface Builder {
  open(name: string): void;
  /** Resolves when it can accept more passages. */
  add(passages: readonly Passage[]): Promise<void>;
  /** @returns the segment, once it is durable */
  finish(): Promise<SegmentManifest>;
  close(): Promise<void>;
}

export interface FeedOptions {
  readonly directory: string;
  readonly analyzer: AnalyzerName;
  readonly nextName: () => string;
  /** Maximum number of passages in a segment. */
  readonly passages: number;
  /** With 2 or more, segments are written by worker threads beside this one. */
  readonly threads: number;
  /** Ends the stream early; passages read before that are still written. */
  readonly signal?: AbortSignal | undefined;
  /** Passages read so far. */
  readonly onProgress?: ((passages: number) => void) | undefined;
}

const BATCH = 250;
/** Fewer passages than this are processed in less time than a thread takes to start. */
const LOCAL_PASSAGES = 5000;
/** The second limit of a segment, in characters: about 35 MB of postings while it is sorted. */
const SEGMENT_CHARACTERS = 24 << 20;

/**
 * Yields segments in the order of their passages. Where segments are cut depends on the passages only, not on threads.
 */
export async function* segmentsOf(
  corpus: AsyncIterable<Passage>,
  options: FeedOptions,
): AsyncGenerator<SegmentManifest> {
  const batches = batchesOf(corpus, options);
  const local = new LocalBuilder(options);
  const workers: WorkerBuilder[] = [];
  const finishing: Promise<SegmentManifest>[] = [];
  let builder: Builder = local;
  let turn = 0;
  try {
    const { taken, isAll } = await firstBatches(batches, options.threads > 1 ? LOCAL_PASSAGES : 0);
    const isThreaded = options.threads > 1 && !isAll;
    for await (const { passages, opens, closes } of joined(taken, batches)) {
      if (opens && isThreaded) builder = workers[turn++ % options.threads] ??= new WorkerBuilder(options);
      if (opens) builder.open(options.nextName());
      await builder.add(passages);
      if (!closes) continue;
      const finished = builder.finish();
      finished.catch(() => {}); // it is awaited below, in order
      finishing.push(finished);
      if (finishing.length > workers.length) yield await finishing.shift()!;
    }
    for (const finished of finishing) yield await finished;
  } finally {
    await Promise.allSettled([...finishing, local.close(), ...workers.map((worker) => worker.close())]);
  }
}

interface Batch {
  readonly passages: readonly Passage[];
  /** It is the first batch of its segment. */
  readonly opens: boolean;
  /** It is the last batch of its segment. */
  readonly closes: boolean;
}

/**
 * Collects batches up to this many passages. It tells whether the corpus is small, before any segment is built in this
 * thread.
 */
async function firstBatches(
  batches: AsyncIterator<Batch>,
  passages: number,
): Promise<{ readonly taken: readonly Batch[]; readonly isAll: boolean }> {
  const taken: Batch[] = [];
  for (let count = 0; count < passages; count += taken.at(-1)!.passages.length) {
    const { done, value } = await batches.next();
    if (done) return { taken, isAll: true };
    taken.push(value);
  }
  return { taken, isAll: false };
}

async function* joined(taken: readonly Batch[], batches: AsyncIterable<Batch>): AsyncGenerator<Batch> {
  yield* taken;
  yield* batches;
}

async function* batchesOf(corpus: AsyncIterable<Passage>, options: FeedOptions): AsyncGenerator<Batch> {
  let batch: Passage[] = [];
  let opens = true;
  let inSegment = 0;
  let characters = 0;
  let read = 0;
  for await (const passage of corpus) {
    batch.push(passage);
    read++;
    inSegment++;
    characters += passage.title.length + passage.text.length;
    const closes = inSegment >= options.passages || characters >= SEGMENT_CHARACTERS;
    if (!closes && batch.length < BATCH) continue;
    yield { passages: batch, opens, closes };
    options.onProgress?.(read);
    if (closes) inSegment = characters = 0;
    opens = closes;
    batch = [];
    if (options.signal?.aborted) break;
  }
  // the segment of an interrupted build is written too: it is complete, only shorter
  if (inSegment > 0) yield { passages: batch, opens, closes: true };
  options.onProgress?.(read);
}

class LocalBuilder implements Builder {
  readonly #options: FeedOptions;
  readonly #memory = new BuilderMemory();
  #segment: SegmentBuilder | undefined;

  constructor(options: FeedOptions) {
    this.#options = options;
  }

  open(name: string): void {
    const { directory, analyzer } = this.#options;
    this.#segment = new SegmentBuilder({ directory, name, memory: this.#memory }, analyzerOf(analyzer)!);
  }

  async add(passages: readonly Passage[]): Promise<void> {
    for (const passage of passages) this.#segment!.add(passage);
  }

  async finish(): Promise<SegmentManifest> {
    return this.#segment!.finish();
  }

  async close(): Promise<void> {
    this.#segment?.close();
  }
}

/** Start data of a worker thread; its calls are those of `Builder`. */
export interface BuildWorkerData {
  readonly directory: string;
  readonly analyzer: AnalyzerName;
}

class WorkerBuilder implements Builder {
  readonly #worker;
  /**
   * Maximum number of passages sent and not yet processed: half a segment, so that no builder waits long for another.
   */
  readonly #most: number;
  readonly #sent: { readonly passages: number; readonly done: Promise<void> }[] = [];
  #waiting = 0;

  constructor({ directory, analyzer, passages }: FeedOptions) {
    this.#most = Math.ceil(passages / 2);
    this.#worker = startWorker(
      new URL("./build-worker", import.meta.url),
      { directory, analyzer } satisfies BuildWorkerData,
      {
        resourceLimits: { maxYoungGenerationSizeMb: 12 }, // words are short-lived: more only takes memory
      },
    );
  }

  open(name: string): void {
    this.#worker.call("open", name).catch(() => {}); // later calls fail too, and those are awaited
  }

  async add(passages: readonly Passage[]): Promise<void> {
    const done = this.#worker.call<void>("add", passages);
    done.catch(() => {});
    this.#sent.push({ passages: passages.length, done });
    this.#waiting += passages.length;
    while (this.#waiting > this.#most) {
      const first = this.#sent.shift()!;
      this.#waiting -= first.passages;
      await first.done;
    }
  }

  async finish(): Promise<SegmentManifest> {
    return this.#worker.call<SegmentManifest>("finish");
  }

  async close(): Promise<void> {
    await this.#worker.close();
  }
}
