/** Trains with a reward of your own: exact match, less a little for every search. Two small steps; a real run takes more. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openRun, type Trajectory, train } from "r1-searcher";
import { answerOf, exactMatch, type Reward } from "r1-searcher/reward";

/** Every number comes with its reason, which the run folder keeps. */
function reward({ question, transcript, searches }: Trajectory): Reward {
  const said = answerOf(transcript) ?? "";
  const parts = [
    { rule: "exact", value: exactMatch(said, question.gold), because: `the answer is ${JSON.stringify(said)}` },
    { rule: "thrift", value: -0.05 * searches.length, because: `${searches.length} searches` },
  ];
  return { total: parts.reduce((sum, { value }) => sum + value, 0), parts };
}

const { run } = await train({
  recipe: {
    extends: "nano",
    name: "own-reward",
    stages: [{ name: "stage-2", steps: 2, reward: "fixed/stage-2", mix: { "1-hop": 0.5, "2-hop": 0.5 } }],
    rolloutBatch: { questions: 4, siblings: 4 },
    rollout: { maxTokens: 128 },
    eval: { curve: { questions: 4 }, full: { questions: 4, decode: ["greedy"] } },
  },
  reward, // in place of the stage's "fixed/stage-2"
  out: join(await mkdtemp(join(tmpdir(), "own-reward-")), "run"),
  onEvent: (event) => {
    if (event.kind === "step") console.log(`step ${event.step} of ${event.steps}: reward ${event.reward.toFixed(3)}`);
  },
});

const [attempt] = openRun(run).attempts(0);
for (const { rule, value, because } of attempt?.reward?.parts ?? []) console.log(`${rule}: ${value} (${because})`);
