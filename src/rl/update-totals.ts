import { EngineError } from "../base/errors.ts";
import type { LossReport, OptimReport } from "../engine/engine.ts";
import type { Batch } from "./batch.ts";
import type { LossConfig } from "./config.ts";
import { share } from "./health.ts";
import { drift } from "./loss.ts";
import { trainedTokens, type UpdateReport } from "./metrics.ts";

/** Adds up what the updates of one step did. */
export class UpdateTotals {
  /** Updates that changed the weights. */
  applied = 0;
  /** Updates refused in a row until now, those of earlier steps included. */
  refusedInARow: number;
  #refused = 0;
  #empty = 0;
  #nonFiniteLogprobs = 0;
  #trainedTokens = 0;
  #clippedTokens = 0;
  #maxRatio = 0;
  #mismatchKl: number | undefined;
  readonly #losses: number[] = [];
  readonly #gradNorms: number[] = [];

  /** @param mismatchKl where it was measured before the first update; otherwise the first update measures it */
  constructor(refusedInARow: number, mismatchKl: number | undefined) {
    this.refusedInARow = refusedInARow;
    this.#mismatchKl = mismatchKl;
  }

  /** Counts a minibatch before it is learnt from. */
  addBatch({ sequences, nonFiniteLogprobs }: Batch): void {
    this.#nonFiniteLogprobs += nonFiniteLogprobs;
    if (sequences.length === 0) this.#empty++;
  }

  /** @throws EngineError where the engine applied an update whose loss is not finite */
  addUpdate({ sequences }: Batch, forward: LossReport, update: OptimReport, clip: LossConfig): void {
    this.#trainedTokens += trainedTokens(sequences);
    if (!update.applied) {
      this.#refused++;
      this.refusedInARow++;
      return;
    }
    if (!Number.isFinite(forward.loss))
      throw new EngineError(`the loss is ${forward.loss} although its gradient is finite`);
    const { kl, maxRatio, clippedShare, tokens } = drift(sequences, forward.logprobs, clip);
    if (this.applied === 0) this.#mismatchKl ??= kl;
    this.#maxRatio = Math.max(this.#maxRatio, maxRatio);
    this.#clippedTokens += clippedShare * tokens;
    this.#losses.push(forward.loss);
    this.#gradNorms.push(update.gradNorm);
    this.applied++;
    this.refusedInARow = 0;
  }

  report(learningRate: number): UpdateReport {
    return {
      learningRate,
      applied: this.applied,
      refused: this.#refused,
      empty: this.#empty,
      nonFiniteLogprobs: this.#nonFiniteLogprobs,
      trainedTokens: this.#trainedTokens,
      losses: this.#losses,
      gradNorms: this.#gradNorms,
      mismatchKl: this.#mismatchKl,
      maxRatio: this.#maxRatio,
      clippedShare: share(this.#clippedTokens, this.#trainedTokens),
    };
  }
}
