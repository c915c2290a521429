/** @file From trajectories to what an engine learns from. The loss mask is what the tape says of its authors. */
import { EngineError } from "../base/errors.ts";
import type { TrainingSequence } from "../engine/engine.ts";
import { clampLog } from "../engine/loss.ts";
import { type Author, environmentAuthors, type Tape } from "../protocol/tape.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import type { LossConfig } from "./config.ts";

/** An attempt that may be learnt from. */
export interface ScoredAttempt {
  readonly trajectory: Trajectory;
  readonly advantage: number;
  /** Of each policy token, in order, where they differ; `advantage` is then their mean. */
  readonly tokenAdvantages?: Float64Array | undefined;
  /** [T], where the loss has a KL term. */
  readonly referenceLogprobs?: Float32Array | undefined;
  /** [T], by the learner before its first update, where sampler and learner are to be told apart or documents are learnt from. */
  readonly learnerLogprobs?: Float32Array | undefined;
}

export interface BatchOptions {
  readonly normaliser: LossConfig["normaliser"];
  readonly policyVersion: number;
  readonly maxLag: number;
  /** Largest importance weight; needs `learnerLogprobs`. Absent: what was sampled counts as the learner's own. */
  readonly truncateRatio?: number | undefined;
  /**
   * Default true. False learns from documents as if the policy had written them, with the attempt's weight and
   * advantage. Nobody sampled them, so their old log-probabilities are the learner's own before the first update of the
   * step: there their ratio is 1. Needs `learnerLogprobs`.
   */
  readonly maskDocuments?: boolean;
}

export interface Batch {
  readonly sequences: readonly TrainingSequence[];
  /** Policy tokens left out because the sampler gave them no finite log-probability. */
  readonly nonFiniteLogprobs: number;
}

/** More tokens than this share without a log-probability are no accident. */
const MAX_NON_FINITE_SHARE = 0.001;

export function policyTokenCount(tape: Tape): number {
  return tokenCount(tape, "policy");
}

function tokenCount({ runs }: Tape, of: Author): number {
  return runs.reduce((sum, { author, length }) => sum + (author === of ? length : 0), 0);
}

function environmentTokenCount(tape: Tape): number {
  return environmentAuthors.reduce((sum, author) => sum + tokenCount(tape, author), 0);
}

type VisitRun = (from: number, to: number, nth: number) => void;

/** `forEachRun` over what the policy wrote. */
export function forEachPolicyRun(tape: Tape, visit: VisitRun): void {
  forEachRun(tape, "policy", visit);
}

/**
 * Calls `visit` with the positions of every stretch that `of` wrote, [from, to), and how many tokens it had written
 * before. Position 0 has nothing before it and is left out.
 */
export function forEachRun({ runs }: Tape, of: Author, visit: VisitRun): void {
  let at = 0;
  let written = 0;
  for (const { author, length } of runs) {
    if (author === of) {
      const from = Math.max(1, at);
      if (at + length > 1) visit(from, at + length, written + from - at);
      written += length;
    }
    at += length;
  }
}

/**
 * Deals siblings out in turn, so that every update sees an equal share of each group.
 *
 * @param groups [B][≤ G], without attempts that are left out
 * @returns `parts` minibatches
 */
export function splitForUpdates<T>(groups: readonly (readonly T[])[], parts: number): T[][] {
  const minibatches = Array.from({ length: parts }, (): T[] => []);
  for (const [b, group] of groups.entries()) {
    for (const [g, attempt] of group.entries()) minibatches[(g + b) % parts]!.push(attempt);
  }
  return minibatches;
}

/**
 * One minibatch. Weights are folded so that the summed loss is a mean: over attempts ("sequence") or over the tokens
 * that are learnt from ("token"). An attempt without advantage or KL term has no gradient and is left out, yet counts in that mean.
 *
 * @throws EngineError where trajectories come from another policy than the loss was told of
 */
