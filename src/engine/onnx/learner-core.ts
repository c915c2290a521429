/** @file Forward, loss and gradients on one thread: pads sequences into micro-batches and runs the training graph. */
import { EngineError } from "../../base/errors.ts";
import { createSession, type Session, type Tensor } from "../../runtime/onnx.ts";
import type { LossSpec, TrainingSequence } from "../engine.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import { QUERY_BLOCKS } from "./graph/attention.ts";
import { lossForm } from "./graph/losses.ts";
import { type MicroBatchLimits, type Planned, planMicroBatches } from "./micro-batch.ts";
import { type TrainGraphKind, trainGraph, trainNames } from "./models/train-graph.ts";
import { Positions } from "./positions.ts";

export interface LearnerCoreOptions {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, Tensor>;
  /** By pack; accumulated in place. */
  readonly gradients: ReadonlyMap<string, Tensor>;
  readonly threads: number;
  readonly limits: MicroBatchLimits;
}

/** One padded micro-batch as graph inputs. */
interface Padded {
  readonly inputs: Record<string, Tensor>;
  readonly ids: Int32Array;
  readonly scored: { readonly sequence: number; readonly position: number }[];
}

export class LearnerCore {
  readonly #options: LearnerCoreOptions;
  readonly #sessions = new Map<TrainGraphKind, Promise<Session>>();
  readonly #positions: Positions;

  constructor(options: LearnerCoreOptions) {
    this.#options = options;
    this.#positions = new Positions(options.config);
  }

