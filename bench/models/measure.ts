/** @file The measurements of `run.ts`. */
import { readFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import type { TrainingSequence } from "../../src/engine/engine.ts";
import { median, trainingBatch } from "../../src/run/engines/measuring.ts";
import { describePlan, type RunPlan } from "../../src/run/engines/memory-plan.ts";
import { type OnnxPolicy, openOnnx } from "../../src/run/engines/open-onnx.ts";
import type { OpenOptions } from "../../src/run/engines/open-policy.ts";
import { modelInfo } from "../../src/run/policy/run-model-info.ts";
import { PolicySettings } from "../../src/run/recipe/policy-settings.ts";
import type { Peer, PeerAbout, Timed } from "../nano/peer.ts";
import { type Updated, updateOnce } from "../nano/rates.ts";
import { type Attempt, describeWork, type Sizes, sampleAll, scripts, toUpdate } from "./work.ts";

export type ProgramName = "plain" | "tuned";

export interface ModelsBenchOptions {
  readonly model: string;
  /** Or in words why there is none. */
  readonly peers: Readonly<Record<ProgramName, Peer | string>>;
  /** For files between programs. */
  readonly directory: string;
  readonly rounds: number;
  readonly sizes: Sizes;
  readonly widths: readonly number[];
  readonly maxMemoryGb: number;
  readonly gguf?: string | undefined;
  readonly say: (text: string) => void;
}

export interface StepTimes {
  /** Medians over the rounds, in seconds. */
  readonly sample: number;
  readonly learn: number;
  readonly peakBytes: number;
}

export interface PeerStep extends StepTimes {
  /** Its seconds over ours, median of each round's own. */
  readonly ratio: number;
  /** Of the loss and of the gradient's norm, relative. */
  readonly largestDifference: number;
}

export interface StepBench extends Partial<Readonly<Record<ProgramName, PeerStep>>> {
  readonly ours: StepTimes;
  /** Largest |Δ log-probability| of what was sampled, ours against the tuned program's; null without it. */
  readonly logprobDifference: number | null;
  readonly plan: RunPlan;
}

/** Tokens per second; null where there is no peer. */
export interface RatesBench {
  readonly train: { readonly ours: number; readonly tuned: number | null };
  readonly decode: readonly { readonly width: number; readonly ours: number; readonly tuned: number | null }[];
  /** Or in words why it was not measured. */
  readonly llama: number | string;
  readonly predicted: { readonly sample: number; readonly train: number };
}

export interface Setting {
  readonly machine: { readonly processor: string; readonly cores: number; readonly flags: string };
  readonly peer: PeerAbout | string;
}

/** Tokens of a tape that all lengths of the workload fit in. */
const context = 768;
const trainWork = { sequences: 4, length: 256 };
const decodeWork = { prompt: 32, sampled: 24 };
const names = ["plain", "tuned"] as const;

const settings = PolicySettings.parse({ rollout: { contextLength: context } });

export function settingOf({ peers: { tuned } }: ModelsBenchOptions): Setting {
  return {
    machine: { processor: cpus()[0]?.model.trim() ?? "unknown", cores: cpus().length, flags: vectorFlags() },
    peer: typeof tuned === "string" ? tuned : tuned.about,
  };
}

/** A whole step within a limit of memory. */
export function benchStep(options: ModelsBenchOptions): Promise<StepBench> {
  const { model, sizes, maxMemoryGb } = options;
  const concurrency = sizes.questions * sizes.siblings;
  return withPolicy(model, { training: true, concurrency, settings, engine: { maxMemoryGb } }, (policy) => {
    options.say(describePlan(policy.memory));
    return measureStep(policy, options);
  });
}

/** Each by what would be opened for it: learning without that limit, and as many cache slots as sequences. */
export async function benchRates(options: ModelsBenchOptions): Promise<RatesBench> {
  const { model, say, widths } = options;
  say("predicting");
  const predicted = (await modelInfo(model)).tokensPerSecond;
  const learner = { training: true, concurrency: 1, settings };
  const train = await withPolicy(model, learner, (policy) => benchTrain(policy, options));
  const decode = [];
  for (const width of widths) {
    const sampler = { training: false, concurrency: width, settings };
    decode.push(await withPolicy(model, sampler, (policy) => benchDecode(policy, width, options)));
  }
  return { train, decode, llama: await benchLlama(options), predicted };
}

async function withPolicy<Result>(
  model: string,
  options: OpenOptions,
  work: (policy: OnnxPolicy) => Promise<Result>,
): Promise<Result> {
  const policy = await openOnnx(model, options);
  try {
    return await work(policy);
  } finally {
    await policy.close();
  }
}

interface PeerAnswer {
  readonly sample: Timed;
  readonly learn: Timed;
  readonly learnt: readonly Updated[];
  readonly logprobs?: readonly (readonly number[])[];
  readonly peakBytes: number;
}

interface Round {
  readonly sample: number;
  readonly learn: number;
  readonly peakBytes: number;
  readonly learnt: Updated;
  readonly answers: Readonly<Record<ProgramName, PeerAnswer | undefined>>;
}

async function measureStep(policy: OnnxPolicy, options: ModelsBenchOptions): Promise<StepBench> {
  const { engine, config } = policy;
  const { rounds, sizes, say, peers, directory } = options;
  const workload = scripts(sizes, config.vocabSize);
  const measured: Round[] = [];
  let logprobDifference: number | null = null;
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? "one question, to warm up" : `a step, ${round} of ${rounds}`);
    const all = round === 0 ? workload.slice(0, sizes.siblings) : workload;
    const sampler = await engine.publish();
    const [sample, attempts] = await timed(() => sampleAll(sampler, all, round));
    const update = toUpdate(attempts);
    const [learning, learnt] = await timed(() => updateOnce(engine, update, 0));
    const peakBytes = process.resourceUsage().maxRSS * 1024;
    const file = join(directory, "step.json");
    describeWork(file, { model: options.model, config, context }, { attempts, updates: [update] });
    const ask = (name: ProgramName) => {
      const peer = peers[name];
      return typeof peer === "string" ? undefined : peer.ask<PeerAnswer>({ task: "step", program: name, file });
    };
    const answers = { plain: await ask("plain"), tuned: await ask("tuned") };
    if (answers.tuned?.logprobs) logprobDifference = largestDifference(attempts, answers.tuned.logprobs);
    if (round > 0) measured.push({ sample, learn: learning, peakBytes, learnt, answers });
  }
  return { ...summarise(measured), logprobDifference, plan: policy.memory };
}

