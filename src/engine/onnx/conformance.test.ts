import { getEventListeners } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { afterAll, describe, expect, test } from "vitest";
import { engineConformance } from "../testing/conformance.ts";
import { tinyOnnxEngine } from "../testing/tiny-onnx.ts";

const folder = mkdtempSync(join(tmpdir(), "onnx-conformance-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const adapter = { rank: 4, alpha: 8, targets: ["q_proj", "v_proj", "o_proj", "up_proj"] as const };
const lora = (merge: boolean) => ({ ...adapter, targets: [...adapter.targets], merge });

type OpenEngine = Awaited<ReturnType<typeof tinyOnnxEngine>>;

/** One engine for many checks: to open one takes most of a check. Each finds the weights and the state of a new engine. */
function reused(open: () => Promise<OpenEngine>) {
  let shared: { readonly engine: OpenEngine; readonly initial: string } | undefined;
  const make = async () => {
    if (shared === undefined) {
      const engine = await open();
      const initial = mkdtempSync(join(folder, "initial-"));
      await engine.learner.save(initial);
      shared = { engine, initial };
    }
    const { engine, initial } = shared;
    await engine.learner.load(initial);
    return { ...engine, close: async () => {} };
  };
  return { make, close: async () => shared?.engine.close() };
}

for (const [name, open] of [
  ["embedded, two workers", () => tinyOnnxEngine(folder, 2)],
  ["embedded, two workers, merged adapter", () => tinyOnnxEngine(folder, 2, lora(true))],
  ["embedded, adapter apart", () => tinyOnnxEngine(folder, 1, lora(false))],
] as const) {
  describe(name, () => {
    const { make, close } = reused(open);
    afterAll(close);
    const whole = engineConformance(name, open);
    for (const [i, check] of engineConformance(name, make).entries()) {
      const needsItsOwn = /closing|capabilities/.test(check.name); // it closes the engine, or changes the optimiser
      test(check.name, needsItsOwn ? whole[i]!.run : check.run);
    }
  });
}

test("many samples may share one signal without a warning, and none listens on after its end", async () => {
  const warnings: Error[] = [];
  const warn = (warning: Error) => warnings.push(warning);
  process.on("warning", warn);
  const engine = await tinyOnnxEngine(folder, 1);
  try {
    const sampler = await engine.publish();
    const { signal } = new AbortController();
    const samples = Array.from({ length: 12 }, (_, sibling) =>
      sampler.sample(
        {
          tokens: Int32Array.of(1, 2, 3),
          maxTokens: 2,
          temperature: 1,
          topP: 1,
          topK: 0,
          stop: { tokens: [], text: [] },
          key: { seed: 1, step: 0, question: 0, sibling, turn: 0 },
        },
        signal,
      ),
    );
    await nextTurn();
    expect(getEventListeners(signal, "abort")).toHaveLength(12);
    await Promise.all(samples);
    await nextTurn();
    expect(getEventListeners(signal, "abort")).toHaveLength(0);
    expect(warnings).toEqual([]);
  } finally {
    process.off("warning", warn);
    await engine.close();
  }
});
