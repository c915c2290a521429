/** @file Sharing, packing and activation checkpointing change no loss and no gradient. */
import { expect, test } from "vitest";
import { adaptModel } from "../testing/adapted-model.ts";
import { randomBatch, randomModels, SharingCheck, sharingLosses } from "../testing/sharing-checks.ts";
import { sharePrompts, splitSiblings, usualSharing } from "./shared-prompts.ts";

const batches = 12; // npm run experiment -- parity:sharing has 50
const bound = 1e-5;
const models = Object.entries(randomModels());

const lora = { rank: 3, alpha: 6, targets: ["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"] as const };
const cases = models.flatMap(([name]) => [
  { name, learns: "all weights", ways: 5 },
  { name, learns: "an adapter", ways: 11 },
]);

test.each(cases)("$name, $learns: every way agrees within 1e-5", async ({ name, ...one }) => {
  const plainModel = randomModels()[name]!;
  const adapted = await adaptModel(plainModel.config, plainModel.weights, { ...lora, targets: [...lora.targets] });
  const model = one.learns === "an adapter" ? { ...plainModel, adapted } : plainModel;
  const check = new SharingCheck(model, 1);
  let [compared, shared] = [0, 0];
  for (let number = models.findIndex(([one]) => one === name); number < batches; number += models.length) {
    const batch = randomBatch(number, model.config.vocabSize, { questions: 3, siblings: 4, prompt: 40, written: 20 });
    shared += sharePrompts(batch, { minTokens: 4, minShare: 0 }).prompts.length;
    const found = await check.compare(batch, sharingLosses[number % sharingLosses.length]!);
    for (const [way, { loss, gradient }] of Object.entries(found)) {
      expect(loss, `${way}, batch ${number}`).toBeLessThanOrEqual(bound);
      expect(gradient, `${way}, batch ${number}`).toBeLessThanOrEqual(bound);
      compared++;
    }
  }
  await check.close();
  expect(compared).toBe((batches / models.length) * one.ways);
  expect(shared).toBeGreaterThan(3);
});

const plain = (tokens: readonly number[], firstScored: number) => ({
  tokens: Int32Array.from(tokens),
  weights: Float32Array.from(tokens, (_, t) => (t >= firstScored ? 1 : 0)),
  advantages: new Float32Array(tokens.length),
  oldLogprobs: new Float32Array(tokens.length),
});
const counting = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);

test("siblings are those with the same tokens up to the one before the first that is scored", () => {
  const prompt = counting(60);
  const batch = [
    plain([...prompt, 7, 8], 60),
    plain([...counting(60, 1), 7], 60),
    plain([...prompt, 9], 60),
    plain([...prompt, 7, 8], 61),
  ];
  expect(sharePrompts(batch, usualSharing)).toEqual({ prompts: [{ length: 59, members: [0, 2] }], alone: [1, 3] });
});

test("a prompt that is short, or little beside what follows it, stays with its siblings", () => {
  const siblings = (prompt: number, written: number) =>
    Array.from({ length: 8 }, (_, i) => plain([...counting(prompt), ...counting(written, i)], prompt));
  expect(sharePrompts(siblings(16, 144), usualSharing).prompts).toEqual([]); // as nano's are
  expect(sharePrompts(siblings(60, 2000), usualSharing).prompts).toEqual([]);
  expect(sharePrompts(siblings(110, 200), usualSharing).prompts).toHaveLength(1); // as SmolLM2's are
});

test("siblings that share a prompt go to one worker, all others where the load is least", () => {
  const group = (from: number) => counting(3).map((i) => plain([...counting(60, from), i], 60));
  const [a, b] = [group(0), group(1)];
  const batch = [a[0]!, b[0]!, plain([1, 2, 3], 1), a[1]!, b[1]!, a[2]!, b[2]!];
  expect(splitSiblings(batch, 2)).toEqual([
    [0, 2, 3, 5],
    [1, 4, 6],
  ]);
});
