/**
 * @file Predicts the speed of a policy on this machine before it is loaded: a reduced model with a few of its layers
 * and random weights samples and learns for some seconds, and the other layers are assumed to cost as much. Counting
 * matrix products would not suffice: on fast processors the operations between them take a larger share.
 */
import { type ModelConfig, packs, parseModelConfig, sizeOf } from "../../engine/huggingface/model-config.ts";
import { layerParameterCount } from "../../engine/huggingface/model-size.ts";
import type { NamedTensor } from "../../engine/huggingface/safetensors.ts";
import type { OnnxEngine } from "../../engine/onnx/engine.ts";
import { median, openMeasuredEngine, secondsOf, toTheEnd, trainingBatch } from "../engines/measuring.ts";
import type { PlanAssumptions } from "../engines/memory-plan.ts";

/** Tokens per second, all workers together. */
export interface SpeedPlan {
  /** Tokens written by the policy while all sequences are sampled; prompts and documents are processed in addition. */
  readonly sample: number;
  readonly train: number;
}

/** Measures the seconds that some work takes. */
export type Clock = (work: () => Promise<unknown>) => Promise<number>;

/**
 * Bytes of weights. Together the layers exceed the caches, as a real model's do, and there are enough of them that the
 * difference from a single layer is larger than the noise.
 */
const beyondCaches = 128e6;
/** Larger layers and heads are measured with a smaller width, to save time and memory. */
const largest = 128e6;
const rounds = 3;

/** A reduced model that can be measured, and its relation to the whole model. */
export interface Sketch {
  /** One layer, and several; the same if the whole model is small. */
  readonly configs: readonly [one: ModelConfig, several: ModelConfig];
  /** The factors by which a layer and the head of the model are larger than those of `configs`. */
  readonly layerFactor: number;
  readonly headFactor: number;
}

export function sketchOf(config: ModelConfig): Sketch {
  const bytes = (of: ModelConfig) => 4 * layerParameterCount({ ...of, layers: 1 });
  let narrow = config;
  while (bytes(narrow) > largest && narrow.width >= 512) {
    const { width, ffnWidth, heads, kvHeads } = narrow;
    const halved = heads % 2 === 0 && kvHeads % 2 === 0 ? { heads: heads / 2, kvHeads: kvHeads / 2 } : {};
    narrow = { ...narrow, ...halved, width: width / 2, ffnWidth: Math.ceil(ffnWidth / 2) };
  }
  const vocabSize = Math.min(config.vocabSize, Math.floor(largest / (4 * narrow.width)));
  const several = Math.min(config.layers, 1 + Math.ceil(beyondCaches / bytes(narrow)));
  const one = several === config.layers ? several : 1;
  return {
    configs: [thin(narrow, one, vocabSize), thin(narrow, several, vocabSize)],
    layerFactor: bytes(config) / bytes(narrow),
    headFactor: (config.width * config.vocabSize) / (narrow.width * vocabSize),
  };
}

/** Defined by its config.json, which is what an engine opens. */
function thin({ raw, width, ffnWidth, heads, kvHeads, headDim }: ModelConfig, layers: number, vocabSize: number) {
  const changes = {
    ...{ hidden_size: width, intermediate_size: ffnWidth, num_hidden_layers: layers, vocab_size: vocabSize },
    ...{ num_attention_heads: heads, num_key_value_heads: kvHeads, head_dim: headDim, tie_word_embeddings: true },
  };
  const { layer_types: types } = raw as { layer_types?: unknown };
  const cut = Array.isArray(types) ? { layer_types: types.slice(0, layers) } : {};
  return parseModelConfig({ ...raw, ...changes, ...cut }, "the reduced model");
}

/** Extrapolates the seconds of the reduced model to the whole model. */
export function extrapolate(
  config: ModelConfig,
  { configs: [one, several], layerFactor, headFactor }: Sketch,
  seconds: readonly [one: number, several: number],
): number {
  if (one.layers === several.layers) return seconds[1];
  const perLayer = Math.max(0, seconds[1] - seconds[0]) / (several.layers - one.layers);
  const rest = Math.max(0, seconds[0] - one.layers * perLayer);
  return rest * headFactor + config.layers * perLayer * layerFactor;
}

/** @param clock default wall-clock time */
export async function predictSpeed(
  config: ModelConfig,
  assumed: PlanAssumptions,
  clock: Clock = secondsOf,
): Promise<SpeedPlan> {
  const sketch = sketchOf(config);
  const [one, several] = sketch.configs;
  const most = await measure(several, assumed, clock);
  const least = one.layers === several.layers ? most : await measure(one, assumed, clock);
  const of = (kind: "step" | "token") => extrapolate(config, sketch, [least[kind], most[kind]]);
  return { sample: assumed.sequences / of("step"), train: 1 / of("token") };
}

/** Seconds of one decoding step of all sequences, and of learning from one token. */
async function measure(config: ModelConfig, assumed: PlanAssumptions, clock: Clock) {
  const { workers, sequences, context, microBatchTokens } = assumed;
  const engine = await openMeasuredEngine(config, { weights: madeUp(config), layout: assumed, sequences });
  try {
    const step = await stepSeconds(engine, config, sequences, clock);
    const length = Math.min(256, context, microBatchTokens);
    const count = workers * Math.max(2, Math.floor(microBatchTokens / length));
    const batch = trainingBatch(config, { sequences: count, length });
    const learn = async () => {
      await engine.forwardBackward(batch, { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 });
    };
    await learn();
    return { step, token: (await often(() => clock(learn))) / (count * length) };
  } finally {
    await engine.close();
  }
}

async function stepSeconds(engine: OnnxEngine, config: ModelConfig, sequences: number, clock: Clock): Promise<number> {
  let step = 0;
  const length = Math.min(64, config.contextLength >> 1);
  const prompt = Int32Array.from({ length }, (_, i) => (7919 * i + 5) % config.vocabSize);
  const write = async (maxTokens: number) => {
    const sampler = await engine.publish();
    step++;
    const limits = { ...toTheEnd, maxTokens };
    // different questions, because siblings would all go to one worker
    const one = (question: number) =>
      sampler.sample({ ...limits, tokens: prompt, key: { seed: 1, step, question, sibling: 0, turn: 0 } });
    await Promise.all(Array.from({ length: sequences }, (_, question) => one(question)));
  };
  const [few, many] = [2, 18];
  await write(few);
  const perStep = await often(async () => {
    const short = await clock(() => write(few));
    return ((await clock(() => write(many))) - short) / (many - few);
  });
  return Math.max(1e-9, perStep);
}

/** The median of a few measurements, of more if they are short. */
async function often(seconds: () => Promise<number>): Promise<number> {
  const all = [];
  const end = performance.now() + 1000;
  while (all.length < rounds || (performance.now() < end && all.length < 40)) all.push(await seconds());
  return median(all);
}

/** Random weights of a realistic size; their values do not affect the speed. */
function madeUp(config: ModelConfig): NamedTensor[] {
  return packs(config).flatMap(({ members }) =>
    members.map(({ name, shape, role }) => {
      const data = new Float32Array(sizeOf(shape)).fill(1);
      if (role !== "norm") for (let i = 0; i < data.length; i++) data[i] = 0.02 * Math.sin(i % 4099);
      return { name, shape, data };
    }),
  );
}
