/**
 * @file A start from which a small model learns to copy soon: "what followed this name earlier?" takes two heads, one
 * that notes the token before each token and one that looks for a note equal to the present token (Olsson et al.,
 * "In-context Learning and Induction Heads", 2022). From random numbers a plain Llama of this size finds the pair only
 * after millions of tokens; here it begins with a faint one. Only numbers, no operation: training may keep or undo it.
 */
import { randomOf } from "../../base/random.ts";
import type { ModelConfig } from "../../engine/huggingface/model-config.ts";
import type { NamedTensor } from "../../engine/huggingface/safetensors.ts";

/** Of the constant that every embedding carries in its first place, in deviations of its other numbers. */
const constant = 3;
/** Logit of the head that looks back, per rotary pair it uses; other positions then get a hundredth of the attention. */
const sharpness = 7;
/** The fastest rotary pairs tell neighbours apart; the slower half hardly turns within a document. */
const fastPairs = 4;
/** Size of the note beside the embedding it is added to. */
const noteSize = 2;
/** Of queries and keys of the head that looks for notes. */
const matchGain = 1.5;
const copyGain = 2.5;

/**
 * @param tensors drawn weights, changed in place
 * @param drawn the seed and the standard deviation with which they were drawn
 */
export function startCopying(
  config: ModelConfig,
  tensors: readonly NamedTensor[],
  { seed, deviation }: { readonly seed: number; readonly deviation: number },
): void {
  if (config.layers < 2) return;
  const find = (name: string) => tensors.find((tensor) => tensor.name === `model.${name}.weight`)!.data;
  const attention = (layer: number, letter: string) => find(`layers.${layer}.self_attn.${letter}_proj`);
  const { width, headDim } = config;
  const draw = (name: string) => {
    const random = randomOf(seed, "copying start", name);
    return Float32Array.from({ length: headDim * width }, () => random.normal() / Math.sqrt(width));
  };
  const embedding = find("embed_tokens");
  for (let at = 0; at < embedding.length; at += width) embedding[at] = constant * deviation;

  lookBack(config, attention(0, "q"), attention(0, "k"));
  const [seen, note, copied] = [draw("seen"), draw("note"), draw("copied")];
  attention(0, "v").set(seen);
  setHeadOutput(config, attention(0, "o"), note, noteSize * deviation);

  const slow = (dim: number) => dim % (headDim / 2) >= headDim / 4;
  const gained = (rows: Float32Array) => rows.map((x, i) => (slow(Math.floor(i / width)) ? matchGain * x : 0));
  attention(1, "q").set(gained(seen));
  attention(1, "k").set(gained(note));
  attention(1, "v").set(copied);
  setHeadOutput(config, attention(1, "o"), copied, copyGain * deviation);
}

/**
 * Queries and keys [headDim, width] of the first head read the constant alone and are turned against each other by
 * one position: the logit at distance Δ is sharpness · Σ cos(ωᵢ(Δ − 1)) over the fastest pairs.
 */
function lookBack({ width, headDim, ropeTheta }: ModelConfig, queries: Float32Array, keys: Float32Array): void {
  const read = constant / Math.sqrt(1 + constant ** 2 / width); // the constant after RMSNorm
  const size = Math.sqrt(sharpness * Math.sqrt(headDim)) / read;
  queries.fill(0, 0, headDim * width);
  keys.fill(0, 0, headDim * width);
  for (let pair = 0; pair < Math.min(fastPairs, headDim / 2); pair++) {
    const turn = ropeTheta ** ((-2 * pair) / headDim);
    queries[pair * width] = size;
    keys[pair * width] = size * Math.cos(turn);
    keys[(pair + headDim / 2) * width] = size * Math.sin(turn);
  }
}

/** Writes `rows` [headDim, width], transposed and scaled, as what the first head adds to the stream. */
function setHeadOutput(
  { width, headDim, heads }: ModelConfig,
  output: Float32Array,
  rows: Float32Array,
  scale: number,
) {
  for (let to = 0; to < width; to++) {
    for (let dim = 0; dim < headDim; dim++) output[to * heads * headDim + dim] = scale * rows[dim * width + to]!;
  }
}
