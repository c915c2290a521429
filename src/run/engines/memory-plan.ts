/** @file What memory a policy will take here, by what the engine allocates, and how much of what was asked for fits. */
import { totalmem } from "node:os";
import { ConfigError } from "../../base/errors.ts";
import { adaptedPacks } from "../../engine/huggingface/adapter-packs.ts";
import { type ModelConfig, packs, sizeOf } from "../../engine/huggingface/model-config.ts";
import { parameterCount } from "../../engine/huggingface/model-size.ts";
import type { LoraSettings } from "../../engine/lora.ts";
import { LoraConfig } from "../../engine/lora-config.ts";
import { MAX_LOGITS } from "../../engine/onnx/micro-batch.ts";

export interface PlanAssumptions {
  readonly workers: number;
  readonly threads: number;
  /** Tapes sampled at once, and the longest. */
  readonly sequences: number;
  readonly context: number;
  /** Of one micro-batch of learning, per worker. */
  readonly microBatchTokens: number;
}

export interface MemoryPlan {
  /** Bytes. */
  readonly eval: number;
  readonly lora: number;
  readonly full: number;
}

/** What is learnt: nothing, an adapter, or every weight. */
export type Learnt = "nothing" | LoraSettings | "weights";

/** The adapter that `model info` speaks of: what a recipe's `lora: {}` means. */
export const usualAdapter = LoraConfig.parse({});

/** Bytes, all workers together. */
export interface MemoryParts {
  /** Node, this program and ONNX Runtime. */
  readonly process: number;
  /** With the copy of those that an adapter is merged into. */
  readonly weights: number;
  readonly gradients: number;
  /** Its state, and what workers exchange at an update. */
  readonly optimizer: number;
  readonly activations: number;
  /** Keys and values of all tapes that are sampled at once, and their distributions. */
  readonly cache: number;
  /** The copy of the weights that a checkpoint is written from. */
  readonly saving: number;
}

const FLOAT = 4;
/** Node, this program, its garbage and ONNX Runtime with nothing loaded; then each worker. */
const processBytes = 220e6;
const workerBytes = 45e6;

export function memoryParts(
  config: ModelConfig,
  assumed: PlanAssumptions,
  { learnt, recompute = false }: { readonly learnt: Learnt; readonly recompute?: boolean },
): MemoryParts {
  const { workers, sequences } = assumed;
  const weights = parameterCount(config) * FLOAT;
  const { trained, merged } = learntBytes(config, learnt, weights);
  const exchanged = workers > 1 ? workers + 1 : 0;
  return {
    process: processBytes + workers * workerBytes,
    weights: workers * (weights + merged),
    gradients: workers * trained,
    // the two moments are shared out among workers
    optimizer: (2 + exchanged) * trained,
    activations: learnt === "nothing" ? 0 : workers * activations(config, assumed, recompute) * FLOAT,
    cache: sequences * bytesPerSequence(config, assumed.context),
    saving: trained,
  };
}

/** Bytes of what is learnt, and of the copy that it is merged into. */
function learntBytes(config: ModelConfig, learnt: Learnt, weights: number): { trained: number; merged: number } {
  if (learnt === "nothing") return { trained: 0, merged: 0 };
  if (learnt === "weights") return { trained: weights, merged: 0 };
  const adapted = adaptedPacks(config, learnt);
  const trained = FLOAT * adapted.reduce((sum, { a, b }) => sum + sizeOf(a.shape) + sizeOf(b.shape), 0);
  const names = new Set(adapted.map(({ pack }) => pack));
  const copied = packs(config).filter(({ pack }) => names.has(pack));
  return { trained, merged: learnt.merge ? FLOAT * copied.reduce((sum, { shape }) => sum + sizeOf(shape), 0) : 0 };
}

export function planMemory(config: ModelConfig, assumed: PlanAssumptions): MemoryPlan {
  const total = (learnt: Learnt) => sumOf(memoryParts(config, assumed, { learnt }));
  return { eval: total("nothing"), lora: total(usualAdapter), full: total("weights") };
}

const sumOf = (parts: MemoryParts) => Object.values(parts).reduce((sum: number, bytes: number) => sum + bytes, 0);

function bytesPerSequence({ layers, kvHeads, headDim, vocabSize }: ModelConfig, context: number): number {
  return (2 * layers * kvHeads * headDim * context + 4 * vocabSize) * FLOAT;
}

/** Floats alive at the end of a forward pass: what the gradient rules read again. */
function activations(config: ModelConfig, { context, microBatchTokens }: PlanAssumptions, recompute: boolean): number {
  const { layers, width, vocabSize } = config;
  const tokens = Math.max(context, microBatchTokens);
  const causal = 0.625; // of all scores, with four blocks of queries
  const perLayer = activationsPerLayer(config, causal * context);
  const logits = Math.min(tokens * vocabSize, MAX_LOGITS);
  const perToken = recompute ? perLayer + (layers + 3) * width : layers * perLayer;
  return tokens * perToken + 4 * logits;
}

