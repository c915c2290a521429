/** @file Forward, loss and gradients on one thread: pads sequences into micro-batches and runs the training graphs. */
import { EngineError } from "../../base/errors.ts";
import type { Tensor } from "../../runtime/onnx.ts";
import type { LossSpec, TrainingSequence } from "../engine.ts";
import { QUERY_BLOCKS } from "./graph/attention.ts";
import { lossForm } from "./graph/losses.ts";
import { LayeredPasses } from "./layered-passes.ts";
import { type MicroBatchLimits, type Planned, planMicroBatches, planTightMicroBatches } from "./micro-batch.ts";
import { trainNames } from "./models/train-names.ts";
import type { MicroBatch, Passes, PassesOptions, Prompt } from "./passes.ts";
import { Positions } from "./positions.ts";
import { type SharingLimits, sharePrompts, usualSharing } from "./shared-prompts.ts";
import { WholePasses } from "./whole-passes.ts";

export interface LearnerCoreOptions extends PassesOptions {
  /** The weights of the model without its adapter; default `weights`. */
  readonly base?: ReadonlyMap<string, Tensor>;
  readonly limits: MicroBatchLimits;
  /** Activation checkpointing: the backward pass recomputes every layer, with less memory and a third more work. Default false. */
  readonly recompute?: boolean;
  /** When the common prompt of siblings is computed once; false: never. */
  readonly sharing?: SharingLimits | false;
}

/** One padded micro-batch and the positions that are scored. */
interface Padded extends MicroBatch {
  readonly inputs: Record<string, Tensor>;
  readonly scored: { readonly sequence: number; readonly position: number }[];
}

export class LearnerCore {
  readonly #options: LearnerCoreOptions;
  readonly #passes: Passes;
  /** Of the model without its adapter; created at the first call that needs it. */
  #basePasses: Passes | undefined;
  readonly #positions: Positions;

  constructor(options: LearnerCoreOptions) {
    this.#options = options;
    this.#passes = passesOf(options);
    this.#positions = new Positions(options.config);
  }

  /** Adds gradients; returns log-probabilities [T] per sequence, 0 where the weight is 0. */
  async forwardBackward(batch: readonly TrainingSequence[], loss: LossSpec): Promise<Float32Array[]> {
    const { limits, sharing = usualSharing } = this.#options;
    const results = batch.map(({ tokens }) => new Float32Array(tokens.length));
    const planned = batch.map(({ weights }, index): Planned => ({ index, ...extent(weights) }));
    const learn = async (sequences: readonly Planned[], past: number, prompt?: Prompt) => {
      // siblings are few and differ in length; the other sequences are many, so each finds neighbours of its own length
      const groups = prompt ? planTightMicroBatches(sequences, limits) : planMicroBatches(sequences, limits);
      for (const group of groups) {
        const padded = this.#pad(group, batch, (sequence, t) => batch[sequence]!.weights[t] !== 0, past);
        Object.assign(padded.inputs, lossInputs(loss, batch, padded.scored));
        const logprob = column(padded.scored.length);
        await this.#passes.learn(padded, { form: lossForm(loss), logprob }, prompt);
        for (const [row, { sequence, position }] of padded.scored.entries())
          results[sequence]![position] = logprob.data[row]!;
      }
    };
    const { prompts, alone } = sharePrompts(batch, sharing || { minTokens: Number.POSITIVE_INFINITY, minShare: 0 });
    await learn(
      alone.map((index) => planned[index]!),
      0,
    );
    for (const { length, members } of prompts) {
      const prompt = await this.#passes.openPrompt(this.#promptOf(batch[members[0]!]!.tokens.subarray(0, length)));
      const following = members.map((index) => ({ ...planned[index]!, length: planned[index]!.length - length }));
      await learn(following, length, prompt);
      await this.#passes.returnPrompt(prompt);
    }
    return results;
  }

  /**
   * Log-probability of each next token, [T − 1] each.
   * @param options.base by the model without its adapter
   */
  async logprobs(batch: readonly Int32Array[], { base = false } = {}): Promise<Float32Array[]> {
    const passes = base ? this.#theBasePasses() : this.#passes;
    const results = batch.map((tokens) => new Float32Array(Math.max(0, tokens.length - 1)));
    const planned = batch.map(
      (tokens, index): Planned => ({ index, length: tokens.length - 1, scored: tokens.length - 1 }),
    );
    const sequences = batch.map((tokens) => ({ tokens }));
    for (const group of planMicroBatches(planned, this.#options.limits)) {
      const padded = this.#pad(group, sequences, () => true, 0);
      const logprob = column(padded.scored.length);
      await passes.logprobs(padded, logprob);
      for (const [row, { sequence, position }] of padded.scored.entries())
        results[sequence]![position - 1] = logprob.data[row]!;
    }
    return results;
  }

  async close(): Promise<void> {
    await this.#basePasses?.close();
    await this.#passes.close();
  }

  #theBasePasses(): Passes {
    const { base, weights, ...options } = this.#options;
    this.#basePasses ??= passesOf({ ...options, weights: base ?? weights, lora: undefined });
    return this.#basePasses;
  }

