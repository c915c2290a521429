/** @file Dual clip and KL terms through a whole model: loss and gradient as the plain numbers say. */
import { expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { LossSpec, TrainingSequence } from "../engine.ts";
import { packs, parseModelConfig } from "../huggingface/model-config.ts";
import { termsAt, tokenLoss } from "../loss.ts";
import { LearnerCore } from "./learner-core.ts";

const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 61,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    max_position_embeddings: 64,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
  },
  "the test",
);
const clip = { kind: "ppo", clipLow: 0.2, clipHigh: 0.28 } as const;
const losses: LossSpec[] = [
  clip,
  { ...clip, dualClip: 2 },
  { ...clip, kl: { kind: "k2", coefficient: 0.5 } },
  { ...clip, kl: { kind: "k3", coefficient: 0.5 } },
  { ...clip, dualClip: 2, kl: { kind: "k3", coefficient: 0.1 } },
];

function tinyLearner() {
  const weights = new Map<string, Tensor>();
  const gradients = new Map<string, Tensor>();
  for (const { pack, shape } of packs(config)) {
    const random = randomOf("loss terms", pack);
    const length = shape.reduce((product, n) => product * n, 1);
    const data = Float32Array.from({ length }, () => (pack.includes("norm") ? 1 : 0.2 * random.normal()));
    weights.set(pack, { data, shape });
    gradients.set(pack, { data: new Float32Array(length), shape });
  }
  const learner = new LearnerCore({ config, weights, gradients, threads: 1, limits: { tokens: 64, scored: 1000 } });
  const flat = (of: ReadonlyMap<string, Tensor>) => [...of.values()].map(({ data }) => data as Float32Array);
  return {
    learner,
    weights: flat(weights),
    /** The gradient since the last call. */
    takeGradient: () =>
      flat(gradients).map((data) => {
        const taken = data.slice();
        data.fill(0);
        return taken;
      }),
  };
}

/** Old and reference log-probabilities lie on all sides of the learner's, so that every clip holds somewhere. */
async function someBatch(learner: LearnerCore): Promise<TrainingSequence[]> {
  const random = randomOf("loss terms batch");
  const tapes = [17, 9, 23].map((length) => Int32Array.from({ length }, () => random.int(config.vocabSize)));
  const logprobs = await learner.logprobs(tapes);
  const away = (s: number, spread: number, length: number) =>
    Float32Array.from({ length }, (_, t) => (t === 0 ? 0 : logprobs[s]![t - 1]! + spread * random.normal()));
  return tapes.map((tokens, s) => ({
    tokens,
    weights: Float32Array.from(tokens, (_, t) => (t > 2 && t % 4 !== 0 ? 0.05 + 0.01 * t : 0)),
    advantages: Float32Array.from(tokens, () => random.normal()),
    oldLogprobs: away(s, 0.7, tokens.length),
    referenceLogprobs: away(s, 1.5, tokens.length),
  }));
}

const places = (batch: readonly TrainingSequence[]) =>
  batch.flatMap(({ weights }, s) => [...weights.keys()].filter((t) => weights[t] !== 0).map((t) => [s, t] as const));

function lossOf(spec: LossSpec, batch: readonly TrainingSequence[], logprobs: readonly Float32Array[]): number {
  return places(batch).reduce(
    (sum, [s, t]) => sum + batch[s]!.weights[t]! * tokenLoss(spec, termsAt(batch[s]!, t, logprobs[s]![t]!)).loss,
    0,
  );
}

const dot = (a: readonly Float32Array[], b: readonly Float32Array[]) =>
  a.reduce((sum, data, i) => sum + data.reduce((inner, value, j) => inner + value * b[i]![j]!, 0), 0);

test.each(losses.map((loss) => [JSON.stringify(loss), loss] as const))(
  "%s: the gradient is the one that the slopes in plain numbers give",
  async (_, loss) => {
    const { learner, takeGradient } = tinyLearner();
    const batch = await someBatch(learner);
    const logprobs = await learner.forwardBackward(batch, loss);
    const gradient = takeGradient();
    // cross-entropy has slope −weight: any slopes at all can be asked of it
    const sloped = batch.map((one, s) => ({
      ...one,
      weights: one.weights.map((w, t) => (w === 0 ? 0 : -w * tokenLoss(loss, termsAt(one, t, logprobs[s]![t]!)).slope)),
    }));
    await learner.forwardBackward(sloped, { kind: "cross-entropy" });
    const expected = takeGradient();
    const size = Math.sqrt(dot(expected, expected));
    const apart = gradient.map((data, i) => data.map((value, j) => value - expected[i]![j]!));
    expect(size).toBeGreaterThan(0.1);
    expect(Math.sqrt(dot(apart, apart)) / size).toBeLessThan(1e-5);
    await learner.close();
  },
);

test.each(losses.map((loss) => [JSON.stringify(loss), loss] as const))(
  "%s: the gradient agrees with central differences through the model",
  async (_, loss) => {
    const { learner, weights, takeGradient } = tinyLearner();
    const batch = await someBatch(learner);
    await learner.forwardBackward(batch, loss);
    const gradient = takeGradient();
    const slope = Math.sqrt(dot(gradient, gradient));
    const origin = weights.map((data) => data.slice());
    const lossAt = async (by: number) => {
      for (const [i, data] of weights.entries())
        for (const [j, value] of gradient[i]!.entries()) data[j] = origin[i]![j]! + (by * value) / slope;
      const logprobs = await learner.logprobs(batch.map(({ tokens }) => tokens));
      return lossOf(
        loss,
        batch,
        logprobs.map((row) => Float32Array.of(0, ...row)),
      );
    };
    const h = 2e-3; // small, so that no token crosses a clip
    const numeric =
      (8 * ((await lossAt(h)) - (await lossAt(-h))) - ((await lossAt(2 * h)) - (await lossAt(-2 * h)))) / (12 * h);
    expect(Math.abs(numeric - slope) / slope, `${numeric} against ${slope}`).toBeLessThan(2e-3);
    await learner.close();
  },
);

test("a KL loss on sequences without a reference is an error that says so", async () => {
  const { learner } = tinyLearner();
  const batch = (await someBatch(learner)).map(({ referenceLogprobs: _, ...rest }) => rest);
  await expect(learner.forwardBackward(batch, losses[3]!)).rejects.toThrow(/k3.*without referenceLogprobs/);
  await learner.close();
});
