import type { Tokenizer } from "../../base/tokenizer.ts";
import type { PretrainSegment } from "../../data/world/pretrain-scene.ts";
import type { Probe } from "../../data/world/probes.ts";
import type { TrainingSequence } from "../../engine/engine.ts";

/** A document as tokens [T] with the weight of each as a target; the first has none, nothing comes before it. */
export interface WeightedTokens {
  readonly tokens: Int32Array;
  readonly weights: Float32Array;
}

export function encodeDocument(
  tokenizer: Tokenizer,
  segments: readonly PretrainSegment[],
  maxTokens: number,
): WeightedTokens {
  const pieces = segments.map(({ text, template }) =>
    template ? tokenizer.encodeTemplate(text) : tokenizer.encodeText(text),
  );
  const length = Math.min(
    maxTokens,
    pieces.reduce((sum, piece) => sum + piece.length, 0),
  );
  const tokens = new Int32Array(length);
  const weights = new Float32Array(length);
  let at = 0;
  for (const [i, piece] of pieces.entries()) {
    const kept = piece.subarray(0, Math.max(0, length - at));
    tokens.set(kept, at);
    weights.fill(segments[i]!.weight, at, at + kept.length);
    at += kept.length;
  }
  if (length > 0) weights[0] = 0;
  return { tokens, weights };
}

/** Weights are divided by their sum over the batch, so that the summed loss is a weighted mean per token. */
export function toTrainingBatch(documents: readonly WeightedTokens[]): TrainingSequence[] {
  let sum = 0;
  for (const { weights } of documents) for (const weight of weights) sum += weight;
  return documents.map(({ tokens, weights }) => {
    const unused = new Float32Array(tokens.length);
    return { tokens, weights: weights.map((weight) => weight / sum), advantages: unused, oldLogprobs: unused };
  });
}

/** Share of probes, by kind, in which every token of the name is more likely than all others together. */
export async function probeSkill(
  { logprobs }: { readonly logprobs: (batch: readonly Int32Array[]) => Promise<readonly Float32Array[]> },
  tokenizer: Tokenizer,
  list: readonly Probe[],
): Promise<Record<string, number>> {
  const batch = list.map(({ before, name }) => {
    const [start, end] = [
      encodeDocument(tokenizer, before, Number.POSITIVE_INFINITY).tokens,
      tokenizer.encodeText(name),
    ];
    return { from: start.length, tokens: Int32Array.of(...start, ...end) };
  });
  const scores = await logprobs(batch.map(({ tokens }) => tokens));
  const tally: Record<string, { right: number; count: number }> = {};
  let nats = 0;
  let tokens = 0;
  for (const [i, { kind }] of list.entries()) {
    const entry = (tally[kind] ??= { right: 0, count: 0 });
    const name = scores[i]!.subarray(batch[i]!.from - 1);
    entry.count++;
    if (name.every((logprob) => logprob > Math.log(0.5))) entry.right++;
    nats -= name.reduce((sum, logprob) => sum + logprob, 0);
    tokens += name.length;
  }
  const skills = Object.entries(tally).map(([kind, { right, count }]) => [kind, right / count] as const);
  return Object.fromEntries([...skills, ["nats per name token", nats / tokens]]);
}
