/**
 * @file What a stage rewards, as data. Rules read what the policy wrote and what search did, never documents' text;
 * the one exception is "released", which repeats what others did.
 */
import { z } from "zod";
import type { Question } from "../protocol/question.ts";
import type { RewardPart } from "../protocol/reward-part.ts";
import type { Part } from "../protocol/transcript.ts";
import { releasedServers, scoreReleased } from "./code/servers.ts";
import type { TextSpan } from "./code/spans.ts";
import { answerOf, formatVerdict } from "./format.ts";
import { coverEm, exactMatch, f1 } from "./metrics.ts";
import { realQueryWords } from "./query-words.ts";
import type { Reward } from "./reward.ts";

const when = z.enum(["always", "real-query"]).default("always");

const ruleSchema = z.discriminatedUnion("rule", [
  z.strictObject({
    rule: z.literal("retrieval"),
    value: z.number().describe("For at least one search that was served."),
  }),
  z.strictObject({
    rule: z.literal("format"),
    level: z
      .enum(["tags", "grammar"])
      .default("grammar")
      .describe("Only the number of tags, or their order and content too."),
    right: z.number().default(0),
    wrong: z.number().default(0),
    partial: z
      .number()
      .default(0)
      .describe("Where it is wrong, for each of these: the thought closed, then an answer begun, and that closed."),
    when: when.describe('"real-query": nothing unless a served query holds a word of the question.'),
  }),
  z.strictObject({
    rule: z.literal("answer"),
    metric: z.enum(["f1", "em", "cover-em"]).default("f1"),
    weight: z.number().default(1),
    when,
  }),
  z.strictObject({
    rule: z.literal("query-words"),
    opened: z.number().default(0.05).describe("For a query that was begun, where none is real."),
    real: z.number().default(0.1).describe("For a served query that holds a word of the question."),
    words: z.number().default(0.4).describe("Times the share of the question's content words in the best query."),
    enough: z.int().min(1).default(4).describe("So many words count as all."),
  }),
  z.strictObject({
    rule: z.literal("environment"),
    weight: z.number().default(1).describe("Times each reward part that the environment gave."),
  }),
  z.strictObject({
    rule: z.literal("released"),
    server: z.enum(releasedServers).describe("All rules of one reward server that was released with the paper."),
  }),
]);

export type RewardRule = z.infer<typeof ruleSchema>;

/** Both stages of "shaped" pay for it. */
const shapedSearch = [
  { rule: "query-words", opened: 0.05, real: 0.1, words: 0.4, enough: 8 },
  { rule: "format", level: "grammar", right: 0.5, wrong: 0, partial: 0.1, when: "real-query" },
] as const satisfies readonly RewardRule[];

/**
 * "paper" is what the paper states; "fixed" (the default of the recipes) also wants the tags in order and an answer
 * that says something. "shaped" pays for queries about the question: small models otherwise learn to search for nothing.
 * "code" is what the released servers did, documents and all; plain `code` is the one of the published Qwen run.
 */
export const rewardPresets = {
  "paper/stage-1": [
    { rule: "retrieval", value: 0.5 },
    { rule: "format", level: "tags", right: 0.5, wrong: 0, partial: 0, when: "always" },
  ],
  "paper/stage-2": [
    { rule: "answer", metric: "f1", weight: 1, when: "always" },
    { rule: "format", level: "tags", right: 0, wrong: -2, partial: 0, when: "always" },
  ],
  "fixed/stage-1": [
    { rule: "retrieval", value: 0.5 },
    { rule: "format", level: "grammar", right: 0.5, wrong: 0, partial: 0, when: "always" },
  ],
  "fixed/stage-2": [
    { rule: "answer", metric: "f1", weight: 1, when: "always" },
    { rule: "format", level: "grammar", right: 0, wrong: -2, partial: 0, when: "always" },
  ],
  "shaped/stage-1": shapedSearch,
  "shaped/stage-2": [...shapedSearch, { rule: "answer", metric: "f1", weight: 2, when: "real-query" }],
  code: [{ rule: "released", server: "qwen-zero" }],
  "code/qwen-zero": [{ rule: "released", server: "qwen-zero" }],
  "code/llama-stage1": [{ rule: "released", server: "llama-stage1" }],
  "code/llama-stage2": [{ rule: "released", server: "llama-stage2" }],
} as const satisfies Record<string, readonly RewardRule[]>;

export type RewardPreset = keyof typeof rewardPresets;

export const RewardSpec = z.union([
  z.enum(Object.keys(rewardPresets) as [RewardPreset, ...RewardPreset[]]).describe("A preset."),
  z.array(ruleSchema).min(1).describe("Rules whose values are added."),
]);
export type RewardSpec = z.infer<typeof RewardSpec>;

