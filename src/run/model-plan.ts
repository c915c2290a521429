/** @file How fast a policy will be here, before it is loaded: matrix products of its own shapes, measured now, and counted. */
import type { ModelConfig } from "../engine/huggingface/model-config.ts";
import { gradientFlops, matrixWeights } from "./bench/model.ts";
import { measureProduct, type Product } from "./bench/rates.ts";
import { activationsPerLayer, type PlanAssumptions } from "./memory-plan.ts";

/** Tokens per second, all workers together. */
export interface SpeedPlan {
  /** Written by the policy while all sequences write; prompts and documents are read besides. */
  readonly sample: number;
  readonly train: number;
}

/** Floating-point operations per second of one worker. */
export interface ProductRates {
  /** A few rows times weights that come from memory. */
  readonly decode: number;
  /** A micro-batch times weights. */
  readonly train: number;
}

/** What a step of decoding takes besides products, in seconds: itself, each layer, and each number of a distribution. */
const [perStep, perLayer, perProbability] = [500e-6, 300e-6, 2e-9];
/** Products in learning are as fast as one alone but for their edges; the rest is the numbers that pass between them, in seconds each. */
const [productShare, perActivation] = [0.92, 2.3e-9];

/** Weights together beyond what caches hold, as those of a model are when their turn comes again; fewer where it has fewer. */
const beyondCaches = 64e6;

/** The products that decide the speed of sampling and of learning. */
export function decidingProducts(
  config: ModelConfig,
  { workers, sequences, microBatchTokens }: PlanAssumptions,
): Readonly<Record<keyof ProductRates, Product>> {
  const { width, ffnWidth } = config;
  const one = 8 * width * ffnWidth; // bytes
  const copies = Math.max(1, Math.ceil(Math.min(beyondCaches, 4 * allWeights(config)) / one));
  const shape = { inner: width, columns: 2 * ffnWidth };
  return {
    decode: { ...shape, rows: Math.max(2, Math.ceil(sequences / workers)), copies },
    train: { ...shape, rows: microBatchTokens, copies: 1 },
  };
}

/** Every weight that a token is multiplied with. */
function allWeights(config: ModelConfig): number {
  return matrixWeights(config) + config.width * config.vocabSize;
}

export async function predictSpeed(config: ModelConfig, assumed: PlanAssumptions): Promise<SpeedPlan> {
  const { decode, train } = decidingProducts(config, assumed);
  return speedFrom(config, assumed, {
    decode: await measureProduct(assumed, decode),
    train: await measureProduct(assumed, train),
  });
}

export function speedFrom(config: ModelConfig, assumed: PlanAssumptions, rates: ProductRates): SpeedPlan {
  const { workers, sequences, context, microBatchTokens } = assumed;
  const rows = sequences / workers;
  const products = (2 * rows * allWeights(config)) / rates.decode;
  const step = products + perStep + config.layers * perLayer + rows * config.vocabSize * perProbability;
  const length = Math.min(context, microBatchTokens);
  const weights = new Float32Array(length).fill(1);
  weights[0] = 0;
  const flops = gradientFlops(config, [{ weights }]) / length;
  const perToken =
    flops / (productShare * rates.train) + config.layers * activationsPerLayer(config, length / 2) * perActivation;
  return { sample: sequences / step, train: workers / perToken };
}
