/**
 * @file Do advantages and losses equal their restatement in plain Python (estimators.py)?
 *   PYTHON=python3 npm run experiment -- parity:estimators [--batches 1000]
 * Draws random ragged batches (default 1,000): masks, dead groups, failed siblings, rewards beyond the clip, references
 * and learners near and far. Prints the largest difference and exits 1 above 1e-6.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { programOptions, wholeNumber } from "../../scripts/program-options.ts";
import { type Random, randomOf } from "../../src/base/random.ts";
import { termsAt, tokenLoss } from "../../src/engine/loss.ts";
import { type Author, lossMask } from "../../src/protocol/tape.ts";
import { type Advantages, estimateAdvantages } from "../../src/rl/advantage.ts";
import { attemptsOf, scoredAttempts } from "../../src/rl/attempts.ts";
import { policyTokenCount, toBatch } from "../../src/rl/batch.ts";
import { EstimatorConfig, KlConfig, LossConfig } from "../../src/rl/config.ts";
import { scoreByReference } from "../../src/rl/kl.ts";
import { lossSpec } from "../../src/rl/learn.ts";
import type { Trajectory } from "../../src/rollout/trajectory.ts";

const help = `Compares advantages and losses of random batches with their restatement in plain Python, estimators.py. Fails above
1e-6. The variable PYTHON names a Python; it needs no package (default: python3).

usage: npm run experiment -- parity:estimators [options]
  --batches <n>     (default: 1000)
  --help
`;
const { values } = programOptions(help, { batches: { type: "string", default: "1000" } });
const count = wholeNumber("batches", values.batches, 1);
const LIMIT = 1e-6;
const estimators = ["reinforce++-baseline", "reinforce++", "grpo", "rloo", "dr-grpo"] as const;
const klKinds = ["off", "k1", "k2", "k3"] as const;
const normalisers = ["sequence", "token"] as const;

interface Drawn {
  readonly trajectory: Trajectory;
  readonly reward: number | undefined;
  /** [T] each, in the layout of the sampler's. */
  readonly reference: Float32Array;
  readonly learner: Float32Array;
  readonly now: Float32Array;
}

interface DrawnBatch {
  readonly groups: readonly (readonly Drawn[])[];
  readonly whiten: "batch" | "std-only" | "none" | undefined;
  readonly loss: Omit<LossConfig, "normaliser">;
  readonly coefficient: number;
}

/** Multiples of 1/1024, which f32 holds exactly: what differs is then arithmetic, not storage. */
const onGrid = (value: number) => Math.round(value * 1024) / 1024;

function drawAttempt(random: Random, reward: number | undefined, spread: number): Drawn {
  const runs: { author: Author; length: number }[] = [{ author: "prompt", length: 1 + random.int(4) }];
  const turns = random.chance(0.03) ? 0 : 1 + random.int(3);
  for (let turn = 0; turn < turns; turn++) {
    runs.push({ author: "policy", length: 1 + random.int(8) });
    if (turn < turns - 1 || random.chance(0.2)) runs.push({ author: "search", length: 1 + random.int(6) });
  }
  const length = runs.reduce((sum, run) => sum + run.length, 0);
  const tape = { tokens: Int32Array.from({ length }, () => random.int(50)), runs };
  const mask = lossMask(tape);
  const logprobs = Float32Array.from(mask, (policy) => (policy ? onGrid(-4 * random.next()) : 0));
  const near = (far: number) =>
    logprobs.map((one, t) => (mask[t] ? onGrid(Math.min(0, one + far * random.normal())) : 0));
  const question = { id: "q", text: "?", gold: ["x"] };
  return {
    trajectory: {
      question,
      sibling: 0,
      stop: "answered",
      policyVersion: 1,
      tape,
      transcript: [],
      logprobs,
      searches: [],
    },
    reward,
    reference: near(spread),
    learner: near(0.1),
    now: near(0.5),
  };
}

