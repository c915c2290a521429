import { expect, test } from "vitest";
import { EngineError } from "../../../base/errors.ts";
import { randomOf } from "../../../base/random.ts";
import { Arenas } from "../../../runtime/arena.ts";
import type { OptimSpec } from "../../engine.ts";
import { createNewtonSchulz } from "./newton-schulz.ts";
import { createOptimizer, type OwnedParameter } from "./optimizer.ts";

type Shape = readonly [number, number];

const adamw: OptimSpec = {
  kind: "adamw",
  learningRate: 0.01,
  beta1: 0.9,
  beta2: 0.95,
  epsilon: 1e-8,
  weightDecay: 0.1,
  maxGradNorm: 0,
};
const muon: OptimSpec = { ...adamw, kind: "muon", learningRate: 0.02, adamLearningRate: 0.003 };

function makeParameters(specs: readonly Pick<OwnedParameter, "role" | "shape">[]): OwnedParameter[] {
  const sizes = specs.map(({ shape }) => shape.reduce((product, n) => product * n, 1));
  const { views } = Arenas.create(sizes.map((n) => [n, n, n, n]));
  return specs.map(({ role, shape }, i) => {
    const [weights, gradient, first, second] = views[i] as [Float32Array, Float32Array, Float32Array, Float32Array];
    fillNormal(weights, ["weights", i]);
    return { name: `${role}.${i}`, role, shape, weights, gradient, first, second };
  });
}

function fillNormal(array: Float32Array, key: readonly (string | number)[]): void {
  const random = randomOf(3, ...key);
  for (let i = 0; i < array.length; i++) array[i] = random.normal();
}

function fillGradients(parameters: readonly OwnedParameter[], step: number): void {
  parameters.forEach(({ gradient }, i) => {
    fillNormal(gradient, ["gradient", i, step]);
  });
}

/** AdamW in plain f64, one element at a time. */
class ReferenceAdamW {
  readonly weights: Float64Array;
  readonly #m: Float64Array;
  readonly #v: Float64Array;
  constructor(weights: Float32Array) {
    this.weights = Float64Array.from(weights);
    this.#m = new Float64Array(weights.length);
    this.#v = new Float64Array(weights.length);
  }
  apply(gradient: Float32Array, { step, learningRate, weightDecay, gradScale }: Record<string, number>): void {
    for (let i = 0; i < gradient.length; i++) {
      const g = gradient[i]! * gradScale!;
      this.#m[i] = 0.9 * this.#m[i]! + (1 - 0.9) * g;
      this.#v[i] = 0.95 * this.#v[i]! + (1 - 0.95) * g * g;
      const mean = this.#m[i]! / (1 - 0.9 ** step!);
      const square = this.#v[i]! / (1 - 0.95 ** step!);
      this.weights[i]! -= learningRate! * (mean / (Math.sqrt(square) + 1e-8) + weightDecay! * this.weights[i]!);
    }
  }
}

function multiply(x: Float64Array, y: Float64Array, [n, k, m]: readonly [number, number, number]): Float64Array {
  const out = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let p = 0; p < k; p++) for (let j = 0; j < m; j++) out[i * m + j]! += x[i * k + p]! * y[p * m + j]!;
  return out;
}

function transpose(x: Float64Array, [rows, columns]: Shape): Float64Array {
  return x.map((_, at) => x[(at % rows) * columns + Math.floor(at / rows)]!);
}

/** Newton–Schulz as its author writes it: transposed if tall, A = XXᵀ, B = bA + cA², X ← aX + BX. */
function referenceOrthogonal(update: Float64Array, [rows, columns]: Shape): Float64Array {
  if (rows > columns) {
    return transpose(referenceOrthogonal(transpose(update, [rows, columns]), [columns, rows]), [columns, rows]);
  }
  const norm = Math.sqrt(update.reduce((sum, value) => sum + value * value, 0)) + 1e-7;
  let x = update.map((value) => value / norm);
  for (let i = 0; i < 5; i++) {
    const gram = multiply(x, transpose(x, [rows, columns]), [rows, columns, rows]);
    const gramSquared = multiply(gram, gram, [rows, rows, rows]);
    const factor = gram.map((value, at) => -4.775 * value + 2.0315 * gramSquared[at]!);
    const product = multiply(factor, x, [rows, rows, columns]);
    x = x.map((value, at) => 3.4445 * value + product[at]!);
  }
  return x;
}

function cosine(x: ArrayLike<number>, y: ArrayLike<number>): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    xy += x[i]! * y[i]!;
    xx += x[i]! ** 2;
    yy += y[i]! ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}

function worstDifference(actual: Float32Array, expected: Float64Array): number {
  return expected.reduce((worst, x, i) => Math.max(worst, Math.abs(actual[i]! - x) / Math.max(1, Math.abs(x))), 0);
}