  #promptOf(tokens: Int32Array): MicroBatch {
    return { ids: tokens, inputs: this.#positions.inputs(1, tokens.length) };
  }

  /** @param past number of tokens at the start of every sequence whose prompt was already computed */
  #pad(
    group: readonly Planned[],
    batch: readonly { readonly tokens: Int32Array }[],
    isScored: (sequence: number, position: number) => boolean,
    past: number,
  ): Padded {
    const rowsPer = Math.max(QUERY_BLOCKS, group[0]!.length);
    const ids = new Int32Array(group.length * rowsPer); // padding is token 0; the causal mask hides it
    const rows: number[] = [];
    const targets: number[] = [];
    const scored: { sequence: number; position: number }[] = [];
    for (const [row, { index, length }] of group.entries()) {
      const { tokens } = batch[index]!;
      ids.set(tokens.subarray(past, past + length), row * rowsPer);
      for (let position = past + 1; position <= past + length; position++) {
        if (!isScored(index, position)) continue;
        rows.push(row * rowsPer + position - past - 1);
        targets.push(tokens[position]!);
        scored.push({ sequence: index, position });
      }
    }
    const inverse = new Int32Array(ids.length).fill(rows.length);
    for (const [at, row] of rows.entries()) inverse[row] = at;
    const inputs: Record<string, Tensor> = {
      [trainNames.rows]: { data: Int32Array.from(rows), shape: [rows.length] },
      [trainNames.inverse]: { data: inverse, shape: [ids.length] },
      [trainNames.target]: { data: Int32Array.from(targets), shape: [rows.length, 1] },
      ...this.#positions.inputs(group.length, rowsPer, past),
    };
    return { inputs, ids, scored };
  }
}

function passesOf(options: PassesOptions & Pick<LearnerCoreOptions, "recompute">): Passes {
  return options.recompute ? new LayeredPasses(options) : new WholePasses(options);
}

function column(rows: number): Tensor & { readonly data: Float32Array } {
  return { data: new Float32Array(rows), shape: [rows, 1] };
}

/** How many positions of a sequence must be computed, and which are scored. */
function extent(weights: Float32Array): { length: number; scored: number } {
  let length = 0;
  let scored = 0;
  for (let position = 1; position < weights.length; position++) {
    if (weights[position] === 0) continue;
    length = position;
    scored++;
  }
  return { length, scored };
}

function lossInputs(
  loss: LossSpec,
  batch: readonly TrainingSequence[],
  scored: Padded["scored"],
): Record<string, Tensor> {
  const each = (of: (sequence: TrainingSequence, position: number) => number): Tensor => ({
    data: Float32Array.from(scored, ({ sequence, position }) => of(batch[sequence]!, position)),
    shape: [scored.length, 1],
  });
  const lossWeight = each(({ weights }, t) => weights[t]!);
  if (loss.kind === "cross-entropy") return { [trainNames.lossWeight]: lossWeight };
  const single = (value: number): Tensor => ({ data: Float32Array.of(value), shape: [1] });
  const { clipLow, clipHigh, dualClip, kl } = loss;
  return {
    [trainNames.lossWeight]: lossWeight,
    [trainNames.advantage]: each(({ advantages }, t) => advantages[t]!),
    [trainNames.oldLogprob]: each(({ oldLogprobs }, t) => oldLogprobs[t]!),
    [trainNames.ratioFloor]: single(1 - clipLow),
    [trainNames.ratioCeiling]: single(1 + clipHigh),
    ...(dualClip === undefined ? {} : { [trainNames.dualClip]: single(dualClip) }),
    ...(kl
      ? {
          [trainNames.klCoefficient]: single(kl.coefficient),
          [trainNames.referenceLogprob]: each(({ referenceLogprobs }, t) => {
            if (referenceLogprobs) return referenceLogprobs[t]!;
            throw new EngineError(`a loss with ${kl.kind} was asked for sequences without referenceLogprobs`);
          }),
        }
      : {}),
  };
}