function drawBatch(random: Random): DrawnBatch {
  const spread = random.pick([0.05, 1, 3]);
  const groups = Array.from({ length: 1 + random.int(4) }, () => {
    const isDead = random.chance(0.2);
    const failures = random.pick([0, 0, 0.1, 0.4]);
    const flat = random.int(5) / 4;
    const drawReward = () => (random.chance(0.05) ? 24 * random.normal() : random.int(33) / 8 - 2);
    return Array.from({ length: 1 + random.int(8) }, () => {
      const reward = isDead ? flat : drawReward();
      return drawAttempt(random, random.chance(failures) ? undefined : reward, spread);
    });
  });
  const dualClip = random.chance(0.5) ? 1.25 + 2 * random.next() : undefined;
  const truncateRatio = random.chance(0.5) ? 1 + random.next() : undefined;
  return {
    groups,
    whiten: random.pick([undefined, undefined, "batch", "std-only", "none"] as const),
    loss: {
      clipLow: 0.1 + 0.2 * random.next(),
      clipHigh: 0.1 + 0.4 * random.next(),
      dualClip,
      truncateRatio,
      maskDocuments: true,
    },
    coefficient: random.pick([1e-4, 0.01, 0.3]),
  };
}

interface Results {
  /** By "estimator kl": [attempts that are learnt from][policy tokens]. */
  readonly advantages: Record<string, readonly (readonly number[])[]>;
  /** By "estimator kl normaliser". */
  readonly losses: Record<string, number>;
}

async function ours(batch: DrawnBatch): Promise<Results> {
  const results: Results = { advantages: {}, losses: {} };
  const groups = batch.groups.map((group) => group.map(({ trajectory }) => trajectory));
  const rewards = batch.groups.map((group) =>
    group.map(({ reward }) => (reward === undefined ? undefined : { total: reward, parts: [] })),
  );
  const survivors = batch.groups.flat().filter(({ reward }) => reward !== undefined);
  const reference = { logprobs: async () => survivors.map((one) => one.reference.subarray(1)) };
  for (const kind of estimators) {
    const estimator = EstimatorConfig.parse({ kind, whiten: batch.whiten });
    for (const klKind of klKinds) {
      const kl = KlConfig.parse({ kind: klKind, coefficient: batch.coefficient });
      const trajectories = survivors.map(({ trajectory }) => trajectory);
      const options = { kl, references: await scoreByReference(trajectories, { kl, reference }) };
      const advantages = estimateAdvantages(attemptsOf(groups, rewards, options), estimator);
      results.advantages[`${kind} ${klKind}`] = spelledOut(advantages, groups);
      for (const normaliser of normalisers) {
        const scored = scoredAttempts(groups, advantages, options);
        const loss = LossConfig.parse({ ...batch.loss, normaliser });
        results.losses[`${kind} ${klKind} ${normaliser}`] = lossOf(batch, scored.flat(), { loss, kl });
      }
    }
  }
  return results;
}

/** The advantage of every policy token. */
function spelledOut({ values, byToken }: Advantages, groups: readonly (readonly Trajectory[])[]): number[][] {
  return groups.flatMap((group, b) =>
    group.flatMap(({ tape }, g) => {
      const value = values[b]![g];
      if (value === undefined) return [];
      return [[...(byToken[b]![g] ?? new Float64Array(policyTokenCount(tape)).fill(value))]];
    }),
  );
}

type Scored = ReturnType<typeof scoredAttempts>[number];

function lossOf(batch: DrawnBatch, attempts: Scored, config: { loss: LossConfig; kl: KlConfig }): number {
  const { normaliser, truncateRatio } = config.loss;
  const drawn = new Map(batch.groups.flat().map((one) => [one.trajectory.tape.tokens, one]));
  const withLearner = attempts.map((attempt) =>
    truncateRatio === undefined
      ? attempt
      : { ...attempt, learnerLogprobs: drawn.get(attempt.trajectory.tape.tokens)!.learner },
  );
  const { sequences } = toBatch(withLearner, { normaliser, policyVersion: 1, maxLag: 0, truncateRatio });
  const spec = lossSpec(config);
  let sum = 0;
  for (const sequence of sequences) {
    const { now } = drawn.get(sequence.tokens)!;
    for (const [t, weight] of sequence.weights.entries())
      if (weight !== 0) sum += weight * tokenLoss(spec, termsAt(sequence, t, now[t]!)).loss;
  }
  return sum;
}

