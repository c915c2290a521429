/** @file Speed on this machine: a step of the nano recipe, sampling and learning alone, and memory over many steps. */
import { arch, availableParallelism, cpus, platform } from "node:os";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { parameterCount } from "../../src/engine/huggingface/model-size.ts";
import { layoutFor } from "../../src/run/engines/layout.ts";
import { median } from "../../src/run/engines/measuring.ts";
import { middleSize } from "./model.ts";
import { type Peer, type PeerAbout, startPeer, type Timed } from "./peer.ts";
import { type ModelRates, measureGemm, measureRates, type Work } from "./rates.ts";
import { benchPolicy, type MeasuredStep, openNanoSteps, type StepSeconds } from "./step.ts";

export interface BenchOptions {
  /** Measured rounds; one more comes before them. */
  readonly rounds: number;
  /** A Python that has torch; undefined measures this program alone. */
  readonly python?: string;
  /** Steps of the measurement of memory; 0 leaves it out. */
  readonly memorySteps: number;
  readonly onProgress?: (text: string) => void;
}

export interface StepBench {
  /** Medians over the rounds. */
  readonly seconds: StepSeconds;
  readonly cpuSeconds: number;
  /** All of the peer's step; null where there is no peer. */
  readonly peerSeconds: number | null;
  readonly peerParts: { readonly sample: number; readonly learn: number } | null;
  /** The peer's seconds over ours, median of each round's own. */
  readonly ratio: number | null;
  /** Of search, reward and writing, 0 to 1. */
  readonly shareBesideEngine: number;
  readonly learnShareOfGemmPeak: number;
  readonly policyTokens: number;
}

export interface MemoryBench {
  readonly steps: number;
  /** Resident bytes after a quarter of the steps, and after all. */
  readonly quarter: number;
  readonly end: number;
  readonly growth: number;
}

export interface BenchResult {
  readonly step: StepBench;
  readonly decode: Readonly<Record<string, ModelRates["decode"]>>;
  readonly train: Readonly<Record<string, ModelRates["train"]>>;
  readonly memory: MemoryBench | null;
  readonly machine: Readonly<Record<string, string | number>>;
  /** Or why there is none. */
  readonly peer: PeerAbout | string;
}

const nanoWork = { rows: 64, prompt: 32, sampled: 96, sequences: 16, length: 256 };
const middleWork = { rows: 64, prompt: 32, sampled: 24, sequences: 4, length: 256 };
/** Small steps: what leaks, leaks in each. */
const smallSteps = ["rolloutBatch.questions=2", "rolloutBatch.siblings=4", "rollout.maxTokens=96"];

export async function runBench(options: BenchOptions): Promise<BenchResult> {
  const say = options.onProgress ?? (() => {});
  const started = options.python === undefined ? "none was asked for" : await startPeer(options.python);
  const peer = typeof started === "string" ? undefined : started;
  say(peer ? `peer: torch ${peer.about.torch}, ${peer.about.cpu}` : `no peer: ${started}`);
  try {
    const step = await benchStep(options.rounds, peer, say);
    const rates: Record<string, ModelRates> = {};
    for (const [name, { config, ...work }] of Object.entries(await models())) {
      say(`sampling and learning with ${name}`);
      rates[name] = await measureRates(config, { ...work, rounds: options.rounds }, peer);
    }
    const pick = <K extends "decode" | "train">(what: K) =>
      Object.fromEntries(Object.entries(rates).map(([name, rate]) => [name, rate[what]])) as Record<
        string,
        ModelRates[K]
      >;
    return {
      step,
      decode: pick("decode"),
      train: pick("train"),
      memory: options.memorySteps > 0 ? await benchMemory(options.memorySteps, say) : null,
      machine: machine(),
      peer: peer?.about ?? (started as string),
    };
  } finally {
    peer?.close();
  }
}

async function models() {
  const { readModelConfig } = await import("../../src/engine/huggingface/model-config.ts");
  const nano = readModelConfig(benchPolicy());
  const named = (config: typeof nano, work: Omit<Work, "rounds">) => ({ config, ...work });
  const millions = `${Math.round(parameterCount(middleSize) / 1e6)}M`;
  return { nano: named(nano, nanoWork), [millions]: named(middleSize, middleWork) };
}

async function benchStep(rounds: number, peer: Peer | undefined, say: (text: string) => void): Promise<StepBench> {
  const steps = await openNanoSteps();
  const measured: { ours: MeasuredStep; theirs: { sample: number; learn: number } | null }[] = [];
  try {
    for (let round = 0; round <= rounds; round++) {
      say(round === 0 ? "a step of the nano recipe, to warm up" : `a step of the nano recipe, ${round} of ${rounds}`);
      const ours = await steps.next();
      const task = { task: "step", file: peer ? steps.describe() : "" };
      const answer = await peer?.ask<{ sample: Timed; learn: Timed }>(task);
      const theirs = answer ? { sample: answer.sample.seconds, learn: answer.learn.seconds } : null;
      if (round > 0) measured.push({ ours, theirs });
    }
  } finally {
    await steps.close();
  }
  return summariseSteps(measured, await measureGemm(layoutFor(readModelConfig(benchPolicy()))));
}

function summariseSteps(
  measured: readonly { ours: MeasuredStep; theirs: { sample: number; learn: number } | null }[],
  peak: number,
): StepBench {
  const over = (of: (one: (typeof measured)[number]) => number) => median(measured.map(of));
  const phase = (name: keyof StepSeconds) => over(({ ours }) => ours.seconds[name]);
  const total = ({ seconds }: MeasuredStep) => Object.values(seconds).reduce((sum, value) => sum + value, 0);
  const hasPeer = measured.every(({ theirs }) => theirs !== null);
  const beside = ({ ours }: (typeof measured)[number]) =>
    (ours.seconds.search + ours.seconds.reward + ours.seconds.write) / total(ours);
  return {
    seconds: {
      sample: phase("sample"),
      search: phase("search"),
      reward: phase("reward"),
      learn: phase("learn"),
      write: phase("write"),
    },
    cpuSeconds: over(({ ours }) => ours.cpuSeconds),
    peerSeconds: hasPeer ? over(({ theirs }) => theirs!.sample + theirs!.learn) : null,
    peerParts: hasPeer
      ? { sample: over(({ theirs }) => theirs!.sample), learn: over(({ theirs }) => theirs!.learn) }
      : null,
    ratio: hasPeer ? over(({ ours, theirs }) => (theirs!.sample + theirs!.learn) / total(ours)) : null,
    shareBesideEngine: over(beside),
    learnShareOfGemmPeak: over(({ ours }) => ours.flops / ours.seconds.learn) / peak,
    policyTokens: over(({ ours }) => ours.policyTokens),
  };
}

async function benchMemory(count: number, say: (text: string) => void): Promise<MemoryBench> {
  const steps = await openNanoSteps(smallSteps);
  const rss: number[] = [];
  try {
    for (let i = 0; i < count; i++) {
      if (i % 50 === 0) say(`memory: step ${i} of ${count}`);
      rss.push((await steps.next()).rss);
    }
  } finally {
    await steps.close();
  }
  // single readings jump with the collector
  const around = (at: number) => median(rss.slice(Math.max(0, at - 10), at));
  const [quarter, end] = [around(Math.ceil(count / 4)), around(count)];
  return { steps: count, quarter, end, growth: end / quarter - 1 };
}

function machine(): Record<string, string | number> {
  return {
    processor: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableParallelism(),
    system: `${platform()} ${arch()}`,
    node: process.version,
  };
}
