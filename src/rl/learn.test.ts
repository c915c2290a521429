import { expect, test } from "vitest";
import type { TrainingSequence } from "../engine/engine.ts";
import type { Trajectory } from "../rollout/trajectory.ts";
import { LossConfig } from "./config.ts";
import { memoryKeeper } from "./testing/memory-keeper.ts";
import { config, TinyLearner, tinyParts } from "./testing/tiny-run.ts";
import { train } from "./training-loop.ts";

test("where sampler and learner are told apart, the learner is asked once a step and truncation is counted", async () => {
  const asked = { steps: 0 };
  const trainBy = async (lift: number) => {
    const learner = new TinyLearner();
    const { keeper, records } = memoryKeeper(learner);
    const { logprobs } = learner;
    learner.logprobs = (batch) => {
      asked.steps++;
      return logprobs.call(learner, batch);
    };
    const loss = LossConfig.parse({ normaliser: "token", truncateRatio: 2 });
    const parts = tinyParts(learner, { keeper, config: config({ loss }) });
    await train({
      ...parts,
      rollOut: async (questions, request) =>
        (await parts.rollOut(questions, request)).map((group) =>
          group.map((one) => ({ ...one, logprobs: one.logprobs.map((value) => (value === 0 ? 0 : value - lift)) })),
        ),
    });
    return { learner, metrics: records[0]!.metrics };
  };
  const same = await trainBy(0);
  expect(asked.steps).toBe(10);
  expect(same.metrics).toMatchObject({ "policy/truncated_share": 0 });
  expect(same.metrics["policy/mismatch_kl"]).toBeCloseTo(0, 6);
  const apart = await trainBy(1);
  expect(apart.metrics).toMatchObject({ "policy/truncated_share": 1 });
  expect(apart.metrics["policy/mismatch_kl"]).toBeCloseTo(Math.E - 2, 5);
  const [one, other] = [same, apart].map(({ learner }) => learner.batches[0]![0]!);
  for (const [t, advantage] of one!.advantages.entries()) expect(other!.advantages[t]).toBeCloseTo(2 * advantage, 5);
  expect(other!.oldLogprobs).toEqual(one!.oldLogprobs);
});

test("where documents are learnt from, their old log-probabilities are the learner's own before the step", async () => {
  const readable = ({ tape, ...rest }: Trajectory): Trajectory => {
    return { ...rest, tape: { ...tape, tokens: tape.tokens.map((token) => (token === 9 ? 1 : token)) } };
  };
  const trainBy = async (maskDocuments: boolean) => {
    const learner = new TinyLearner();
    const { keeper, records } = memoryKeeper(learner);
    const parts = tinyParts(learner, { keeper, config: config({ loss: LossConfig.parse({ maskDocuments }) }) });
    const rollOut: typeof parts.rollOut = async (questions, request) =>
      (await parts.rollOut(questions, request)).map((group) => group.map(readable));
    await train({ ...parts, rollOut });
    return { batches: learner.batches, metrics: records[0]!.metrics };
  };
  const [masked, unmasked] = [await trainBy(true), await trainBy(false)];
  const learnt = ({ weights }: TrainingSequence) => [...weights].map((weight) => Number(weight !== 0));
  expect(learnt(masked.batches[0]![0]!)).toEqual([0, 0, 1, 1, 1, 0, 0, 1, 1, 1]);
  expect(learnt(unmasked.batches[0]![0]!)).toEqual([0, 0, 1, 1, 1, 1, 1, 1, 1, 1]);
  // both updates of a step start from what the learner said before the first, so the second one's ratio has moved
  for (const { oldLogprobs } of [...unmasked.batches[0]!, ...unmasked.batches[1]!]) {
    expect(oldLogprobs[5]).toBeCloseTo(Math.log(1 / 3), 5);
  }
  expect(unmasked.metrics["policy/mismatch_kl"]).toBeCloseTo(0, 6);
  expect(unmasked.metrics).not.toHaveProperty("policy/truncated_share");
});
