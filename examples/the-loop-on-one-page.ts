/** The training loop written out: ask, roll out, score, compare the attempts at each question, learn. */
import { bundledModel, makeWorld, openPolicy, worldQuestions } from "r1-searcher";
import { scoreTrajectory } from "r1-searcher/reward";
import { EstimatorConfig, estimateAdvantages, policyTokenCount, splitForUpdates, toBatch } from "r1-searcher/rl";
import { collectGroups, searchEnvironment } from "r1-searcher/rollout";
import { memorySearcher } from "r1-searcher/search";

const steps = 2;
const loss = { kind: "ppo", clipLow: 0.2, clipHigh: 0.2 } as const;
const adam = { kind: "adamw", learningRate: 3e-4, beta1: 0.9, beta2: 0.95 } as const;
const optimizer = { ...adam, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 1 };

const world = makeWorld({ seed: 0, split: "train", size: "train" });
const searcher = memorySearcher(world.passages);
const policy = await openPolicy(bundledModel("nano"), { training: true });
const { learner, tokenizer, protocol, promptFor, concurrency, rollout } = policy;
if (!learner) throw new Error("it was opened for training");
const environment = searchEnvironment({ searcher, protocol, config: rollout });

for (let step = 0; step < steps; step++) {
  const sampler = await learner.publish(); // the weights as they are now
  const questions = worldQuestions([world], 4, { seed: step, mix: { "1-hop": 1, "2-hop": 0, comparison: 0 } });
  const { groups } = await collectGroups(questions, {
    ...{ sampler, environment, tokenizer, concurrency },
    promptOf: promptFor,
    config: { ...rollout, maxTokens: 128 },
    siblings: 4,
    key: { seed: 0, step }, // every draw follows from it
  });
  const rewards = groups.map((group) =>
    // An attempt that search failed has no reward, not even 0, and is left out of the comparison.
    group.map((one) => (one.stop === "environment-failed" ? undefined : scoreTrajectory(one, "fixed/stage-1").total)),
  );
  const attempts = groups.map((group, b) =>
    group.map(({ tape }, g) => ({ reward: rewards[b]?.[g], policyTokens: policyTokenCount(tape) })),
  );
  const { values } = estimateAdvantages(attempts, EstimatorConfig.parse({ whiten: "std-only" }));
  const scored = groups.map((group, b) =>
    group.flatMap((trajectory, g) => {
      const advantage = values[b]?.[g];
      return advantage === undefined ? [] : [{ trajectory, advantage }];
    }),
  );
  for (const minibatch of splitForUpdates(scored, 2)) {
    const options = { normaliser: "token", policyVersion: sampler.policyVersion, maxLag: 0 } as const;
    const { sequences } = toBatch(minibatch, options); // weight 0 on every token that the policy did not write
    if (sequences.length === 0) continue; // all attempts at each question did equally well
    await learner.forwardBackward(sequences, loss);
    await learner.optimStep(optimizer);
  }
  const all = rewards.flat().filter((reward) => reward !== undefined);
  console.log(`step ${step + 1}: reward ${(all.reduce((sum, one) => sum + one, 0) / all.length).toFixed(3)}`);
}
await policy.close();
