/** @file What a policy will need here, before it is loaded: memory by what the engine allocates, speed by counting products. */
import { type ModelConfig, packs } from "../engine/huggingface/model-config.ts";
import { gradientFlops, parameters } from "./bench/model.ts";
import { measureGemm } from "./bench/rates.ts";

export interface PlanAssumptions {
  readonly workers: number;
  readonly threads: number;
  /** Tapes sampled at once, and the longest. */
  readonly sequences: number;
  readonly context: number;
  /** Of one micro-batch of learning, per worker. */
  readonly microBatchTokens: number;
  readonly loraRank: number;
}

export interface MemoryPlan {
  /** Bytes. */
  readonly eval: number;
  readonly lora: number;
  readonly full: number;
}

export interface SpeedPlan {
  readonly sample: number;
  readonly train: number;
}

const FLOAT = 4;
/** Node, this program and ONNX Runtime with nothing loaded; then each worker. */
const processBytes = 120e6;
const workerBytes = 45e6;
/** The engine's own bound on the logits of one micro-batch, in floats. */
const largestLogits = 16 * 2 ** 20;

/** Shares of the fastest matrix product that whole steps reach; decoding also reads caches and weights from memory. */
const shareOfPeak = { sample: 0.45, train: 0.75 };

export function planMemory(config: ModelConfig, assumed: PlanAssumptions): MemoryPlan {
  const { workers, sequences, context } = assumed;
  const { vocabSize, layers, kvHeads, headDim } = config;
  const weights = parameters(config) * FLOAT;
  const process = processBytes + workers * workerBytes;
  const caches = 2 * layers * kvHeads * headDim * context * sequences * FLOAT;
  const distributions = 4 * sequences * vocabSize * FLOAT;
  const sampling = process + workers * weights + caches + distributions;
  const learning = workers * activations(config, assumed) * FLOAT;
  const exchanged = workers > 1 ? workers + 1 : 0;
  const adapters = loraParameters(config, assumed.loraRank) * FLOAT;
  return {
    eval: sampling,
    // gradients of each worker, the two moments shared out among them, and what passes between them
    lora: sampling + learning + adapters * (2 * workers + 2 + exchanged),
    full: sampling + learning + weights * (workers + 2 + exchanged),
  };
}

/** Floats alive at the end of a forward pass: what the gradient rules read again. */
function activations(config: ModelConfig, { context, microBatchTokens }: PlanAssumptions): number {
  const { layers, heads, kvHeads, headDim, width, ffnWidth, vocabSize } = config;
  const tokens = Math.max(context, microBatchTokens);
  const packed = (heads + 2 * kvHeads) * headDim;
  const causal = 0.625; // of all scores, with four blocks of queries
  const perToken = 6 * width + 4 * packed + 2 * heads * headDim + 6 * ffnWidth + 2 * causal * heads * context;
  const logits = Math.min(tokens * vocabSize, largestLogits);
  return layers * tokens * perToken + 4 * logits;
}

/** Adapters of every projection. */
function loraParameters(config: ModelConfig, rank: number): number {
  const matrices = packs(config).flatMap(({ members }) => members.filter(({ role }) => role === "matrix"));
  return matrices.reduce((sum, { shape }) => sum + rank * (shape[0]! + shape[1]!), 0);
}

/** Tokens per second, all workers together, from the fastest matrix product measured now. */
export async function predictSpeed(config: ModelConfig, assumed: PlanAssumptions): Promise<SpeedPlan> {
  const peak = await measureGemm(assumed, [512, 1024]);
  const length = Math.min(assumed.context, assumed.microBatchTokens);
  const weights = new Float32Array(length).fill(1);
  weights[0] = 0;
  const perToken = gradientFlops(config, [{ weights }]) / length;
  // going forward alone is one of the three products
  return { sample: (shareOfPeak.sample * peak) / (perToken / 3), train: (shareOfPeak.train * peak) / perToken };
}
