/**
 * @file Rotary position embedding (RoPE): its settings in config.json, as transformers 4 and 5 write them, and its
 * frequencies.
 */
import { type Fail, type JsonObject, positive, show } from "./config-fields.ts";
import { isObject } from "./json-file.ts";

/** How frequencies are scaled so that a model handles longer texts than it was first trained on. */
export type RopeScaling =
  | { readonly kind: "linear"; readonly factor: number }
  | {
      readonly kind: "llama3";
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      /** Context length of the original training. */
      readonly originalLength: number;
    };

export interface Rope {
  readonly ropeTheta: number;
  readonly ropeScaling?: RopeScaling;
}

/** transformers 4 has `rope_theta` and `rope_scaling`; transformers 5 has both in `rope_parameters`. */
export function ropeOf(raw: JsonObject, fail: Fail): Rope {
  const five = objectAt(raw, "rope_parameters", fail);
  const four = objectAt(raw, "rope_scaling", fail);
  const [nested, outer] = [five?.["rope_theta"] ?? undefined, raw["rope_theta"] ?? undefined];
  if (nested !== undefined && outer !== undefined && nested !== outer)
    fail(`rope_theta is ${show(outer)}, rope_parameters.rope_theta is ${show(nested)}`);
  const ropeTheta = positive(nested ?? outer ?? 10_000, "rope_theta", fail);
  const scalings = [
    ...(five ? [scalingOf(five, "rope_parameters", fail)] : []),
    ...(four ? [scalingOf(four, "rope_scaling", fail)] : []),
  ];
  const [ropeScaling, other] = scalings;
  if (scalings.length === 2 && show(ropeScaling) !== show(other))
    fail(`rope_scaling ${show(four)} and rope_parameters ${show(five)} do not agree`);
  refusePartial(raw, "partial_rotary_factor", fail);
  return { ropeTheta, ...(ropeScaling ? { ropeScaling } : {}) };
}

function objectAt(raw: JsonObject, key: string, fail: Fail): JsonObject | undefined {
  const value = raw[key] ?? undefined;
  if (value === undefined || isObject(value)) return value;
  return fail(`"${key}" is ${show(value)}; expected an object`);
}

function scalingOf(rope: JsonObject, key: string, fail: Fail): RopeScaling | undefined {
  const number = (name: string) => positive(rope[name], `${key}.${name}`, fail);
  refusePartial(rope, `${key}.partial_rotary_factor`, fail);
  const kind = rope["rope_type"] ?? rope["type"] ?? (key === "rope_scaling" ? undefined : "default");
  switch (kind) {
    case "default":
      return undefined;
    case "linear":
      return { kind: "linear", factor: number("factor") };
    case "llama3": {
      const [low, high] = [number("low_freq_factor"), number("high_freq_factor")];
      if (high <= low) fail(`${key}: high_freq_factor ${high} is not above low_freq_factor ${low}`);
      return {
        kind: "llama3",
        factor: number("factor"),
        lowFrequencyFactor: low,
        highFrequencyFactor: high,
        originalLength: number("original_max_position_embeddings"),
      };
    }
    default:
      return fail(`${key} ${show(rope)} is not supported; default, linear and llama3 are`);
  }
}

function refusePartial(object: JsonObject, path: string, fail: Fail): void {
  const factor = object["partial_rotary_factor"] ?? 1;
  if (factor !== 1) fail(`${path} ${show(factor)} is not supported`);
}

/** Radians per position of each rotary pair of a head, [headDim / 2], in float64. */
export function rotaryFrequencies({ headDim, ropeTheta, ropeScaling }: Rope & { readonly headDim: number }): number[] {
  const half = headDim / 2;
  return Array.from({ length: half }, (_, i) => scaled(ropeTheta ** (-i / half), ropeScaling));
}

function scaled(frequency: number, scaling: RopeScaling | undefined): number {
  if (!scaling) return frequency;
  if (scaling.kind === "linear") return frequency / scaling.factor;
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high, originalLength } = scaling;
  // full rotations within the original length: low frequencies are scaled, high ones unchanged, those between are
  // blended
  const rotations = (originalLength * frequency) / (2 * Math.PI);
  const kept = Math.min(1, Math.max(0, (rotations - low) / (high - low)));
  return kept === 1 ? frequency : (1 - kept) * (frequency / factor) + kept * frequency;
}