  /** Adds gradients; returns log-probabilities [T] per sequence, 0 where the weight is 0. */
  async forwardBackward(batch: readonly TrainingSequence[], loss: LossSpec): Promise<Float32Array[]> {
    const session = await this.#session(lossForm(loss));
    const results = batch.map(({ tokens }) => new Float32Array(tokens.length));
    const planned = batch.map(({ weights }, index): Planned => ({ index, ...extent(weights) }));
    for (const group of planMicroBatches(planned, this.#options.limits)) {
      const padded = this.#pad(group, batch, (sequence, position) => batch[sequence]!.weights[position] !== 0);
      const { scored, inputs, ids } = padded;
      const logprob = new Float32Array(scored.length);
      const embedded = new Float32Array(ids.length * this.#options.config.width);
      Object.assign(inputs, lossInputs(loss, batch, scored));
      const outputs: Record<string, Tensor> = {
        [trainNames.logprob]: { data: logprob, shape: [scored.length, 1] },
        [trainNames.embedded]: { data: embedded, shape: [ids.length, this.#options.config.width] },
      };
      for (const pack of this.#trainedInGraph()) {
        inputs[trainNames.gradient(pack)] = this.#options.gradients.get(pack)!;
        outputs[trainNames.newGradient(pack)] = this.#options.gradients.get(pack)!;
      }
      await session.run(inputs, outputs);
      this.#scatterEmbedding(ids, embedded);
      for (const [row, { sequence, position }] of scored.entries()) results[sequence]![position] = logprob[row]!;
    }
    return results;
  }

  /** Log-probability of each next token, [T − 1] each. */
  async logprobs(batch: readonly Int32Array[]): Promise<Float32Array[]> {
    const session = await this.#session("logprobs");
    const results = batch.map((tokens) => new Float32Array(Math.max(0, tokens.length - 1)));
    const planned = batch.map(
      (tokens, index): Planned => ({ index, length: tokens.length - 1, scored: tokens.length - 1 }),
    );
    for (const group of planMicroBatches(planned, this.#options.limits)) {
      const { scored, inputs } = this.#pad(
        group,
        batch.map((tokens) => ({ tokens })),
        () => true,
      );
      const logprob = new Float32Array(scored.length);
      await session.run(inputs, { [trainNames.logprob]: { data: logprob, shape: [scored.length, 1] } });
      for (const [row, { sequence, position }] of scored.entries()) results[sequence]![position - 1] = logprob[row]!;
    }
    return results;
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await (await session).release();
    this.#sessions.clear();
  }

  #session(kind: TrainGraphKind): Promise<Session> {
    let session = this.#sessions.get(kind);
    if (!session) {
      session = createSession(trainGraph(this.#options.config, kind), { threads: this.#options.threads });
      this.#sessions.set(kind, session);
    }
    return session;
  }

  /** The embedding's gradient of looked-up rows is added by the host; a tied head's part comes from the graph. */
  #trainedInGraph(): string[] {
    const packs = [...this.#options.weights.keys()];
    return this.#options.config.tied ? packs : packs.filter((pack) => pack !== "embedding");
  }

  #pad(
    group: readonly Planned[],
    batch: readonly { readonly tokens: Int32Array }[],
    isScored: (sequence: number, position: number) => boolean,
  ): Padded {
    const rowsPer = Math.max(QUERY_BLOCKS, group[0]!.length);
    const ids = new Int32Array(group.length * rowsPer); // padding is token 0: causal masks keep it unseen
    const rows: number[] = [];
    const targets: number[] = [];
    const scored: { sequence: number; position: number }[] = [];
    for (const [row, { index, length }] of group.entries()) {
      const { tokens } = batch[index]!;
      ids.set(tokens.subarray(0, length), row * rowsPer);
      for (let position = 1; position <= length; position++) {
        if (!isScored(index, position)) continue;
        rows.push(row * rowsPer + position - 1);
        targets.push(tokens[position]!);
        scored.push({ sequence: index, position });
      }
    }
    const inverse = new Int32Array(ids.length).fill(rows.length);
    for (const [at, row] of rows.entries()) inverse[row] = at;
    const inputs: Record<string, Tensor> = {
      [trainNames.ids]: { data: ids, shape: [ids.length] },
      [trainNames.rows]: { data: Int32Array.from(rows), shape: [rows.length] },
      [trainNames.inverse]: { data: inverse, shape: [ids.length] },
      [trainNames.target]: { data: Int32Array.from(targets), shape: [rows.length, 1] },
      ...this.#positions.inputs(group.length, rowsPer),
    };
    for (const [pack, tensor] of this.#options.weights) inputs[trainNames.weight(pack)] = tensor;
    return { inputs, ids, scored };
  }

  #scatterEmbedding(ids: Int32Array, gradient: Float32Array): void {
    const { width } = this.#options.config;
    const into = this.#options.gradients.get("embedding")!.data as Float32Array;
    for (let row = 0; row < ids.length; row++) {
      const to = ids[row]! * width;
      const from = row * width;
      for (let i = 0; i < width; i++) into[to + i]! += gradient[from + i]!;
    }
  }
}

/** How far a sequence must be computed, and how much of it is scored. */
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
  const column = (of: (sequence: TrainingSequence, position: number) => number): Tensor => ({
    data: Float32Array.from(scored, ({ sequence, position }) => of(batch[sequence]!, position)),
    shape: [scored.length, 1],
  });
  const lossWeight = column(({ weights }, t) => weights[t]!);
  if (loss.kind === "cross-entropy") return { [trainNames.lossWeight]: lossWeight };
  const single = (value: number): Tensor => ({ data: Float32Array.of(value), shape: [1] });
  const { clipLow, clipHigh, dualClip, kl } = loss;
  return {
    [trainNames.lossWeight]: lossWeight,
    [trainNames.advantage]: column(({ advantages }, t) => advantages[t]!),
    [trainNames.oldLogprob]: column(({ oldLogprobs }, t) => oldLogprobs[t]!),
    [trainNames.ratioFloor]: single(1 - clipLow),
    [trainNames.ratioCeiling]: single(1 + clipHigh),
    ...(dualClip === undefined ? {} : { [trainNames.dualClip]: single(dualClip) }),
    ...(kl
      ? {
          [trainNames.klCoefficient]: single(kl.coefficient),
          [trainNames.referenceLogprob]: column(({ referenceLogprobs }, t) => {
            if (referenceLogprobs) return referenceLogprobs[t]!;
            throw new EngineError(`a loss with ${kl.kind} was asked for sequences without referenceLogprobs`);
          }),
        }
      : {}),
  };
}
