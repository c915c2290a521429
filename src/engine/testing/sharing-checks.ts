/** @file One batch learnt from in several ways that must agree: sequences apart, packed, siblings' prompt shared, activation checkpointing; an adapter apart or merged. */
import { type Random, randomOf } from "../../base/random.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { LossSpec, TrainingSequence } from "../engine.ts";
import { type ModelConfig, packs, parseModelConfig } from "../huggingface/model-config.ts";
import { sequenceLoss } from "../loss.ts";
import { LearnerCore, type LearnerCoreOptions } from "../onnx/learner-core.ts";
import type { AdaptedModel } from "./adapted-model.ts";

export interface SharingModel {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
  /** Learns in their place. */
  readonly adapted?: AdaptedModel;
}

const families: Record<string, object> = {
  "Llama, grouped queries, tied": { num_key_value_heads: 2, tie_word_embeddings: true },
  "Qwen2, biased projections": { model_type: "qwen2", num_key_value_heads: 4 },
  "Qwen3, normalised heads": { model_type: "qwen3", num_key_value_heads: 1, head_dim: 32 },
};

/** A few thousand random numbers each. */
export function randomModels(): Record<string, SharingModel> {
  return Object.fromEntries(Object.entries(families).map(([name, changes]) => [name, tinyModel(changes)]));
}

function tinyModel(changes: object): SharingModel {
  const json = {
    model_type: "llama",
    vocab_size: 97,
    hidden_size: 64,
    intermediate_size: 80,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    ...changes,
  };
  const config = parseModelConfig(json, "the test");
  const random = randomOf("sharing model");
  const weights = new Map<string, Tensor>();
  for (const { pack, shape, members } of packs(config)) {
    const mean = members[0]!.role === "norm" ? 1 : 0;
    const length = shape.reduce((a, b) => a * b, 1);
    weights.set(pack, { data: Float32Array.from({ length }, () => mean + 0.15 * random.normal()), shape });
  }
  return { config, weights };
}

export const sharingLosses: readonly LossSpec[] = [
  { kind: "ppo", clipLow: 0.2, clipHigh: 0.3 },
  { kind: "ppo", clipLow: 0.2, clipHigh: 0.2, kl: { kind: "k3", coefficient: 0.05 } },
  { kind: "cross-entropy" },
];

const always = { minTokens: 4, minShare: 0 };
const together = { tokens: 192, scored: 4096 };

interface Way extends Pick<LearnerCoreOptions, "limits" | "sharing" | "recompute"> {
  /** Of an adapter, where one learns. */
  readonly merge?: boolean;
}

/** What all others are held against: every sequence by itself, all layers in one graph. */
const apart: Way = { limits: { tokens: 1, scored: 1 }, sharing: false };

const ways: Readonly<Record<string, Way>> = {
  packed: { limits: together, sharing: false },
  "prompts shared": { limits: together, sharing: always },
  "prompts shared, siblings apart": { limits: apart.limits, sharing: always },
  "activation checkpointing": { limits: together, sharing: false, recompute: true },
  "prompts shared, activation checkpointing": { limits: together, sharing: always, recompute: true },
};

/** An adapter learns in each of them apart and merged. */
function waysOf({ adapted }: SharingModel): Readonly<Record<string, Way>> {
  if (!adapted) return ways;
  const merged = Object.entries({ apart, ...ways }).map(([name, way]) => [`${name}, merged`, { ...way, merge: true }]);
  return { ...ways, ...Object.fromEntries(merged) };
}

export interface Disagreement {
  /** |Δ loss| / Σ |terms of the loss|. */
  readonly loss: number;
  /** The largest over all tensors of max |Δ| / max |g|. */
  readonly gradient: number;
}

/** Learners of one model, each with gradients of its own. */
export class SharingCheck {
  readonly #learners: ReadonlyMap<string, Learning>;

  constructor(model: SharingModel, threads: number) {
    const all = { apart, ...waysOf(model) };
    this.#learners = new Map(Object.entries(all).map(([name, way]) => [name, learning(model, way, threads)]));
  }

