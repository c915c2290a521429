import { expect, test } from "vitest";
import { randomOf } from "../../../base/random.ts";
import { GraphBuilder } from "../../../runtime/graph-builder.ts";
import { createSession, type Tensor } from "../../../runtime/onnx.ts";
import type { LossSpec } from "../../engine.ts";
import { MAX_LOG_RATIO, tokenLoss } from "../../loss.ts";
import { type LossForm, lossDerivative, lossForm } from "./losses.ts";

const clip = { kind: "ppo", clipLow: 0.2, clipHigh: 0.28 } as const;
const dualClip = 3;
const specs: Readonly<Record<LossForm, LossSpec>> = {
  "cross-entropy": { kind: "cross-entropy" },
  ppo: clip,
  "ppo+dual-clip": { ...clip, dualClip },
  "ppo+k2": { ...clip, kl: { kind: "k2", coefficient: 0.3 } },
  "ppo+k3": { ...clip, kl: { kind: "k3", coefficient: 0.3 } },
  "ppo+dual-clip+k2": { ...clip, dualClip, kl: { kind: "k2", coefficient: 0.07 } },
  "ppo+dual-clip+k3": { ...clip, dualClip, kl: { kind: "k3", coefficient: 2 } },
};
const names = Object.keys(specs) as LossForm[];

interface Row {
  readonly logprob: number;
  readonly oldLogprob: number;
  readonly referenceLogprob: number;
  readonly advantage: number;
  readonly weight: number;
}

const at = (oldLogprob: number, referenceLogprob: number, advantage: number): Row => ({
  ...{ logprob: -2, oldLogprob, referenceLogprob, advantage, weight: 1 },
});

/** Rows inside and outside of every clip, at equal policies, and far beyond every clamp; then random ones. */
function someRows(): Row[] {
  const random = randomOf("losses");
  const far = [-2.1, -1.8, -1.6, -3, -3.5, -40, -0.001].flatMap((old) =>
    [-2, -1.2, -2.6, -0.001, -8, -40].flatMap((reference) => [1.3, -1.3, 0].map((a) => at(old, reference, a))),
  );
  const any = Array.from({ length: 400 }, (): Row => {
    const logprob = -3 * random.next();
    const near = (spread: number) => Math.min(0, logprob + spread * random.normal());
    const advantage = 2 * random.normal();
    return { logprob, oldLogprob: near(0.6), referenceLogprob: near(1.5), advantage, weight: random.next() };
  });
  return [...far, ...any].map((row) => ({
    ...row,
    ...Object.fromEntries(Object.entries(row).map(([key, value]) => [key, Math.fround(value)])),
  }));
}

/** The derivatives that the graph computes. */
async function graphDerivatives(loss: LossSpec, rows: readonly Row[]): Promise<Float32Array> {
  const graph = new GraphBuilder();
  const column = (of: (row: Row) => number): Tensor => ({
    data: Float32Array.from(rows, of),
    shape: [rows.length, 1],
  });
  const single = (value: number): Tensor => ({ data: Float32Array.of(value), shape: [1] });
  const inputs: Record<string, Tensor> = {};
  const input = (name: string, tensor: Tensor) => {
    inputs[name] = tensor;
    return graph.input(name, tensor.shape.length);
  };
  const logprob = input(
    "logprob",
    column((row) => row.logprob),
  );
  const weight = input(
    "weight",
    column((row) => row.weight),
  );
  const form = lossForm(loss);
  if (loss.kind === "cross-entropy") {
    const unused = graph.scalar(0);
    const none = { advantage: unused, oldLogprob: unused, ratioFloor: unused, ratioCeiling: unused };
    graph.output(lossDerivative(graph, form, logprob, { weight, ...none }), "slope", 2);
  } else {
    const slope = lossDerivative(graph, form, logprob, {
      weight,
      advantage: input(
        "advantage",
        column((row) => row.advantage),
      ),
      oldLogprob: input(
        "old",
        column((row) => row.oldLogprob),
      ),
      ratioFloor: input("floor", single(1 - loss.clipLow)),
      ratioCeiling: input("ceiling", single(1 + loss.clipHigh)),
      ...(loss.dualClip === undefined ? {} : { dualClip: input("dual", single(loss.dualClip)) }),
      ...(loss.kl
        ? {
            kl: {
              coefficient: input("coefficient", single(loss.kl.coefficient)),
              referenceLogprob: input(
                "reference",
                column((row) => row.referenceLogprob),
              ),
            },
          }
        : {}),
    });
    graph.output(slope, "slope", 2);
  }
  const session = await createSession(graph.bytes(), { threads: 1 });
  const slope = new Float32Array(rows.length);
  await session.run(inputs, { slope: { data: slope, shape: [rows.length, 1] } });
  await session.release();
  return slope;
}