test("20 steps of AdamW agree with a plain f64 loop, and only matrices decay", async () => {
  const parameters = makeParameters([
    { role: "embedding", shape: [33, 5] },
    { role: "matrix", shape: [7, 9] },
    { role: "norm", shape: [13] },
    { role: "matrix", shape: [6] },
    { role: "head", shape: [3, 3] },
  ]);
  const weightDecays = [0.1, 0.1, 0, 0, 0.1];
  const references = parameters.map(({ weights }) => new ReferenceAdamW(weights));
  const optimizer = createOptimizer(parameters, { threads: 1 });
  for (let step = 1; step <= 20; step++) {
    fillGradients(parameters, step);
    const gradScale = 1 / step;
    references.forEach((reference, i) => {
      const scalars = { step, gradScale, learningRate: 0.01, weightDecay: weightDecays[i]! };
      reference.apply(parameters[i]!.gradient, scalars);
    });
    await optimizer.apply(adamw, { step, gradScale });
  }
  for (const [i, { weights }] of parameters.entries()) {
    expect(worstDifference(weights, references[i]!.weights)).toBeLessThan(2e-6);
  }
});

test("the squares of the gradient are summed over all parameters, show NaN, and are zero after clearing", () => {
  const parameters = makeParameters([
    { role: "matrix", shape: [7, 9] },
    { role: "norm", shape: [13] },
  ]);
  const optimizer = createOptimizer(parameters, { threads: 1 });
  fillGradients(parameters, 1);
  const all = parameters.flatMap(({ gradient }) => [...gradient]);
  expect(optimizer.gradientSquares()).toBeCloseTo(
    all.reduce((sum, g) => sum + g * g, 0),
    9,
  );
  parameters[1]!.gradient[12] = Number.NaN;
  expect(optimizer.gradientSquares()).toBeNaN();
  optimizer.clearGradient();
  expect(optimizer.gradientSquares()).toBe(0);
});

const shapes: readonly Shape[] = [
  [32, 32],
  [24, 40],
  [40, 24],
  [1, 9],
];

test.each(shapes)("one Muon step on [%i, %i] is the reference's, with singular values near 1", async (...shape) => {
  const [rows, columns] = shape;
  const parameters = makeParameters([{ role: "matrix", shape }]);
  const [{ weights, gradient }] = parameters as [OwnedParameter];
  const before = Float64Array.from(weights);
  fillGradients(parameters, 1);
  const optimizer = createOptimizer(parameters, { threads: 1 });
  await optimizer.apply({ ...muon, weightDecay: 0.1 }, { step: 1, gradScale: 0.5 });
  await optimizer.release();
  const scale = 0.02 * Math.sqrt(Math.max(1, rows / columns));
  const reference = referenceOrthogonal(Float64Array.from(gradient), shape);
  const expected = before.map((w, i) => w - scale * reference[i]! - 0.02 * 0.1 * w);
  expect(worstDifference(weights, expected)).toBeLessThan(1e-6);
  const update = before.map((w, i) => (w - 0.002 * w - weights[i]!) / scale);
  expect(cosine(update, reference)).toBeGreaterThan(0.99999);
  const short = rows <= columns ? update : transpose(update, shape);
  const [n, k] = [Math.min(rows, columns), Math.max(rows, columns)];
  const gram = multiply(short, transpose(short, [n, k]), [n, k, n]);
  for (let i = 0; i < n; i++) {
    expect(gram[i * n + i]).toBeGreaterThan(0.45); // five iterations map a singular value of exactly 1 to 0.696
    expect(gram[i * n + i]).toBeLessThan(1.5);
  }
});

test("Muon's momentum is Nesterov's over several steps", async () => {
  const shape = [20, 12] as const;
  const parameters = makeParameters([{ role: "matrix", shape }]);
  const [{ weights, gradient, second }] = parameters as [OwnedParameter];
  const optimizer = createOptimizer(parameters, { threads: 1 });
  const momentum = new Float64Array(240);
  let expected = Float64Array.from(weights);
  for (let step = 1; step <= 4; step++) {
    fillGradients(parameters, step);
    for (let i = 0; i < 240; i++) momentum[i] = 0.95 * momentum[i]! + 0.05 * gradient[i]!;
    const update = referenceOrthogonal(
      momentum.map((m, i) => 0.95 * m + 0.05 * gradient[i]!),
      shape,
    );
    expected = expected.map((w, i) => w - 0.02 * Math.sqrt(20 / 12) * update[i]! - 0.02 * 0.1 * w);
    await optimizer.apply(muon, { step, gradScale: 1 });
  }
  expect(worstDifference(weights, expected)).toBeLessThan(1e-5);
  expect(second.every((x) => x === 0)).toBe(true);
  await optimizer.release();
});

