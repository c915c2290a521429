/** @file 16-bit floats to f32 (exact), and back (rounded to nearest, ties to even). */

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

const bitsOf = (numbers: Float32Array) => new Uint32Array(numbers.buffer, numbers.byteOffset, numbers.length);

export function float32ToBfloat16(numbers: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(numbers.length);
  const bits = bitsOf(numbers);
  for (let i = 0; i < halves.length; i++) {
    const bit = bits[i]!;
    const isNotANumber = (bit & 0x7fffffff) > 0x7f800000;
    halves[i] = isNotANumber ? (bit >>> 16) | 0x40 : (bit + 0x7fff + ((bit >>> 16) & 1)) >>> 16;
  }
  return halves;
}

/** Numbers beyond 65,504 become infinity, numbers below 2^-24 become 0. */
export function float32ToFloat16(numbers: Float32Array): Uint16Array<ArrayBuffer> {
  const halves = new Uint16Array(numbers.length);
  const bits = bitsOf(numbers);
  for (let i = 0; i < halves.length; i++) {
    const bit = bits[i]!;
    halves[i] = ((bit >>> 16) & 0x8000) | float16Magnitude(bit & 0x7fffffff, Math.abs(numbers[i]!));
  }
  return halves;
}

/** @param bits the bits of `magnitude`, which is not negative */
function float16Magnitude(bits: number, magnitude: number): number {
  if (bits > 0x7f800000) return 0x7e00;
  if (bits >= 0x47800000) return 0x7c00;
  if (bits < 0x38800000) {
    const scaled = magnitude * 2 ** 24; // exact: multiplication by a power of two
    const down = Math.floor(scaled);
    const rest = scaled - down;
    return down + Number(rest > 0.5 || (rest === 0.5 && down % 2 === 1));
  }
  const rebased = bits - 0x38000000;
  return (rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13;
}