export function toBatch(
  attempts: readonly ScoredAttempt[],
  { normaliser, policyVersion, maxLag, truncateRatio, maskDocuments = true }: BatchOptions,
): Batch {
  for (const { trajectory } of attempts) checkVersion(trajectory, policyVersion, maxLag);
  const lengths = attempts.map(
    ({ trajectory: { tape } }) => policyTokenCount(tape) + (maskDocuments ? 0 : environmentTokenCount(tape)),
  );
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const sequences = lengths.filter((length) => length > 0).length;
  let nonFiniteLogprobs = 0;
  const batch = attempts.flatMap((attempt, i) => {
    if (lengths[i] === 0 || isWithoutGradient(attempt)) return [];
    const weight = normaliser === "token" ? 1 / tokens : 1 / (sequences * lengths[i]!);
    const { sequence, nonFinite } = toSequence(attempt, weight, truncateRatio);
    if (!maskDocuments) learnFromDocuments(sequence, attempt, weight);
    nonFiniteLogprobs += nonFinite;
    return [sequence];
  });
  if (nonFiniteLogprobs > MAX_NON_FINITE_SHARE * tokens) {
    throw new EngineError(`${nonFiniteLogprobs} of ${tokens} sampled tokens have no finite log-probability`, {
      hint: "the sampler is broken or its weights are; run `r1-searcher doctor`",
    });
  }
  return { sequences: batch, nonFiniteLogprobs };
}

function checkVersion({ question, policyVersion: sampledBy }: Trajectory, policyVersion: number, maxLag: number): void {
  if (sampledBy <= policyVersion && sampledBy >= policyVersion - maxLag) return;
  throw new EngineError(
    `an attempt at question ${question.id} was sampled by policy version ${sampledBy}; the learner holds version ${policyVersion}, allowed lag ${maxLag}`,
    { hint: "sample from what `publish` returned last" },
  );
}

function isWithoutGradient({ advantage, tokenAdvantages, referenceLogprobs }: ScoredAttempt): boolean {
  return !referenceLogprobs && (tokenAdvantages ? tokenAdvantages.every((one) => one === 0) : advantage === 0);
}

function toSequence(
  { trajectory, advantage, tokenAdvantages, referenceLogprobs, learnerLogprobs }: ScoredAttempt,
  weight: number,
  truncateRatio: number | undefined,
): { sequence: TrainingSequence; nonFinite: number } {
  const { tape, logprobs, question } = trajectory;
  const { length } = tape.tokens;
  const total = tape.runs.reduce((sum, run) => sum + run.length, 0);
  if (total !== length || logprobs.length !== length) {
    throw new Error(
      `question ${question.id}: ${length} tokens, authors for ${total}, ${logprobs.length} log-probabilities`,
    );
  }
  const sequence = {
    tokens: tape.tokens,
    weights: new Float32Array(length),
    advantages: new Float32Array(length),
    oldLogprobs: new Float32Array(length),
    ...(referenceLogprobs ? { referenceLogprobs } : {}),
  };
  let nonFinite = 0;
  forEachPolicyRun(tape, (from, to, nth) => {
    for (let t = from; t < to; t++) {
      if (!Number.isFinite(logprobs[t]!)) {
        nonFinite++;
        continue; // left out by selection: 0 × Infinity is NaN
      }
      sequence.weights[t] = weight;
      const value = tokenAdvantages ? tokenAdvantages[nth + t - from]! : advantage;
      if (truncateRatio !== undefined && learnerLogprobs) {
        sequence.advantages[t] = value * importance(learnerLogprobs[t]! - logprobs[t]!, truncateRatio);
        sequence.oldLogprobs[t] = learnerLogprobs[t]!;
      } else {
        sequence.advantages[t] = value;
        sequence.oldLogprobs[t] = logprobs[t]!;
      }
    }
  });
  return { sequence, nonFinite };
}

function learnFromDocuments(
  { weights, advantages, oldLogprobs }: TrainingSequence,
  { trajectory: { tape }, advantage, learnerLogprobs }: ScoredAttempt,
  weight: number,
): void {
  if (!learnerLogprobs) throw new Error("documents are learnt from, but the learner was not asked for them");
  for (const author of environmentAuthors) {
    forEachRun(tape, author, (from, to) => {
      weights.fill(weight, from, to);
      advantages.fill(advantage, from, to);
      oldLogprobs.set(learnerLogprobs.subarray(from, to), from);
    });
  }
}

/** The weight of a token that another distribution than the learner's was drawn from; truncated, so that none dominates. */
function importance(logRatio: number, largest: number): number {
  return Math.min(largest, Math.exp(clampLog(logRatio)));
}