  /** How far each way is from computing every sequence by itself. */
  async compare(batch: readonly TrainingSequence[], loss: LossSpec): Promise<Record<string, Disagreement>> {
    let expected: Learnt | undefined;
    const found: Record<string, Disagreement> = {};
    const sampled = await asSampled(batch, this.#learners.get("apart")!.learner);
    for (const [name, learning] of this.#learners) {
      const learnt = await learn(learning, sampled, loss);
      if (expected) found[name] = { loss: lossDifference(learnt, expected), gradient: worstTensor(learnt, expected) };
      else expected = learnt;
    }
    return found;
  }

  async close(): Promise<void> {
    for (const { learner } of this.#learners.values()) await learner.close();
  }
}

/** Old log-probabilities near the model's own, as a sampler's are: far from them, a ratio is all rounding. */
async function asSampled(batch: readonly TrainingSequence[], learner: LearnerCore): Promise<TrainingSequence[]> {
  const logprobs = await learner.logprobs(batch.map(({ tokens }) => tokens));
  return batch.map((sequence, i) => ({
    ...sequence,
    oldLogprobs: sequence.oldLogprobs.map((difference, t) => (t === 0 ? 0 : logprobs[i]![t - 1]! + difference)),
  }));
}

function learning({ config, weights, adapted }: SharingModel, way: Way, threads: number): Learning {
  const learnt = adapted?.adapter ?? weights;
  const gradients = new Map(
    [...learnt].map(([pack, { data, shape }]) => [pack, { data: new Float32Array(data.length), shape }]),
  );
  const { merge = false, ...limits } = way;
  const used = new Map([...weights, ...(merge && adapted ? adapted.merged : []), ...learnt]);
  const lora = adapted && { ...adapted.lora, targets: [...adapted.lora.targets], merge };
  return { gradients, learner: new LearnerCore({ config, weights: used, gradients, lora, threads, ...limits }) };
}

interface Learning {
  readonly learner: LearnerCore;
  readonly gradients: ReadonlyMap<string, { readonly data: Float32Array }>;
}

interface Learnt {
  readonly terms: readonly number[];
  readonly gradients: Learning["gradients"];
}

async function learn(
  { learner, gradients }: Learning,
  batch: readonly TrainingSequence[],
  loss: LossSpec,
): Promise<Learnt> {
  for (const { data } of gradients.values()) data.fill(0);
  const logprobs = await learner.forwardBackward(batch, loss);
  return { terms: batch.map((sequence, i) => sequenceLoss(loss, sequence, logprobs[i]!)), gradients };
}

function lossDifference({ terms }: Learnt, expected: Learnt): number {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  return Math.abs(sum(terms) - sum(expected.terms)) / sum(expected.terms.map(Math.abs));
}

function worstTensor({ gradients }: Learnt, expected: Learnt): number {
  let worst = 0;
  for (const [pack, { data: wanted }] of expected.gradients) {
    const { data } = gradients.get(pack)!;
    let [largest, difference] = [0, 0];
    for (const [i, value] of wanted.entries()) {
      largest = Math.max(largest, Math.abs(value));
      difference = Math.max(difference, Math.abs(value - data[i]!));
    }
    if (!(largest > 0)) throw new Error(`${pack} got no gradient: nothing was compared`);
    worst = Math.max(worst, difference / largest); // NaN stays NaN
  }
  return worst;
}

export interface BatchSizes {
  readonly questions: number;
  readonly siblings: number;
  /** At most, in tokens. */
  readonly prompt: number;
  readonly written: number;
}

/** Old log-probabilities are given as differences from the model's. Questions with siblings that write, get documents and write on, all of random tokens and lengths; two strangers. */
export function randomBatch(number: number, vocabSize: number, sizes: BatchSizes): TrainingSequence[] {
  const random = randomOf("sharing", number);
  const ids = (length: number) => Array.from({ length }, () => random.int(vocabSize));
  const sequences: TrainingSequence[] = [];
  for (let question = 0; question < sizes.questions; question++) {
    const prompt = ids(6 + random.int(sizes.prompt - 5));
    for (let sibling = 0; sibling < 1 + random.int(sizes.siblings); sibling++) {
      sequences.push(sequence(random, prompt, () => ids(1 + random.int(sizes.written))));
    }
  }
  for (let stranger = 0; stranger < 2; stranger++) {
    sequences.push(sequence(random, ids(1 + random.int(5)), () => ids(1 + random.int(sizes.written))));
  }
  return sequences;
}

function sequence(random: Random, prompt: readonly number[], more: () => number[]): TrainingSequence {
  const runs = [prompt, more(), more(), more()]; // prompt, written, documents, written
  const tokens = Int32Array.from(runs.flat());
  const author = runs.flatMap((run, i) => run.map(() => i));
  const values = (of: (t: number) => number) => Float32Array.from(tokens, (_, t) => of(t));
  return {
    tokens,
    weights: values((t) => (t > 0 && author[t]! % 2 === 1 ? 0.02 + 0.01 * random.next() : 0)),
    advantages: values(() => random.normal()),
    oldLogprobs: values(() => 0.1 * random.normal()),
    referenceLogprobs: values(() => -4 - random.next()),
  };
}