function summarise(rounds: readonly Round[]): Omit<StepBench, "logprobDifference" | "plan"> {
  const ours = {
    sample: median(rounds.map(({ sample }) => sample)),
    learn: median(rounds.map(({ learn: seconds }) => seconds)),
    peakBytes: Math.max(...rounds.map(({ peakBytes }) => peakBytes)),
  };
  const theirs = names.flatMap((name): [ProgramName, PeerStep][] => {
    const answers = rounds.map((round) => round.answers[name]);
    if (!answers.every((answer) => answer !== undefined)) return [];
    const seconds = (answer: PeerAnswer) => answer.sample.seconds + answer.learn.seconds;
    const step = {
      sample: median(answers.map(({ sample }) => sample.seconds)),
      learn: median(answers.map(({ learn: l }) => l.seconds)),
      peakBytes: Math.max(...answers.map(({ peakBytes }) => peakBytes)),
      ratio: median(answers.map((answer, i) => seconds(answer) / (rounds[i]!.sample + rounds[i]!.learn))),
      largestDifference: Math.max(...answers.map((answer, i) => difference(rounds[i]!.learnt, answer.learnt[0]!))),
    };
    return [[name, step]];
  });
  return { ours, ...Object.fromEntries(theirs) };
}

function difference(ours: Updated, theirs: Updated): number {
  const relative = (a: number, b: number) => Math.abs(a - b) / Math.max(Math.abs(a), Math.abs(b));
  return Math.max(relative(ours.loss, theirs.loss), relative(ours.gradNorm, theirs.gradNorm));
}

