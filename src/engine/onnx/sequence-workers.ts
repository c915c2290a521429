import type { SampleKey } from "../engine.ts";

/**
 * Which worker samples which sequence. A sequence stays with the worker that has its KV cache. Siblings share a prompt,
 * so they go to the same worker.
 */
export class SequenceWorkers {
  readonly #workers: number;
  /** By name of a sequence or of a group. */
  readonly #byName = new Map<string, number>();
  #next = 0;

  /** @param workers their number */
  constructor(workers: number) {
    this.#workers = workers;
  }

  /** Index of the sequence's worker; a new group goes to the next worker in turn. */
  workerOf(key: SampleKey): number {
    const known = this.#byName.get(sequenceName(key));
    if (known !== undefined) return known;
    const group = `${key.seed}/${key.step}/${key.question}`;
    let worker = this.#byName.get(group);
    if (worker === undefined) {
      worker = this.#next++ % this.#workers;
      this.#byName.set(group, worker);
    }
    this.#byName.set(sequenceName(key), worker);
    return worker;
  }

  /** Forgets a sequence. @returns its worker, if it had one */
  finished(key: SampleKey): number | undefined {
    const worker = this.#byName.get(sequenceName(key));
    this.#byName.delete(sequenceName(key));
    return worker;
  }

  clear(): void {
    this.#byName.clear();
  }
}

const sequenceName = ({ seed, step, question, sibling }: SampleKey) => `${seed}/${step}/${question}/${sibling}`;
