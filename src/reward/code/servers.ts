/**
 * @file The three reward servers that were released with the paper, rule by rule, as facts about them and not their
 * code. They read one flat text; where a rule fires on what search wrote, that is what the published curves were made with.
 */
import type { Question } from "../../protocol/question.ts";
import type { RewardPart } from "../../protocol/reward-part.ts";
import type { Part } from "../../protocol/transcript.ts";
import { faults, type ReleasedFault, structureCounts } from "./rules.ts";
import { hasAnswerTags, type PromptEdges, predictionIn, releasedCoverEm, releasedF1, solutionOf } from "./solution.ts";
import { spansOf, type TextSpan, withoutDocuments } from "./spans.ts";

export const releasedServers = ["qwen-zero", "llama-stage1", "llama-stage2"] as const;
export type ReleasedServer = (typeof releasedServers)[number];

export interface ReleasedAttempt {
  readonly question: Question;
  readonly transcript: readonly Part[];
  /** The attempt as it was written; made from the transcript where it is absent. */
  readonly spans?: readonly TextSpan[];
}

const base: PromptEdges = { opening: "\nAssistant: <think>", ending: "<|endoftext|>" };
const chat: PromptEdges = {
  opening: "<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n<think>",
  ending: "<|eot_id|>",
};

/** The two that reward F1 take one penalty away, however many faults there are. */
const penalties = {
  "qwen-zero": {
    edges: base,
    penalty: -2,
    rules: ["structure", "assistant", "thought-tags", "answer-tags", "tag-in-answer", "long-answer", "chinese"],
  },
  "llama-stage2": { edges: chat, penalty: -1, rules: ["structure", "thought-tags", "answer-tags", "chinese"] },
} as const satisfies Record<
  string,
  { readonly edges: PromptEdges; readonly penalty: number; readonly rules: readonly ReleasedFault[] }
>;

/** All that a server may find, whether or not it does. */
export function rulesOf(server: ReleasedServer): readonly string[] {
  return server === "llama-stage1" ? ["cover-em", "retrieval", "format"] : ["f1", ...penalties[server].rules];
}

export function scoreReleased(server: ReleasedServer, attempt: ReleasedAttempt): RewardPart[] {
  const spans = attempt.spans ?? spansOf(attempt.transcript);
  switch (server) {
    case "llama-stage1":
      return searchAndAnswer(solutionOf(spans, chat), attempt);
    case "llama-stage2":
    case "qwen-zero":
      return answerLessPenalty(spans, { ...penalties[server], attempt });
  }
}

/** Stage 1 of Llama: an answer that covers gold, an attempt that searched, and the right tags are each worth something. */
function searchAndAnswer(solution: string, { question, transcript }: ReleasedAttempt): RewardPart[] {
  const said = predictionIn(solution);
  const isCovered = hasAnswerTags(solution) && question.gold.some((gold) => releasedCoverEm(said, gold));
  const counts = structureCounts(solution);
  const hasSearched = counts.every((count) => count === counts[0] && count >= 1);
  const tagFaults = [faults["thought-tags"](solution), faults["answer-tags"](solution)].filter(
    (fault) => fault !== undefined,
  );
  return [
    { rule: "cover-em", value: isCovered ? 1 : -1, because: verdict(solution, question), ...answerPart(transcript) },
    {
      rule: "retrieval",
      value: hasSearched ? 0.5 : 0,
      because: `the query and document tags count ${counts.join(", ")}`,
    },
    {
      rule: "format",
      value: tagFaults.length === 0 ? 0.5 : 0,
      because: tagFaults.length === 0 ? "the right tags of thought and answer" : tagFaults.join("; "),
    },
  ];
}

function answerLessPenalty(
  spans: readonly TextSpan[],
  {
    edges,
    penalty,
    rules,
    attempt: { question, transcript },
  }: (typeof penalties)[keyof typeof penalties] & { readonly attempt: ReleasedAttempt },
): RewardPart[] {
  const solution = solutionOf(spans, edges);
  const withoutSearch = solutionOf(withoutDocuments(spans), edges);
  const said = predictionIn(solution);
  const score = hasAnswerTags(solution) ? Math.max(0, ...question.gold.map((gold) => releasedF1(said, gold))) : 0;
  const parts: RewardPart[] = [
    { rule: "f1", value: score, because: verdict(solution, question), ...answerPart(transcript) },
  ];
  for (const rule of rules) {
    const fault = faults[rule](solution);
    if (fault === undefined) continue;
    const because = faults[rule](withoutSearch) === undefined ? `${fault}, by the documents alone` : fault;
    const first = parts[1]?.rule;
    parts.push(
      first === undefined ? { rule, value: penalty, because } : { rule, value: 0, because, sharedWith: first },
    );
  }
  return parts;
}

function verdict(solution: string, { gold }: Question): string {
  if (!hasAnswerTags(solution)) return "a tag of the answer is missing";
  return `${JSON.stringify(predictionIn(solution))} against ${JSON.stringify(gold)}`;
}

function answerPart(transcript: readonly Part[]): { part?: number } {
  const part = transcript.findLastIndex(({ kind }) => kind === "answer");
  return part < 0 ? {} : { part };
}
