/** @file The number formats in which weights are written. */
import { EngineError } from "../../base/errors.ts";
import { float32ToBfloat16, float32ToFloat16 } from "./half.ts";

export const numberFormats = ["f32", "f16", "bf16"] as const;
export type NumberFormat = (typeof numberFormats)[number];

/** The names that config.json uses. */
export const torchNames: Readonly<Record<NumberFormat, string>> = { f32: "float32", f16: "float16", bf16: "bfloat16" };
export const bytesPer: Readonly<Record<NumberFormat, number>> = { f32: 4, f16: 2, bf16: 2 };

/** @throws EngineError naming the tensor if a number is not finite, or would overflow in that format */
export function encodeNumbers(name: string, numbers: Float32Array, format: NumberFormat): Uint8Array<ArrayBuffer> {
  const fault = numbers.findIndex((x) => !Number.isFinite(x));
  if (fault >= 0)
    throw new EngineError(`${name} holds ${numbers[fault]} at index ${fault}: these weights are damaged`, {
      hint: "use another copy, or a checkpoint from before training diverged",
    });
  const encoded =
    format === "f32" ? numbers.slice() : (format === "f16" ? float32ToFloat16 : float32ToBfloat16)(numbers);
  if (encoded instanceof Uint16Array) {
    const infinity = format === "f16" ? 0x7c00 : 0x7f80;
    const at = encoded.findIndex((half) => (half & 0x7fff) === infinity);
    if (at >= 0)
      throw new EngineError(`${name} holds ${numbers[at]}, which ${format} cannot`, {
        hint: "give --dtype bf16 or f32",
      });
  }
  return new Uint8Array(encoded.buffer);
}