/** Floats of one token in one layer. @param attended tokens that it attends to, the mean over a sequence */
function activationsPerLayer({ heads, kvHeads, headDim, width, ffnWidth }: ModelConfig, attended: number): number {
  return 6 * width + 4 * (heads + 2 * kvHeads) * headDim + 2 * heads * headDim + 6 * ffnWidth + 2 * heads * attended;
}

/** Bytes of this machine, or of what this process may use of it. */
export interface MachineMemory {
  readonly total: number;
  readonly free: number;
}

export function machineMemory(): MachineMemory {
  const allowed = process.constrainedMemory();
  const total = allowed > 0 ? Math.min(allowed, totalmem()) : totalmem();
  return { total, free: Math.min(total, process.availableMemory()) };
}

export interface RunDemand extends Omit<PlanAssumptions, "sequences"> {
  readonly learnt: Learnt;
  /** Tapes that one would sample at once. */
  readonly wanted: number;
  /** Bytes; absent: most of what is free. */
  readonly limit?: number | undefined;
  /** Absent: where all layers' activations would not fit. */
  readonly recompute?: boolean | undefined;
}

export interface RunPlan {
  readonly parts: MemoryParts;
  /** Of all parts. */
  readonly bytes: number;
  readonly limit: number;
  /** Tapes sampled at once, all workers together. */
  readonly sequences: number;
  readonly context: number;
  /** Activation checkpointing: the backward pass recomputes layers. */
  readonly recompute: boolean;
}

/** What a plan leaves to others, and to what it does not know of. */
const shareUsed = 0.8;
/** Of a limit that was given; the rest is for the index and what allocators keep of what was freed. */
const shareOfLimit = 0.96;
/** A sampler is slow below this number; activation checkpointing is preferred. */
const fewSequences = 16;

/**
 * As many tapes at once as fit, which changes nothing but time. Activation checkpointing may change bits, so
 * that follows from the machine and the recipe alone, not from what happens to be free.
 * @throws ConfigError with the numbers where not even the least fits
 */
export function planRun(config: ModelConfig, demand: RunDemand, machine: MachineMemory): RunPlan {
  const { wanted, learnt, workers } = demand;
  const context = Math.min(demand.context, config.contextLength);
  const partsOf = (sequences: number, recompute: boolean) =>
    memoryParts(config, { ...demand, context, sequences }, { learnt, recompute });
  const usableOf = (bytes: number) => (demand.limit === undefined ? shareUsed * bytes : shareOfLimit * demand.limit);
  const steady = usableOf(machine.total);
  const recompute =
    demand.recompute ?? (learnt !== "nothing" && sumOf(partsOf(Math.min(wanted, fewSequences), false)) > steady);
  const usable = usableOf(machine.free);
  const least = Math.min(wanted, 2 * workers);
  const room = Math.floor((usable - sumOf(partsOf(0, recompute))) / bytesPerSequence(config, context));
  if (room < least) {
    const needed = sumOf(partsOf(least, recompute));
    throw new ConfigError(
      `the policy needs ${gigabytes(needed)} GB of memory (${describeParts(partsOf(least, recompute))}); ${gigabytes(usable)} GB may be planned for`,
      {
        hint: `${learnt !== "nothing" && !recompute ? "set engine.recompute=true, " : ""}free memory, shorten rollout.contextLength, raise engine.maxMemoryGb, or take a smaller model`,
      },
    );
  }
  const sequences = Math.min(wanted, room);
  const parts = partsOf(sequences, recompute);
  return { parts, bytes: sumOf(parts), limit: demand.limit ?? usable, sequences, context, recompute };
}

/** One line for whoever starts a run. */
export function describePlan({ parts, bytes, limit, sequences, context, recompute }: RunPlan): string {
  const anew = recompute ? "; activation checkpointing" : "";
  return `memory: about ${gigabytes(bytes)} of ${gigabytes(limit)} GB (${describeParts(parts)}); ${sequences} attempts at once of up to ${context} tokens${anew}`;
}

function describeParts({ process, weights, gradients, optimizer, activations, cache, saving }: MemoryParts): string {
  const named = { weights, gradients, optimiser: optimizer, activations, "KV cache": cache, saving, program: process };
  const shown = Object.entries(named).filter(([, bytes]) => bytes > 0);
  return shown.map(([name, bytes]) => `${name} ${gigabytes(bytes)}`).join(", ");
}

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(2);
