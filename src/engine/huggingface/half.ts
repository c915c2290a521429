/** @file 16-bit floats to f32, exactly. */

/** bf16 is the upper half of f32. */
export function bfloat16ToFloat32(halves: Uint16Array, into: Float32Array): void {
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
}

let table: Float32Array | undefined;

/** IEEE binary16, subnormals, infinities and NaN included. */
export function float16ToFloat32(halves: Uint16Array, into: Float32Array): void {
  table ??= Float32Array.from({ length: 2 ** 16 }, (_, half) => float16Value(half));
  for (let i = 0; i < halves.length; i++) into[i] = table[halves[i]!]!;
}

function float16Value(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