function asJson({ groups, whiten, loss, coefficient }: DrawnBatch): string {
  const { clipLow, clipHigh, dualClip = null, truncateRatio = null } = loss;
  return JSON.stringify({
    ...{ clip: 10, whiten: whiten ?? null, clipLow, clipHigh, dualClip, truncateRatio, coefficient },
    groups: groups.map((group) =>
      group.map(({ trajectory, reward, reference, learner, now }) => ({
        reward: reward ?? null,
        mask: [...lossMask(trajectory.tape)],
        old: [...trajectory.logprobs],
        ref: [...reference],
        learner: [...learner],
        new: [...now],
      })),
    ),
  });
}

function theirs(batches: readonly DrawnBatch[]): Results[] | undefined {
  const script = fileURLToPath(new URL("estimators.py", import.meta.url));
  const python = process.env["PYTHON"] ?? "python3";
  const { stdout, stderr, status, error } = spawnSync(python, [script], {
    input: `${batches.map(asJson).join("\n")}\n`,
    encoding: "utf8",
    maxBuffer: 2 ** 30,
  });
  if (error && "code" in error && error.code === "ENOENT") {
    console.error(`SKIPPED: there is no ${python} here, so nothing was compared; name a Python 3 with PYTHON=`);
    return undefined;
  }
  if (status !== 0) throw new Error(`estimators.py failed: ${stderr || error?.message}`);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Results);
}

/** Difference of two numbers, as a share where they are larger than 1; NaN where the shapes differ. */
const apart = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? Number.NaN : Math.abs(a - b) / Math.max(1, Math.abs(b));

class Worst {
  difference = 0;
  where = "nowhere";
  compared = 0;

  see(difference: number, where: string): void {
    this.compared++;
    if (difference <= this.difference) return; // NaN is the worst of all
    if (!Number.isNaN(this.difference)) [this.difference, this.where] = [difference, where];
  }
}

function compare(a: Results, b: Results, index: number, worst: { advantages: Worst; losses: Worst }): void {
  for (const [name, expected] of Object.entries(b.advantages)) {
    const rows = a.advantages[name] ?? [];
    if (rows.length !== expected.length) worst.advantages.see(Number.NaN, `batch ${index}, ${name}`);
    for (const [i, row] of expected.entries()) {
      if (row.length !== rows[i]?.length) worst.advantages.see(Number.NaN, `batch ${index}, ${name}`);
      for (const [t, value] of row.entries())
        worst.advantages.see(apart(rows[i]?.[t], value), `batch ${index}, ${name}`);
    }
  }
  for (const [name, loss] of Object.entries(b.losses))
    worst.losses.see(apart(a.losses[name], loss), `batch ${index}, ${name}`);
}

const batches = Array.from({ length: count }, (_, i) => drawBatch(randomOf("parity of estimators", i)));
const restated = theirs(batches);
if (restated) {
  const worst = { advantages: new Worst(), losses: new Worst() };
  for (const [i, batch] of batches.entries()) compare(await ours(batch), restated[i]!, i, worst);
  const attempts = batches.flatMap(({ groups }) => groups.flat());
  const failed = attempts.filter(({ reward }) => reward === undefined).length;
  console.log(
    `${count} batches, ${attempts.length} attempts, ${failed} of them failed; ${estimators.length} estimators × KL ${klKinds.join(", ")} × ${normalisers.join(", ")}`,
  );
  for (const [what, { difference, where, compared }] of Object.entries(worst))
    console.log(`${compared} ${what}: largest difference ${difference.toExponential(2)} (${where})`);
  const passes = Object.values(worst).every(({ difference, compared }) => compared > 0 && difference <= LIMIT);
  console.log(passes ? `all within ${LIMIT.toExponential()}` : `FAILED: more than ${LIMIT.toExponential()} apart`);
  process.exitCode = passes ? 0 : 1;
}
