import { R1SearcherError } from "../base/errors.ts";
import type { QueryResult, Searcher } from "../search/searcher.ts";

/** The queue of queries is full. */
export class OverloadedError extends R1SearcherError {}

export interface BatcherOptions {
  /** Maximum number of queries per search, so that others get a turn in between. */
  readonly maxBatch?: number;
  /** Length of the queue. A request is never rejected for its size alone: an idle server accepts any. */
  readonly maxWaiting?: number;
  /** Maximum number of simultaneous batches. */
  readonly concurrency?: number;
  readonly onBatch?: (queries: number) => void;
}

interface Job {
  readonly query: string;
  readonly k: number;
  readonly signal: AbortSignal | undefined;
  readonly resolve: (result: QueryResult) => void;
  readonly reject: (error: unknown) => void;
}

/** Collects the queries of all requests into batches for the searcher, in order of arrival. */
export class Batcher {
  readonly #searcher: Searcher;
  readonly #options: Required<BatcherOptions>;
  #waiting: Job[] = [];
  #running = 0;
  #scheduled = false;

  constructor(
    searcher: Searcher,
    { maxBatch = 32, maxWaiting = 4096, concurrency = 4, onBatch = () => {} }: BatcherOptions = {},
  ) {
    this.#searcher = searcher;
    this.#options = { maxBatch, maxWaiting, concurrency, onBatch };
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** @throws OverloadedError if the queue is full */
  search(queries: readonly string[], k: number, signal?: AbortSignal): Promise<QueryResult[]> {
    const waiting = this.#waiting.length;
    if (waiting > 0 && waiting + queries.length > this.#options.maxWaiting) {
      throw new OverloadedError(`${waiting} queries are waiting already`);
    }
    const results = queries.map(
      (query) =>
        new Promise<QueryResult>((resolve, reject) => {
          this.#waiting.push({ query, k, signal, resolve, reject });
        }),
    );
    this.#schedule();
    return Promise.all(results);
  }

  /** Runs after the sockets were read, so that queries which arrive together are searched together. */
  #schedule(): void {
    if (this.#scheduled || this.#running >= this.#options.concurrency || this.#waiting.length === 0) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.#run(this.#take());
      this.#schedule();
    });
  }

  /** The oldest query and those after it with the same k; queries whose client has gone are dropped. */
  #take(): Job[] {
    const alive: Job[] = [];
    const batch: Job[] = [];
    for (const job of this.#waiting) {
      if (job.signal?.aborted) job.reject(job.signal.reason);
      else if (batch.length < this.#options.maxBatch && job.k === (batch[0]?.k ?? job.k)) batch.push(job);
      else alive.push(job);
    }
    this.#waiting = alive;
    return batch;
  }

  async #run(batch: readonly Job[]): Promise<void> {
    if (batch.length === 0) return;
    this.#running++;
    this.#options.onBatch(batch.length);
    try {
      const results = await this.#searcher.search(
        batch.map(({ query }) => query),
        { k: batch[0]!.k },
      );
      for (const [i, { resolve }] of batch.entries()) resolve(results[i]!);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    } finally {
      this.#running--;
      this.#schedule();
    }
  }
}
