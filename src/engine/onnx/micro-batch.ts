/** @file How sequences become micro-batches: a function of the batch alone, so that gradients add in a fixed order. */

export interface Planned {
  /** Index in the batch. */
  readonly index: number;
  /** Input positions, [0, length). */
  readonly length: number;
  /** Positions that the loss uses. */
  readonly scored: number;
}

export interface MicroBatchLimits {
  /** Rows × longest of one micro-batch: 1,024 tokens stay in cache at nano size. */
  readonly tokens: number;
  /** Scored positions of one micro-batch; times the vocabulary they are the largest activation. */
  readonly scored: number;
}

/** Sequences of similar length share a micro-batch; one that exceeds the limits gets its own. */
export function planMicroBatches(sequences: readonly Planned[], limits: MicroBatchLimits): Planned[][] {
  const batches: Planned[][] = [];
  let scored = 0;
  for (const sequence of longestFirst(sequences)) {
    const open = batches.at(-1);
    const fits =
      open && open[0]!.length * (open.length + 1) <= limits.tokens && scored + sequence.scored <= limits.scored;
    if (fits) {
      open.push(sequence);
      scored += sequence.scored;
    } else {
      batches.push([sequence]);
      scored = sequence.scored;
    }
  }
  return batches;
}

/** Logits of one micro-batch stay below this many floats. */
export const MAX_LOGITS = 16 * 2 ** 20;

/** Fixed cost of a micro-batch, in rows: every weight and gradient is read from memory once more. */
const ROWS_PER_RUN = 32;

/**
 * Like `planMicroBatches`, with the least padding: for few sequences of very different lengths, such as siblings.
 * Sequences stay sorted by length, so the best division is found by dynamic programming over prefixes.
 */
export function planTightMicroBatches(sequences: readonly Planned[], limits: MicroBatchLimits): Planned[][] {
  const sorted = longestFirst(sequences);
  // for the first n sequences: the cost of their best division, and where its last micro-batch begins
  const best: { readonly cost: number; readonly from: number }[] = [{ cost: 0, from: 0 }];
  for (let end = 1; end <= sorted.length; end++) {
    let found = { cost: Number.POSITIVE_INFINITY, from: end - 1 };
    let scored = 0;
    for (let from = end - 1; from >= 0; from--) {
      const rows = sorted[from]!.length * (end - from);
      scored += sorted[from]!.scored;
      if (from < end - 1 && (rows > limits.tokens || scored > limits.scored)) break;
      const cost = best[from]!.cost + rows + ROWS_PER_RUN;
      if (cost < found.cost) found = { cost, from };
    }
    best.push(found);
  }
  const batches: Planned[][] = [];
  for (let end = sorted.length; end > 0; end = best[end]!.from) batches.unshift(sorted.slice(best[end]!.from, end));
  return batches;
}

function longestFirst(sequences: readonly Planned[]): Planned[] {
  return sequences.filter(({ scored }) => scored > 0).sort((a, b) => b.length - a.length || a.index - b.index);
}

/** Splits a batch over workers, longest first to the least loaded; the same batch always splits the same way. */
export function splitByLoad(loads: readonly number[], workers: number): number[][] {
  const shares = Array.from({ length: workers }, (): number[] => []);
  const total = new Array<number>(workers).fill(0);
  const order = loads.map((_, index) => index).sort((a, b) => loads[b]! - loads[a]! || a - b);
  for (const index of order) {
    const lightest = total.indexOf(Math.min(...total));
    shares[lightest]!.push(index);
    total[lightest]! += loads[index]!;
  }
  return shares.map((share) => share.sort((a, b) => a - b));
}

/** The workers' results in the order of the batch. */
export function gather(
  shares: readonly (readonly number[])[],
  results: readonly (readonly Float32Array[])[],
  count: number,
): Float32Array[] {
  const all = new Array<Float32Array>(count);
  for (const [worker, share] of shares.entries()) {
    for (const [at, index] of share.entries()) all[index] = results[worker]![at]!;
  }
  return all;
}
