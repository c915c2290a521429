/** @file What the conformance checks of an engine work on, and the requests and batches they make for it. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { randomOf } from "../../base/random.ts";
import type { Learner, OptimSpec, SampleRequest, Sampler, TrainingSequence } from "../engine.ts";

export interface EngineUnderTest {
  readonly vocabSize: number;
  readonly bytesOf: (id: number) => Uint8Array;
  /** Samples from the present weights. */
  readonly publish: () => Promise<Sampler>;
  /** Absent where the engine only samples. */
  readonly learner?: Learner;
  readonly close: () => Promise<void>;
}

/**
 * What not every engine can promise:
 * - "learning": it has a learner
 * - "abort midway": a sample can be aborted while it is made
 * - "context": a tape that fills the context ends with "length"
 * - "refusal": a request that makes no sense is refused
 * - "top log-probabilities": it reports the most likely tokens on request
 * - "equal bits": the same work gives the same bits, not only close numbers
 */
export type EnginePromise =
  | "learning"
  | "abort midway"
  | "context"
  | "refusal"
  | "top log-probabilities"
  | "equal bits";

export interface EngineConformanceOptions {
  /** How far two ways to the same log-probability may be apart; default 1e-4. */
  readonly tolerance?: number;
  /** Tokens that may follow a stop text; default 0. */
  readonly overshoot?: number;
  /** Promises that the engine does not give; their checks are left out. */
  readonly without?: readonly EnginePromise[];
}

export interface Subject extends EngineUnderTest {
  readonly tolerance: number;
  readonly overshoot: number;
  readonly equalBits: boolean;
}

export interface LearningSubject extends Subject {
  readonly learner: Learner;
}

export interface EngineCheck<S> {
  readonly what: string;
  readonly needs?: readonly EnginePromise[];
  readonly body: (subject: S) => Promise<void>;
}

/** [length] ids, the same for the same name. */
export function someTokens({ vocabSize }: Subject, name: string, length: number): Int32Array {
  const random = randomOf("conformance", name);
  return Int32Array.from({ length }, () => random.int(vocabSize));
}

export function someRequest(subject: Subject, sibling: number, change: Partial<SampleRequest> = {}): SampleRequest {
  return {
    tokens: someTokens(subject, "prompt", 9),
    maxTokens: 16,
    temperature: 1,
    topP: 1,
    topK: 0,
    stop: { tokens: [], text: [] },
    key: { seed: 3, step: 1, question: 5, sibling, turn: 0 },
    ...change,
  };
}

/** Samples, and lets the tape go. */
export async function sampleOnce(sampler: Sampler, request: SampleRequest) {
  const sample = await sampler.sample(request);
  sampler.finished?.(request.key);
  return sample;
}

export const ppo = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 } as const;
export const crossEntropy = { kind: "cross-entropy" } as const;

export const adam: OptimSpec = {
  kind: "adamw",
  learningRate: 1e-3,
  beta1: 0.9,
  beta2: 0.99,
  epsilon: 1e-8,
  weightDecay: 0,
  maxGradNorm: 0,
};

/** Three sequences of unlike lengths, weighted in their middle, with advantages of both signs. */
export async function someBatch(subject: LearningSubject): Promise<TrainingSequence[]> {
  const tapes = [13, 8, 21].map((length) => someTokens(subject, `tape of ${length}`, length));
  const logprobs = await subject.learner.logprobs(tapes);
  return tapes.map((tokens, s) => ({
    tokens,
    weights: Float32Array.from(tokens, (_, t) => (t > 2 && t < tokens.length - 2 && t % 4 !== 0 ? 0.5 + 0.1 * s : 0)),
    advantages: Float32Array.from(tokens, (_, t) => (t % 3 === 0 ? -0.7 : 0.4 + 0.1 * s)),
    oldLogprobs: Float32Array.of(0, ...logprobs[s]!),
  }));
}

/** Equal in every bit where the engine promises that, close elsewhere. */
export function same(subject: Subject, actual: readonly Float32Array[], expected: readonly Float32Array[]): void {
  if (subject.equalBits) deepStrictEqual(actual, expected);
  else close(subject, actual, expected);
}

export function close(
  { tolerance }: Subject,
  actual: readonly ArrayLike<number>[],
  expected: readonly ArrayLike<number>[],
): void {
  strictEqual(actual.length, expected.length);
  for (const [i, row] of actual.entries()) {
    strictEqual(row.length, expected[i]!.length);
    for (let t = 0; t < row.length; t++) {
      const gap = Math.abs(row[t]! - expected[i]![t]!);
      ok(gap <= tolerance, `row ${i}, place ${t}: ${row[t]} and ${expected[i]![t]} are more than ${tolerance} apart`);
    }
  }
}

/** For sums, whose error grows with their size. */
export function closeNumbers({ tolerance }: Subject, actual: number, expected: number, what: string): void {
  const gap = Math.abs(actual - expected);
  ok(gap <= tolerance * Math.max(1, Math.abs(expected)), `${what}: ${actual} instead of ${expected}`);
}

/** A folder that is gone afterwards. */
export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "engine-conformance-"));
  try {
    return await work(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
