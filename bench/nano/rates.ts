/** @file Tokens per second of sampling and of learning alone, for a model and a peer that does the same. */
import { randomOf } from "../../src/base/random.ts";
import type { Learner, TrainingSequence } from "../../src/engine/engine.ts";
import type { ModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { median, secondsOf, toTheEnd, trainingBatch } from "../../src/run/engines/measuring.ts";
import { startWorker } from "../../src/runtime/worker-pool.ts";
import type { GemmJob } from "./gemm-worker.ts";
import { gradientFlops, type OpenEngine, openRandom, shapeOf } from "./model.ts";
import type { Peer, Timed } from "./peer.ts";
import { plainSequence } from "./step.ts";

export interface Rate {
  readonly tokensPerSecond: number;
  /** null where there is no peer. */
  readonly peerTokensPerSecond: number | null;
}

export interface TrainRate extends Rate {
  /** Of what the processor reaches in one large matrix product in the same layout, 0 to 1. */
  readonly shareOfGemmPeak: number;
}

export interface ModelRates {
  readonly decode: Rate;
  readonly train: TrainRate;
  /** In floating-point operations per second, all workers together. */
  readonly gemmPeak: number;
}

export interface Work {
  readonly rounds: number;
  /** Sequences sampled at once, their prompts' length, and how many tokens each then gets. */
  readonly rows: number;
  readonly prompt: number;
  readonly sampled: number;
  /** Sequences of one update, and their length. */
  readonly sequences: number;
  readonly length: number;
  /** Sizes of the square matrices that the peak is looked for with; default `gemmSizes`. */
  readonly gemmSizes?: readonly number[];
}

/** What fits a cache best differs between machines. */
const gemmSizes = [512, 1024, 2048];

export async function measureRates(config: ModelConfig, work: Work, peer: Peer | undefined): Promise<ModelRates> {
  const open = await openRandom(config, work.rows);
  try {
    const decode = await decodeRate(open, config, work, peer);
    const gemmPeak = await measureGemm(open.layout, work.gemmSizes);
    const train = await trainRate(open, config, work, peer);
    const flops = gradientFlops(shapeOf(config), trainingBatch(config, work));
    const perSecond = flops / ((work.sequences * work.length) / train.tokensPerSecond);
    return { decode, train: { ...train, shareOfGemmPeak: perSecond / gemmPeak }, gemmPeak };
  } finally {
    await open.engine.close();
  }
}

/** The highest of several sizes of square matrices, all workers together. */
export async function measureGemm(layout: OpenEngine["layout"], sizes: readonly number[] = gemmSizes): Promise<number> {
  let peak = 0;
  for (const size of sizes) {
    peak = Math.max(peak, layout.workers * (await measureProduct(layout, size)));
  }
  return peak;
}

/** @returns floating-point operations per second of one worker, the mean while all of them multiply */
async function measureProduct({ workers, threads }: OpenEngine["layout"], size: number): Promise<number> {
  const pool = Array.from({ length: workers }, () => startWorker(new URL("./gemm-worker", import.meta.url), undefined));
  const job: GemmJob = { size, threads, seconds: 0.4 };
  const rates = await Promise.all(pool.map((worker) => worker.call<number>("multiply", job)));
  await Promise.all(pool.map((worker) => worker.close()));
  return rates.reduce((sum, rate) => sum + rate, 0) / workers;
}

async function decodeRate(
  { engine }: OpenEngine,
  config: ModelConfig,
  { rounds, rows, prompt, sampled }: Work,
  peer: Peer | undefined,
): Promise<Rate> {
  const random = randomOf("bench", "decode");
  const ids = (length: number) => Int32Array.from({ length }, () => random.int(config.vocabSize));
  const prompts = Array.from({ length: rows }, () => ids(prompt));
  const limits = { ...toTheEnd, maxTokens: sampled };
  const ours = async (round: number) => {
    const sampler = await engine.publish();
    const key = (question: number) => ({ seed: 1, step: round, question, sibling: 0, turn: 0 });
    return secondsOf(() => Promise.all(prompts.map((tokens, i) => sampler.sample({ ...limits, tokens, key: key(i) }))));
  };
  const task = {
    task: "decode",
    config: shapeOf(config),
    context: config.contextLength,
    rows: prompts.map((tokens) => [...tokens, ...ids(sampled)]),
    runs: [
      ["prompt", prompt],
      ["policy", sampled],
    ],
  };
  const { seconds, peerSeconds } = await alternate(rounds, ours, peer && (() => peer.ask<Timed>(task)));
  return rateOf(rows * sampled, seconds, peerSeconds);
}

async function trainRate(
  { engine }: OpenEngine,
  config: ModelConfig,
  work: Work,
  peer: Peer | undefined,
): Promise<Rate> {
  const batch = trainingBatch(config, work);
  const ours = () => secondsOf(() => updateOnce(engine, batch, 1e-5));
  const task = {
    task: "train",
    config: shapeOf(config),
    context: config.contextLength,
    sequences: batch.map(plainSequence),
  };
  const { seconds, peerSeconds } = await alternate(work.rounds, ours, peer && (() => peer.ask<Timed>(task)));
  return rateOf(work.sequences * work.length, seconds, peerSeconds);
}

export interface Updated {
  readonly loss: number;
  readonly gradNorm: number;
}

/** All that an update of PPO by AdamW takes; with a learning rate of 0 the weights stay as they are. */
export async function updateOnce(
  learner: Learner,
  batch: readonly TrainingSequence[],
  learningRate: number,
): Promise<Updated> {
  const { loss } = await learner.forwardBackward(batch, { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 });
  const adamw = { kind: "adamw", beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 } as const;
  const { gradNorm } = await learner.optimStep({ ...adamw, learningRate });
  return { loss, gradNorm };
}

/** One warm-up round, then this program and the other in turn, so that changes in the machine's load affect both. */
export async function alternate(
  rounds: number,
  ours: (round: number) => Promise<number>,
  theirs: (() => Promise<Timed>) | undefined,
): Promise<{ seconds: number; peerSeconds: number | null }> {
  const [mine, others]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    mine.push(await ours(round));
    if (theirs) others.push((await theirs()).seconds);
  }
  return { seconds: median(mine.slice(1)), peerSeconds: theirs ? median(others.slice(1)) : null };
}

/** Of all threads: other work on the machine does not lengthen it. */
export async function processorSeconds(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1e6;
}

function rateOf(tokens: number, seconds: number, peerSeconds: number | null): Rate {
  return {
    tokensPerSecond: tokens / seconds,
    peerTokensPerSecond: peerSeconds === null ? null : tokens / peerSeconds,
  };
}