/** What of a trajectory a rule may see. */
export interface Scorable {
  readonly question: Question;
  readonly transcript: readonly Part[];
  readonly searches: readonly { readonly query: string; readonly part?: number }[];
  /** What the environment itself gave while the attempt ran. */
  readonly rewards?: readonly RewardPart[];
  readonly stop: string;
  /** The attempt as it was written, for rules that read whole texts; made from the transcript where it is absent. */
  readonly spans?: readonly TextSpan[];
}

/** @throws Error for an attempt that the environment failed: it has no reward, not even zero */
export function scoreTrajectory(trajectory: Scorable, spec: RewardSpec): Reward {
  if (trajectory.stop === "environment-failed") {
    throw new Error(`the attempt at question ${trajectory.question.id} failed in its environment and has no reward`);
  }
  const rules: readonly RewardRule[] = typeof spec === "string" ? rewardPresets[spec] : spec;
  const parts = rules.flatMap((rule) => apply(rule, trajectory));
  return { total: parts.reduce((sum, { value }) => sum + value, 0), parts };
}

function apply(rule: RewardRule, trajectory: Scorable): readonly RewardPart[] {
  if ("when" in rule && rule.when === "real-query" && !realQueryWords(trajectory)) {
    return [{ rule: rule.rule, value: 0, because: "no served query holds a word of the question" }];
  }
  switch (rule.rule) {
    case "retrieval":
      return [retrieval(rule.value, trajectory)];
    case "format":
      return [format(rule, trajectory.transcript)];
    case "answer":
      return [answer(rule, trajectory)];
    case "query-words":
      return [queryWords(rule, trajectory)];
    case "environment":
      return (trajectory.rewards ?? []).map((part) => ({ ...part, value: rule.weight * part.value }));
    case "released":
      return scoreReleased(rule.server, trajectory);
  }
}

function retrieval(value: number, { searches }: Scorable): RewardPart {
  const served = searches.filter(({ part }) => part !== undefined);
  if (served.length === 0) return { rule: "retrieval", value: 0, because: "no search was served" };
  return {
    rule: "retrieval",
    value,
    because: served.length === 1 ? "one search was served" : `${served.length} searches were served`,
    part: served[0]!.part!,
  };
}

function format(
  { level, right, wrong, partial }: RewardRule & { rule: "format" },
  transcript: readonly Part[],
): RewardPart {
  const { ok, faults } = formatVerdict(transcript, level);
  if (ok) return { rule: "format", value: right, because: "well formed" };
  const part = faults.find(({ part }) => part !== undefined)?.part;
  const because = [...new Set(faults.map(({ rule }) => rule))].join(", ");
  const value = wrong + (partial === 0 ? 0 : partial * partsOfEnd(transcript));
  return { rule: "format", value, because, ...(part === undefined ? {} : { part }) };
}

/** How many of the three that end an attempt are there, in their order. */
function partsOfEnd(transcript: readonly Part[]): number {
  const thought = transcript.findIndex(({ kind, closed }) => kind === "thought" && closed);
  if (thought < 0) return 0;
  const answers = transcript.slice(thought).filter(({ kind }) => kind === "answer");
  return 1 + Number(answers.length > 0) + Number(answers.some(({ closed }) => closed));
}

const metrics = { f1, em: exactMatch, "cover-em": coverEm } as const;

function answer({ metric, weight }: RewardRule & { rule: "answer" }, { transcript, question }: Scorable): RewardPart {
  const said = answerOf(transcript);
  if (said === undefined) return { rule: metric, value: 0, because: "no answer was closed" };
  const score = metrics[metric](said, question.gold);
  const part = transcript.findLastIndex(({ kind, closed }) => kind === "answer" && closed);
  return {
    rule: metric,
    value: weight * score,
    because: `${JSON.stringify(said)} against ${JSON.stringify(question.gold)}: ${metric} ${score.toFixed(3)}`,
    part,
  };
}

function queryWords(
  { opened, real, words, enough }: RewardRule & { rule: "query-words" },
  trajectory: Scorable,
): RewardPart {
  const found = realQueryWords(trajectory);
  if (found) {
    const share = found.shared / Math.min(found.of, enough);
    const because = `the query holds ${found.shared} of ${found.of} words of the question`;
    return { rule: "query-words", value: real + words * Math.min(1, share), because, part: found.part };
  }
  const begun = trajectory.transcript.findIndex(({ kind }) => kind === "query");
  if (begun < 0) return { rule: "query-words", value: 0, because: "no query was begun" };
  return { rule: "query-words", value: opened, because: "no served query holds a word of the question", part: begun };
}
