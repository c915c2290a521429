/** @file Choosing a token from a distribution: a pure function of the distribution and one uniform draw. */
import type { TopLogprobs } from "../../engine.ts";

export interface PickOptions {
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
}

/**
 * @param probabilities [V] at the temperature asked for; need not add up to exactly 1
 * @param draw uniform in [0, 1)
 * @returns a token id, or −1 where the distribution is not finite
 */
export function pickToken(probabilities: Float32Array, options: PickOptions, draw: number): number {
  if (options.temperature === 0) return largest(probabilities);
  const limited = (options.topK > 0 && options.topK < probabilities.length) || options.topP < 1;
  return limited ? pickLimited(probabilities, options, draw) : scan(probabilities, undefined, draw);
}

/** The `count` likeliest tokens of logprobs [V], the likeliest first; ties go to the lowest id. */
export function topLogprobs(logprobs: Float32Array, count: number): TopLogprobs {
  const ids: number[] = [];
  for (let id = 0; id < logprobs.length; id++) {
    if (ids.length === count && !(logprobs[id]! > logprobs[ids[count - 1]!]!)) continue;
    let at = ids.length;
    while (at > 0 && logprobs[id]! > logprobs[ids[at - 1]!]!) at--;
    ids.splice(at, 0, id);
    if (ids.length > count) ids.pop();
  }
  return { ids: Int32Array.from(ids), logprobs: Float32Array.from(ids, (id) => logprobs[id]!) };
}

/** Ties go to the lowest id. */
function largest(probabilities: Float32Array): number {
  let best = 0;
  for (let id = 1; id < probabilities.length; id++) if (probabilities[id]! > probabilities[best]!) best = id;
  return Number.isFinite(probabilities[best]!) ? best : -1;
}

/** The first id at which the running sum passes the draw's share of the whole. */
function scan(probabilities: Float32Array, ids: readonly number[] | undefined, draw: number): number {
  const count = ids?.length ?? probabilities.length;
  const at = (i: number) => probabilities[ids ? ids[i]! : i]!;
  let total = 0;
  for (let i = 0; i < count; i++) total += at(i);
  if (!Number.isFinite(total) || total <= 0) return -1;
  let left = draw * total;
  let last = -1;
  for (let i = 0; i < count; i++) {
    if (at(i) === 0) continue;
    last = i;
    left -= at(i);
    if (left < 0) break;
  }
  return ids ? ids[last]! : last;
}

/** Top-k first, then the smallest set of the most likely tokens whose share of what is left reaches top-p. */
function pickLimited(probabilities: Float32Array, { topK, topP }: PickOptions, draw: number): number {
  const order = Array.from(probabilities.keys()).sort((a, b) => probabilities[b]! - probabilities[a]! || a - b);
  const first = topK > 0 ? order.slice(0, topK) : order;
  const total = first.reduce((sum, id) => sum + probabilities[id]!, 0);
  let kept = 0;
  for (let mass = 0; kept < first.length && mass < topP * total; kept++) mass += probabilities[first[kept]!]!;
  return scan(probabilities, first.slice(0, Math.max(1, kept)), draw);
}