test("under Muon the embedding, the head and the norms take AdamW steps at their own rate", async () => {
  const parameters = makeParameters([
    { role: "embedding", shape: [5, 4] },
    { role: "norm", shape: [13] },
    { role: "head", shape: [5, 4] },
  ]);
  const references = parameters.map(({ weights }) => new ReferenceAdamW(weights));
  fillGradients(parameters, 1);
  await createOptimizer(parameters, { threads: 1 }).apply(muon, { step: 1, gradScale: 1 });
  references.forEach((reference, i) => {
    const { gradient, weights } = parameters[i]!;
    reference.apply(gradient, { step: 1, gradScale: 1, learningRate: 0.003, weightDecay: i === 1 ? 0 : 0.1 });
    expect(worstDifference(weights, reference.weights)).toBeLessThan(1e-6);
  });
});

test("a zero gradient moves nothing under Muon", async () => {
  const parameters = makeParameters([{ role: "matrix", shape: [8, 8] }]);
  const before = [...parameters[0]!.weights];
  const optimizer = createOptimizer(parameters, { threads: 1 });
  await optimizer.apply({ ...muon, weightDecay: 0 }, { step: 1, gradScale: 1 });
  expect([...parameters[0]!.weights]).toEqual(before);
  await optimizer.release();
});

test.each(["adamw", "muon"] as const)("%s stopped and restored continues with the same bits", async (kind) => {
  const spec = kind === "muon" ? muon : adamw;
  const make = () => {
    const parameters = makeParameters([
      { role: "matrix", shape: [10, 6] },
      { role: "norm", shape: [7] },
    ]);
    return { parameters, optimizer: createOptimizer(parameters, { threads: 1 }) };
  };
  const advance = async ({ parameters, optimizer }: ReturnType<typeof make>, from: number, to: number) => {
    for (let step = from; step <= to; step++) {
      fillGradients(parameters, step);
      await optimizer.apply(spec, { step, gradScale: 1 });
    }
  };
  const [whole, before, after] = [make(), make(), make()];
  await advance(whole, 1, 6);
  await advance(before, 1, 3);
  const saved = before.optimizer.state();
  after.optimizer.state().forEach(({ name, first, second }, i) => {
    expect(name).toBe(saved[i]!.name);
    first.set(saved[i]!.first);
    second.set(saved[i]!.second);
    after.parameters[i]!.weights.set(before.parameters[i]!.weights);
  });
  after.optimizer.restored(before.optimizer.stateKind()!);
  await advance(after, 4, 6);
  for (const [i, { weights, first, second }] of whole.parameters.entries()) {
    expect(after.parameters[i]!.weights).toEqual(weights);
    expect(after.parameters[i]!.first).toEqual(first);
    expect(after.parameters[i]!.second).toEqual(second);
  }
});

test("a step of the other kind is refused before anything is written, until the state is reset", async () => {
  const parameters = makeParameters([{ role: "matrix", shape: [4, 4] }]);
  const [{ weights, first }] = parameters as [OwnedParameter];
  const optimizer = createOptimizer(parameters, { threads: 1 });
  fillGradients(parameters, 1);
  await optimizer.apply(adamw, { step: 1, gradScale: 1 });
  const before = [...weights, ...first];
  await expect(optimizer.apply(muon, { step: 2, gradScale: 1 })).rejects.toThrow(EngineError);
  expect([...weights, ...first]).toEqual(before);
  optimizer.reset();
  expect(first.every((x) => x === 0)).toBe(true);
  await optimizer.apply(muon, { step: 1, gradScale: 1 });
  expect(optimizer.stateKind()).toBe("muon");
  await optimizer.release();
});

test("parameters whose arrays do not match their shape or lie in different arenas are refused by name", () => {
  const [one] = makeParameters([{ role: "matrix", shape: [4, 4] }]) as [OwnedParameter];
  const [two] = makeParameters([{ role: "matrix", shape: [4, 4] }]) as [OwnedParameter];
  const make = (parameter: OwnedParameter) => () => createOptimizer([parameter], { threads: 1 });
  expect(make({ ...one, shape: [4, 5] })).toThrowError("matrix.0: weights has 16 floats; shape [4, 5] needs 20");
  expect(make({ ...one, second: two.second })).toThrowError("second and weights lie in different arenas");
});

test("orthogonalising in place gives the same bits in every run", async () => {
  const newtonSchulz = createNewtonSchulz(1);
  const runs = [0, 1].map(async () => {
    const random = randomOf(5);
    const x = Float32Array.from({ length: 600 }, () => random.normal() / 30);
    await newtonSchulz.run(x, [20, 30]);
    return [...x];
  });
  const [first, second] = await Promise.all(runs);
  expect(first).toEqual(second);
  await newtonSchulz.release();
});
