/** @file `npm run bench -- models` at a small size, without a peer. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { benchRates, benchStep, settingOf } from "../bench/models/measure.ts";
import { ratesTable, stepTable } from "../bench/models/table.ts";
import { scripts, toUpdate } from "../bench/models/work.ts";
import { bundled } from "../src/run/engines/open-policy.ts";

test("a model is measured without a peer, and its table says why there is none", async () => {
  const directory = mkdtempSync(join(tmpdir(), "r1-bench-models-"));
  try {
    const model = join(directory, "model");
    cpSync(bundled("nano"), model, { recursive: true });
    const config = join(model, "config.json");
    const settings = JSON.parse(readFileSync(config, "utf8"));
    writeFileSync(config, JSON.stringify({ ...settings, max_position_embeddings: 1024 })); // a step's tapes are longer than nano's
    const options = {
      ...{ model, directory, rounds: 1, sizes: { questions: 1, siblings: 2 }, widths: [1] },
      ...{ maxMemoryGb: 4, peers: { plain: "no torch", tuned: "no torch" }, say: () => {} },
    };
    const setting = settingOf(options);
    const step = await benchStep(options);
    expect(step.ours.sample).toBeGreaterThan(0);
    expect(step.ours.peakBytes).toBeGreaterThan(2 ** 27);
    expect(step.tuned).toBeUndefined();
    expect(stepTable(step, setting)).toMatch(/The plan: memory: about .* of 4\.00 GB[\s\S]*No peer: no torch\./);
    const rates = await benchRates(options);
    expect(rates.train.ours).toBeGreaterThan(0);
    expect(rates.decode[0]!.ours).toBeGreaterThan(0);
    expect(ratesTable(rates, setting)).toMatch(
      /\| sampling 1 at once \| \d[\s\S]*no --gguf was given[\s\S]*No peer: no torch\./,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("siblings share their prompt, and what is learnt from is what they wrote", () => {
  const all = scripts({ questions: 2, siblings: 3 }, 1000);
  expect(new Set(all.map(({ prompt }) => prompt)).size).toBe(2);
  const { prompt, query, documents, answer } = all[0]!;
  const length = prompt.length + query + documents.length + answer;
  const [sequence] = toUpdate([
    {
      group: 0,
      tokens: new Int32Array(length),
      runs: [
        ["prompt", prompt.length],
        ["policy", query],
        ["search", documents.length],
        ["policy", answer],
      ],
      logprobs: Array.from({ length: query + answer }, (_, i) => -i - 1),
    },
  ]);
  const learnt = Array.from(sequence!.weights.keys()).filter((t) => sequence!.weights[t] !== 0);
  expect(learnt).toHaveLength(query + answer);
  expect(learnt[0]).toBe(prompt.length);
  expect(sequence!.oldLogprobs[length - 1]).toBe(-(query + answer));
});