function largestDifference(attempts: readonly Attempt[], logprobs: readonly (readonly number[])[]): number {
  const all = attempts.flatMap((attempt, i) => attempt.logprobs.map((value, t) => Math.abs(value - logprobs[i]![t]!)));
  return Math.max(...all);
}

async function benchTrain(
  { engine, config }: OnnxPolicy,
  { rounds, peers, directory, model, say }: ModelsBenchOptions,
): Promise<RatesBench["train"]> {
  say("learning alone");
  const update = trainingBatch(config, trainWork);
  const file = join(directory, "train.json");
  describeWork(file, { model, config, context }, { attempts: [], updates: [update] });
  const { tuned } = peers;
  const theirs =
    typeof tuned === "string" ? undefined : () => tuned.ask<Timed>({ task: "train", program: "tuned", file });
  return perSecond(trainWork.sequences * trainWork.length, rounds, () => updateOnce(engine, update, 0), theirs);
}

async function benchDecode(
  { engine, config }: OnnxPolicy,
  width: number,
  { rounds, peers, directory, model, say }: ModelsBenchOptions,
): Promise<RatesBench["decode"][number]> {
  say(`sampling, ${width} at once`);
  const { prompt, sampled } = decodeWork;
  const update: readonly TrainingSequence[] = trainingBatch(config, { sequences: width, length: prompt });
  let step = 1_000_000; // keys of their own
  let attempts: Attempt[] = [];
  const ours = async () => {
    const sampler = await engine.publish();
    const limits = { maxTokens: sampled, temperature: 1, topP: 1, topK: 0, stop: { tokens: [], text: [] } };
    step++;
    attempts = await Promise.all(
      update.map(async ({ tokens }, question): Promise<Attempt> => {
        const key = { seed: 1, step, question, sibling: 0, turn: 0 };
        const written = await sampler.sample({ ...limits, tokens, key });
        return {
          group: question,
          tokens: Int32Array.of(...tokens, ...written.tokens),
          runs: [
            ["prompt", prompt],
            ["policy", sampled],
          ],
          logprobs: [...written.logprobs],
        };
      }),
    );
  };
  const { tuned } = peers;
  const file = join(directory, "decode.json");
  const theirs = async () => {
    describeWork(file, { model, config, context }, { attempts, updates: [] });
    return (tuned as Peer).ask<Timed>({ task: "decode", program: "tuned", file });
  };
  return {
    width,
    ...(await perSecond(width * sampled, rounds, ours, typeof tuned === "string" ? undefined : theirs)),
  };
}

/** One unmeasured round, then ours and the peer's in turn. */
async function perSecond(
  tokens: number,
  rounds: number,
  ours: () => Promise<unknown>,
  theirs: (() => Promise<Timed>) | undefined,
): Promise<{ ours: number; tuned: number | null }> {
  const [mine, others]: [number[], number[]] = [[], []];
  for (let round = 0; round <= rounds; round++) {
    mine.push((await timed(ours))[0]);
    if (theirs) others.push((await theirs()).seconds);
  }
  return { ours: tokens / median(mine.slice(1)), tuned: theirs ? tokens / median(others.slice(1)) : null };
}

async function benchLlama({ gguf, peers, rounds }: ModelsBenchOptions): Promise<number | string> {
  if (gguf === undefined) return "no --gguf was given";
  if (typeof peers.tuned === "string") return peers.tuned;
  const task = { task: "llama", gguf, rounds, ...decodeWork };
  return (await peers.tuned.ask<{ tokensPerSecond: number }>(task)).tokensPerSecond;
}

async function timed<Result>(work: () => Promise<Result>): Promise<[seconds: number, Result]> {
  const began = performance.now();
  const result = await work();
  return [(performance.now() - began) / 1000, result];
}

/** Which vector instructions the processor has, where the system says. */
function vectorFlags(): string {
  try {
    const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
    return line
      .split(" ")
      .filter((flag) => /^(avx|fma|amx|asimd|sve)/.test(flag))
      .join(" ");
  } catch {
    return "not known here";
  }
}
