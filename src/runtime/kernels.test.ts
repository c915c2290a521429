import { readFile } from "node:fs/promises";
import fc from "fast-check";
import { expect, test } from "vitest";
import { compileKernels } from "../../scripts/build-kernels.ts";
import { randomOf } from "../base/random.ts";
import { Arenas } from "./arena.ts";
import { type AdamWScalars, kernelsFor, kernelsOf } from "./kernels.ts";
import { kernelsWasmBase64, kernelsWatSha256 } from "./kernels-wasm.ts";

const lengths = [0, 1, 2, 3, 4, 5, 7, 8, 63, 64, 65, 1021];
const scalars: AdamWScalars = {
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0.1,
  bias1: 0.1,
  bias2: 0.001,
  gradScale: 0.5,
};

/** Arrays of `length` normally distributed numbers in one arena, and an f64 copy of each. */
function sample(count: number, length: number, key = 0): { arrays: Float32Array[]; copies: Float64Array[] } {
  const random = randomOf(11, count, length, key);
  const arrays = [...Arenas.create([Array.from({ length: count }, () => length)]).views[0]!];
  for (const array of arrays) for (let i = 0; i < length; i++) array[i] = random.normal();
  return { arrays, copies: arrays.map((array) => Float64Array.from(array)) };
}

function expectClose(actual: Float32Array, expected: Float64Array, tolerance = 1e-6): void {
  expect(actual.length).toBe(expected.length);
  const worst = expected.reduce((most, x, i) => Math.max(most, Math.abs(actual[i]! - x) / Math.max(1, Math.abs(x))), 0);
  expect(worst).toBeLessThanOrEqual(tolerance);
}

test("kernels-wasm.ts is what kernels.wat compiles to", async () => {
  const source = await readFile(new URL("kernels.wat", import.meta.url), "utf8");
  const { sha256, base64 } = await compileKernels(source);
  expect(kernelsWatSha256).toBe(sha256);
  expect(kernelsWasmBase64).toBe(base64);
});

test.each(lengths)("every loop agrees with a plain one at length %i", (n) => {
  const { arrays, copies } = sample(4, n);
  const [a, b, c, d] = arrays as [Float32Array, Float32Array, Float32Array, Float32Array];
  let [ra, rb, rc, rd] = copies as [Float64Array, Float64Array, Float64Array, Float64Array];
  const kernels = kernelsOf(a);
  kernels.addInto(a, b);
  expectClose(a, (ra = ra.map((x, i) => x + rb[i]!)));
  kernels.axpy(b, a, -0.3);
  expectClose(b, (rb = rb.map((x, i) => x - 0.3 * ra[i]!)));
  kernels.scale(c, 1.7);
  expectClose(c, (rc = rc.map((x) => x * 1.7)));
  kernels.nesterov({ gradient: a, momentum: b, out: d }, { mu: 0.95, gradScale: 0.25 });
  expectClose(b, (rb = rb.map((x, i) => 0.95 * x + 0.05 * 0.25 * ra[i]!)));
  expectClose(d, (rd = rb.map((x, i) => 0.95 * x + 0.05 * 0.25 * ra[i]!)));
  kernels.decayedStep(c, d, { step: 0.02, decay: 0.001 });
  expectClose(c, (rc = rc.map((x, i) => x - 0.02 * rd[i]! - 0.001 * x)));
  const squares = Float64Array.from(c).reduce((sum, x) => sum + x * x, 0);
  expect(Math.abs(kernels.sumSquares(c) - squares)).toBeLessThanOrEqual(1e-12 * squares);
  kernels.fill(c, -2.5);
  expect(c.every((x) => x === -2.5)).toBe(true);
});

test.each(lengths)("AdamW agrees with a plain loop at length %i", (n) => {
  const { arrays, copies } = sample(4, n);
  const [weights, gradient, first, second] = arrays as [Float32Array, Float32Array, Float32Array, Float32Array];
  const [w, g, m, v] = copies as [Float64Array, Float64Array, Float64Array, Float64Array];
  for (let i = 0; i < n; i++) second[i] = v[i] = Math.abs(second[i]!);
  kernelsOf(weights).adamw({ weights, gradient, first, second }, scalars);
  for (let i = 0; i < n; i++) {
    const x = g[i]! * 0.5;
    m[i] = 0.9 * m[i]! + 0.1 * x;
    v[i] = 0.999 * v[i]! + 0.001 * x * x;
    w[i]! -= 0.01 * (m[i]! / 0.1 / (Math.sqrt(v[i]! / 0.001) + 1e-8) + 0.1 * w[i]!);
  }
  expectClose(first, m);
  expectClose(second, v);
  expectClose(weights, w);
  expect(gradient).toEqual(Float32Array.from(g));
});

test("an element's bits depend neither on its place in the array nor on the run", () => {
  const run = (from: number) => {
    const { arrays } = sample(4, 37);
    const parts = arrays.map((array) => array.subarray(from));
    const [weights, gradient, first, second] = parts as [Float32Array, Float32Array, Float32Array, Float32Array];
    kernelsOf(weights).fill(second, 0.5);
    kernelsOf(weights).adamw({ weights, gradient, first, second }, scalars);
    return [...weights, kernelsOf(weights).sumSquares(weights)];
  };
  expect(run(0)).toEqual(run(0));
  // 37, 36, 35 … elements: each of the last 30 is processed by the vector loop in some runs and by the scalar loop in
  // others
  const last = (from: number) => run(from).slice(0, -1).slice(-30);
  for (const from of [1, 2, 3, 5]) expect(last(from)).toEqual(last(0));
});

test("a loop over part of an array does not change the rest", () => {
  fc.assert(
    fc.property(fc.nat(20), fc.nat(20), (from, n) => {
      const [x] = sample(1, 64).arrays as [Float32Array];
      const before = Array.from(x);
      kernelsOf(x).fill(x.subarray(from, from + n), 99);
      expect(Array.from(x)).toEqual(before.map((value, i) => (i >= from && i < from + n ? 99 : value)));
    }),
  );
});

test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("sumSquares shows %d anywhere", (bad) => {
  for (const n of [1, 6, 64, 67]) {
    for (let at = 0; at < n; at++) {
      const [x] = sample(1, n).arrays as [Float32Array];
      x[at] = bad;
      expect(Number.isFinite(kernelsOf(x).sumSquares(x))).toBe(false);
    }
  }
});

test("sumSquares neither overflows nor loses small addends", () => {
  const [x] = Arenas.create([[100_003]]).views[0] as [Float32Array];
  x.fill(1e-3);
  x[0] = 1e3;
  expect(kernelsOf(x).sumSquares(x)).toBeCloseTo(1e6 + 100_002 * Math.fround(1e-3) ** 2, 6);
  x.fill(3e38);
  expect(Number.isFinite(kernelsOf(x).sumSquares(x))).toBe(true);
});

test("arrays outside the memory, or of unequal lengths, are refused before anything is written", () => {
  const arenas = Arenas.create([[8, 9], [8]], { maxArenaBytes: 64 });
  const [[a, b], [elsewhere]] = arenas.views as unknown as [[Float32Array, Float32Array], [Float32Array]];
  const kernels = kernelsFor(arenas.memories[0]!);
  expect(kernelsOf(a)).toBe(kernels);
  expect(() => kernels.addInto(a, b)).toThrowError("arrays of 8 and 9 floats");
  expect(() => kernels.addInto(a, elsewhere)).toThrowError("outside its memory");
  expect(() => kernels.fill(new Float32Array(8), 1)).toThrowError("outside its memory");
});
