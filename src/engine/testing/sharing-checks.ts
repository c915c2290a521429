/** @file One batch learnt from in several ways that must agree: sequences apart, packed, siblings' prompt shared, layers computed anew. */
import { type Random, randomOf } from "../../base/random.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { LossSpec, TrainingSequence } from "../engine.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import { sequenceLoss } from "../loss.ts";
import { LearnerCore, type LearnerCoreOptions } from "../onnx/learner-core.ts";

export interface SharingModel {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
}

const always = { minTokens: 4, minShare: 0 };
const together = { tokens: 192, scored: 4096 };

type Way = Pick<LearnerCoreOptions, "limits" | "sharing" | "recompute">;

/** What all others are held against: every sequence by itself, all layers in one graph. */
const apart: Way = { limits: { tokens: 1, scored: 1 }, sharing: false };

export const ways: Readonly<Record<string, Way>> = {
  packed: { limits: together, sharing: false },
  "prompts shared": { limits: together, sharing: always },
  "prompts shared, siblings apart": { limits: apart.limits, sharing: always },
  "layers computed anew": { limits: together, sharing: false, recompute: true },
  "prompts shared, layers computed anew": { limits: together, sharing: always, recompute: true },
};

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
    const learning = (way: Way): Learning => {
      const gradients = new Map(
        [...model.weights].map(([pack, { data, shape }]) => [pack, { data: new Float32Array(data.length), shape }]),
      );
      return { gradients, learner: new LearnerCore({ ...model, ...way, gradients, threads }) };
    };
    this.#learners = new Map(Object.entries({ apart, ...ways }).map(([name, way]) => [name, learning(way)]));
  }

  /** How far each way is from computing every sequence by itself. */
  async compare(batch: readonly TrainingSequence[], loss: LossSpec): Promise<Record<string, Disagreement>> {
    let expected: Learnt | undefined;
    const found: Record<string, Disagreement> = {};
    for (const [name, learning] of this.#learners) {
      const learnt = await learn(learning, batch, loss);
      if (expected) found[name] = { loss: lossDifference(learnt, expected), gradient: worstTensor(learnt, expected) };
      else expected = learnt;
    }
    return found;
  }

  async close(): Promise<void> {
    for (const { learner } of this.#learners.values()) await learner.close();
  }
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

/** Questions with siblings that write, get documents and write on, all of random tokens and lengths; two strangers. */
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
    oldLogprobs: values(() => -4 - random.next()),
    referenceLogprobs: values(() => -4 - random.next()),
  };
}
