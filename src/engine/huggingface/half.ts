/** @file 16-bit floats to f32. */

/** bf16 is the upper half of f32. */
export function bfloat16ToFloat32(halves: Uint16Array, into: Float32Array): void {
  const bits = new Uint32Array(into.buffer, into.byteOffset, into.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
}

/** IEEE binary16, subnormals, infinities and NaN included. */
export function float16ToFloat32(halves: Uint16Array, into: Float32Array): void {
  for (let i = 0; i < halves.length; i++) {
    const half = halves[i]!;
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) into[i] = sign * fraction * 2 ** -24;
    else if (exponent === 31) into[i] = fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    else into[i] = sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }
}
