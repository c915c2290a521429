import fc from "fast-check";
import { expect, test } from "vitest";
import { bfloat16ToFloat32, float16ToFloat32, float32ToBfloat16, float32ToFloat16 } from "./half.ts";

const all = Uint16Array.from({ length: 2 ** 16 }, (_, half) => half);
const kinds = [
  ["f16", float16ToFloat32, float32ToFloat16],
  ["bf16", bfloat16ToFloat32, float32ToBfloat16],
] as const;

test.each(kinds)("every %s number survives the conversion and back; NaN stays NaN", (_, decode, encode) => {
  const wide = new Float32Array(all.length);
  decode(all, wide);
  const back = encode(wide);
  const again = new Float32Array(all.length);
  decode(back, again);
  for (const [i, half] of all.entries()) {
    if (Number.isNaN(wide[i])) expect(again[i]).toBeNaN();
    else if (back[i] !== half) throw new Error(`${half} came back as ${back[i]}`);
  }
});

/** The finite numbers of a format, ascending, and the first one that is too large for it. */
function finite(decode: (halves: Uint16Array, into: Float32Array) => void): { values: number[]; beyond: number } {
  const wide = new Float32Array(all.length);
  decode(all, wide);
  const values = [...new Set([...wide].filter(Number.isFinite))].sort((a, b) => a - b);
  const top = values.at(-1)!;
  return { values, beyond: top + (top - values.at(-2)!) };
}

test.each(kinds)(
  "%s rounds to the nearest number, ties to even, and to infinity beyond the largest",
  (_, decode, encode) => {
    const { values, beyond } = finite(decode);
    const decoded = new Float32Array(1);
    fc.assert(
      fc.property(
        fc.oneof(
          fc.float({ noNaN: true, noDefaultInfinity: true }),
          fc.nat(values.length - 2).map((i) => Math.fround((values[i]! + values[i + 1]!) / 2)),
        ),
        (x) => {
          const half = encode(Float32Array.of(x));
          decode(half, decoded);
          const at = values.findLastIndex((value) => value <= x);
          const [low, high] = [values[at] ?? -beyond, values[at + 1] ?? beyond];
          const isTie = x - low === high - x;
          const chosen = decoded[0]!;
          if (isTie) expect(half[0]! % 2).toBe(0);
          else {
            const nearest = x - low < high - x ? low : high;
            expect(chosen + 0).toBe(
              Math.abs(nearest) >= beyond ? Math.sign(nearest) * Number.POSITIVE_INFINITY : nearest + 0,
            );
          }
        },
      ),
      { numRuns: 400 },
    );
  },
);
