import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Sample, SampleRequest } from "../engine.ts";
import { type LearningSubject, sampleOnce, someRequest } from "../testing/subject.ts";
import { tinyOnnxEngine } from "../testing/tiny-onnx.ts";
import { onnxCapabilities } from "./capabilities.ts";

const folder = mkdtempSync(join(tmpdir(), "top-logprobs-"));
let subject: LearningSubject;
beforeAll(async () => {
  subject = { ...(await tinyOnnxEngine(folder, 2)), tolerance: 1e-4, overshoot: 0, equalBits: true };
});
afterAll(async () => {
  await subject.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The learner's log-probability of every token of the vocabulary after the first `length` tokens of a tape, [V]. */
async function distribution(tape: Int32Array, length: number): Promise<Float32Array> {
  const next = Array.from({ length: subject.vocabSize }, (_, id) => Int32Array.of(...tape.subarray(0, length), id));
  return Float32Array.from(await subject.learner.logprobs(next), (row) => row.at(-1)!);
}

async function expectTheLikeliest(request: SampleRequest, { tokens, logprobs, topLogprobs }: Sample): Promise<void> {
  const tape = Int32Array.of(...request.tokens, ...tokens);
  expect(topLogprobs).toHaveLength(tokens.length);
  for (const [t, top] of topLogprobs!.entries()) {
    expect(top.ids).toHaveLength(request.topLogprobs!);
    const all = await distribution(tape, request.tokens.length + t);
    const sorted = all.toSorted((a, b) => b - a);
    for (const [rank, id] of top.ids.entries()) {
      expect(Math.abs(top.logprobs[rank]! - sorted[rank]!)).toBeLessThan(subject.tolerance);
      expect(Math.abs(top.logprobs[rank]! - all[id]!)).toBeLessThan(subject.tolerance);
      if (rank > 0) expect(top.logprobs[rank]!).toBeLessThanOrEqual(top.logprobs[rank - 1]!);
    }
    const own = top.ids.indexOf(tokens[t]!);
    if (own >= 0) expect(top.logprobs[own]).toBe(logprobs[t]);
  }
}

test.each([{ temperature: 1 }, { temperature: 0 }, { temperature: 0.5, topP: 0.9 }])(
  "with %o they are the likeliest of the whole vocabulary at temperature 1, highest first",
  async (change) => {
    const sampler = await subject.publish();
    const request = someRequest(subject, 0, { maxTokens: 5, topLogprobs: 6, ...change });
    const sample = await sampleOnce(sampler, request);
    await expectTheLikeliest(request, sample);
    if (change.temperature === 0) expect(sample.topLogprobs!.map(({ ids }) => ids[0])).toEqual([...sample.tokens]);
  },
);

test("asking for them changes no bit of a sample, nor of the samples beside it", async () => {
  const sampler = await subject.publish();
  const plain: Sample[] = [];
  for (const sibling of [0, 1, 2, 3]) plain.push(await sampleOnce(sampler, someRequest(subject, sibling)));
  for (const sample of plain) expect(sample.topLogprobs).toBeUndefined();
  const { topLogprobs: most } = onnxCapabilities;
  const asked = await Promise.all(
    [0, 1, 2, 3].map((sibling) =>
      sampleOnce(sampler, someRequest(subject, sibling, sibling % 2 === 0 ? { topLogprobs: most } : {})),
    ),
  );
  for (const [i, { topLogprobs, ...sample }] of asked.entries()) {
    expect(sample).toEqual(plain[i]);
    expect(topLogprobs?.length).toBe(i % 2 === 0 ? sample.tokens.length : undefined);
  }
});

test.each([-1, 1.5, onnxCapabilities.topLogprobs + 1])("%d of them is refused", async (topLogprobs) => {
  const sampler = await subject.publish();
  await expect(sampler.sample(someRequest(subject, 0, { topLogprobs }))).rejects.toThrow(
    `topLogprobs is ${topLogprobs}`,
  );
});