test.each(names)(
  "%s: the derivative in the graph equals the plain TypeScript one, clips and clamps included",
  async (name) => {
    const loss = specs[name];
    expect(lossForm(loss)).toBe(name);
    const rows = someRows();
    const slopes = await graphDerivatives(loss, rows);
    for (const [i, row] of rows.entries()) {
      const expected = row.weight * tokenLoss(loss, row).slope;
      expect(Math.abs(slopes[i]! - expected), JSON.stringify(row)).toBeLessThanOrEqual(
        2e-6 * Math.max(1, Math.abs(expected)),
      );
    }
  },
);

test.each(names)("%s: the plain TypeScript derivative agrees with central differences of the loss", (name) => {
  const loss = specs[name];
  const h = 1e-5;
  let compared = 0;
  for (const row of someRows()) {
    if (Math.abs(row.logprob - row.oldLogprob) > MAX_LOG_RATIO) continue; // the derivative is not zero even there
    const at = (by: number) => tokenLoss(loss, { ...row, logprob: row.logprob + by });
    const jump = Math.abs(at(2 * h).slope - at(-2 * h).slope);
    if (jump > 1e-2 * Math.max(1, Math.abs(at(0).slope))) continue; // at a corner there is no derivative
    const numeric = (at(h).loss - at(-h).loss) / (2 * h);
    expect(Math.abs(numeric - at(0).slope), JSON.stringify(row)).toBeLessThanOrEqual(
      1e-6 * Math.max(1, Math.abs(numeric)),
    );
    compared++;
  }
  expect(compared).toBeGreaterThan(450);
});

test.each(names.slice(1))("%s: NaN stays NaN, even where a clip would have replaced it", async (name) => {
  const [inside, beyond] = [at(-2.1, -2.2, 1.3), at(-40, -60, -1.3)];
  const invalid = (["logprob", "oldLogprob", "advantage", "weight"] as const).flatMap((key) =>
    [inside, beyond].map((row) => ({ ...row, [key]: Number.NaN })),
  );
  expect([...(await graphDerivatives(specs[name], invalid))]).toEqual(invalid.map(() => Number.NaN));
});

test("every form occurs, and the numbers of a loss do not change its form", () => {
  expect(names.map((name) => lossForm(specs[name]))).toEqual(names);
  expect(lossForm({ ...clip, clipHigh: 1e9 })).toBe("ppo");
});

test("dual clip bounds the loss of a bad token at its constant times the advantage, and does not change good ones", () => {
  const bad = { logprob: -1, oldLogprob: -4, advantage: -2 };
  const loss = { ...clip, dualClip };
  expect(tokenLoss(clip, bad).loss).toBeCloseTo(2 * Math.exp(3), 9);
  expect(tokenLoss(loss, bad)).toEqual({ loss: 6, slope: 0 });
  const good = { ...bad, advantage: 2 };
  expect(tokenLoss(loss, good)).toEqual(tokenLoss(clip, good));
});

test("a loss with KL on a token without reference is an error", () => {
  const terms = { logprob: -1, oldLogprob: -1, advantage: 1 };
  expect(() => tokenLoss(specs["ppo+k3"], terms)).toThrow("a k3 loss needs referenceLogprobs");
});
