import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { parseModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { parameterCount } from "../../src/engine/huggingface/model-size.ts";
import { median } from "../../src/run/engines/measuring.ts";
import { gradientFlops, middleSize, shapeOf } from "./model.ts";
import { startPeer } from "./peer.ts";
import { alternate, measureRates } from "./rates.ts";
import { benchTable } from "./report.ts";
import type { BenchResult } from "./run-bench.ts";
import { openNanoSteps } from "./step.ts";

const tiny = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 300,
    hidden_size: 32,
    intermediate_size: 48,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    max_position_embeddings: 64,
    tie_word_embeddings: true,
  },
  "the test",
);

test("the median of an even number of rounds lies between the middle two", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([9, 1, 5, 2])).toBe(3.5);
});

test("rounds alternate, and the first of each is not measured", async () => {
  const order: string[] = [];
  const seconds = { ours: [100, 1, 3, 2], theirs: [100, 6, 4, 5] };
  const result = await alternate(
    3,
    async (round) => {
      order.push("ours");
      return seconds.ours[round]!;
    },
    async () => ({ seconds: seconds.theirs[order.push("theirs") / 2 - 1]!, cpuSeconds: 0 }),
  );
  expect(order.join(" ")).toBe("ours theirs ours theirs ours theirs ours theirs");
  expect(result).toEqual({ seconds: 2, peerSeconds: 5 });
});

test("a gradient is counted up to the last position that is scored, its head where it is scored, its attention up to the diagonal", () => {
  const weights = Float32Array.of(0, 0, 1, 0, 1, 0, 0); // 4 positions are fed, 2 are scored
  const linear = 6 * 4 * 2 * (4 * 32 * 32 + 3 * 32 * 48);
  const head = 6 * 2 * 32 * 300;
  const attention = 2 * 12 * 32 * (1 + 2 + 3 + 4);
  expect(gradientFlops(shapeOf(tiny), [{ weights }])).toBe(linear + head + attention);
  expect(gradientFlops(shapeOf(tiny), [{ weights: new Float32Array(5) }])).toBe(0);
});

test("the middle model has about 30 M parameters", () => {
  expect(parameterCount(middleSize) / 1e6).toBeCloseTo(32, 0);
});

test("a model is measured without a peer, and its share of the peak is a share", async () => {
  const work = { rounds: 1, rows: 4, prompt: 5, sampled: 6, sequences: 2, length: 12, gemmSizes: [128] };
  const { decode, train, gemmPeak } = await measureRates(tiny, work, undefined);
  expect(decode.tokensPerSecond).toBeGreaterThan(0);
  expect(decode.peerTokensPerSecond).toBeNull();
  expect(train.peerTokensPerSecond).toBeNull();
  expect(gemmPeak).toBeGreaterThan(1e9);
  expect(train.shareOfGemmPeak).toBeGreaterThan(0);
  expect(train.shareOfGemmPeak).toBeLessThan(1);
});

test("a step is measured phase by phase and described as it was, authors and masks included", async () => {
  const small = ["rolloutBatch.questions=2", "rolloutBatch.siblings=4", "rollout.maxTokens=40"];
  const steps = await openNanoSteps(small);
  try {
    const { seconds, policyTokens, rss } = await steps.next();
    expect(Object.values(seconds).every((value) => value > 0)).toBe(true);
    expect(policyTokens).toBeGreaterThan(8);
    expect(rss).toBeGreaterThan(2 ** 20);
    const { attempts, updates } = JSON.parse(readFileSync(steps.describe(), "utf8")) as StepFile;
    expect(attempts.map(({ group }) => group)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
    const policyIn = (runs: StepFile["attempts"][number]["runs"]) =>
      runs.reduce((sum, [author, length]) => sum + (author === "policy" ? length : 0), 0);
    expect(attempts.reduce((sum, { runs }) => sum + policyIn(runs), 0)).toBe(policyTokens);
    for (const { tokens, weights } of updates.flat()) {
      const attempt = attempts.find((one) => String(one.tokens) === String(tokens))!;
      expect(weights.filter((weight) => weight !== 0)).toHaveLength(policyIn(attempt.runs));
    }
  } finally {
    await steps.close();
  }
});

interface StepFile {
  readonly attempts: readonly {
    readonly tokens: readonly number[];
    readonly runs: readonly (readonly [author: string, length: number])[];
    readonly group: number;
  }[];
  readonly updates: readonly (readonly { readonly tokens: readonly number[]; readonly weights: readonly number[] }[])[];
}

test("without a Python that has torch there is no peer, and it is said why", async () => {
  expect(await startPeer("no-such-python")).toMatch(/no-such-python has no torch; name one that has with --python/);
});

const result: BenchResult = {
  step: {
    seconds: { sample: 0.5, search: 0.004, reward: 0.001, learn: 0.3, write: 0.005 },
    cpuSeconds: 1.5,
    peerSeconds: 1.62,
    peerParts: { sample: 1, learn: 0.62 },
    ratio: 2,
    shareBesideEngine: 0.0123,
    learnShareOfGemmPeak: 0.71,
    policyTokens: 6500,
  },
  decode: { nano: { tokensPerSecond: 9000, peerTokensPerSecond: 4500 } },
  train: { nano: { tokensPerSecond: 9000, peerTokensPerSecond: null, shareOfGemmPeak: 0.7 } },
  memory: { steps: 300, quarter: 2 ** 29, end: 2 ** 29 * 1.01, growth: 0.01 },
  machine: { processor: "P", cores: 2, system: "linux x64", node: "v20" },
  peer: { torch: "2.0", cpu: "AVX2", mkl: true, threads: 2 },
};

test("the table says how much faster, what was compared, and leaves a gap where there is no peer", () => {
  const table = benchTable(result);
  expect(table).toContain("| a nano step, s | 0.810 | 1.620 | 2.00 × |");
  expect(table).toContain("| sampling, nano, tokens/s | 9000 | 4500 | 2.00 × |");
  expect(table).toContain("| learning, nano, tokens/s | 9000 | – | – |");
  expect(table).toContain("| memory after 75 and 300 steps | 512 MiB, 517 MiB (1.0 %) | – | – |");
  expect(table).toContain("Peer: PyTorch 2.0, 2 threads, AVX2, MKL.");
  expect(benchTable({ ...result, peer: "python3 has no torch" })).toContain("No peer: python3 has no torch.");
});
