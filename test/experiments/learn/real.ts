/** @file What docs/results.md says of a real model: each run by itself, its curve, and what it wrote. */
import { markdownTable } from "../../../src/base/marked-page.ts";
import { alarms } from "../../../src/rl/health.ts";
import type { StepLine } from "../../../src/run/store/run-folder.ts";
import type { LearnRun } from "./runs.ts";
import { decodings, evalOf, origin, percentOver, policy, questionsOf } from "./words.ts";

/** Each run by itself: of these there are few, and their intervals say more than a deviation of two. */
export function realTables(runs: readonly LearnRun[]): string[] {
  const rows = runs.flatMap((run) =>
    ["base", ...run.stages].flatMap((checkpoint) =>
      decodings.flatMap((decode) => {
        const summary = evalOf(run, checkpoint, decode);
        if (summary === undefined) return [];
        const { f1, f1Interval95, em, interval95, searchRate, realQueryRate, formatRate } = summary;
        const shares = [searchRate, realQueryRate, formatRate].map((share) => percentOver([share]));
        return [
          [String(run.seed), policy(checkpoint), decode, within(f1, f1Interval95), within(em, interval95), ...shares],
        ];
      }),
    ),
  );
  const cost = runs.map(
    ({ seed, minutes, memoryBytes }) => `seed ${seed} ${minutes.toFixed(0)} min, ${(memoryBytes / 1e9).toFixed(1)} GB`,
  );
  return [
    `In per cent, with 95 % intervals; ${questionsOf(runs)} questions that training never saw.`,
    "",
    ...markdownTable(["seed", "policy", "decoding", "F1", "EM", "searched", "real query", "format"], rows),
    "",
    `Sampling, learning, evaluating and saving, and the largest memory at the end of a step: ${cost.join("; ")}.`,
    "",
    ...curve(runs),
    ...warnings(runs),
    ...written(runs[0]!),
    origin(runs),
  ];
}

function within(share: number, interval: readonly [number, number]): string {
  const [low, high] = interval.map((bound) => (100 * bound).toFixed(1));
  return `${percentOver([share])} (${low}–${high})`;
}

const curveColumns = [
  ["reward", "reward/total", 1],
  ["searched", "search/rate", 100],
  ["queries about the question", "query/on_topic", 100],
  ["queries copied from the prompt", "query/copied", 100],
  ["format", "format/rate", 100],
  ["F1", "answer/f1", 100],
] as const;

/** Of training attempts, two steps in a line: one step has few questions. */
function curve(runs: readonly LearnRun[]): string[] {
  const longest = Math.max(...runs.map(({ steps }) => steps.length));
  if (longest === 0) return [];
  const rows = Array.from({ length: Math.ceil(longest / 2) }, (_, i) => {
    const windows = runs.map(({ steps }) => steps.slice(2 * i, 2 * i + 2));
    const last = Math.min(longest, 2 * i + 2);
    const cells = curveColumns.map(([, key, scale]) => windows.map((lines) => meanText(lines, key, scale)).join(" / "));
    return [`${2 * i + 1}–${last}`, windows[0]?.[0]?.stage ?? "", ...cells];
  });
  return [
    `In training attempts (seed ${runs.map(({ seed }) => seed).join(" / ")}); all but the reward in per cent:`,
    "",
    ...markdownTable(["steps", "stage", ...curveColumns.map(([name]) => name)], rows),
    "",
  ];
}

function meanText(lines: readonly StepLine[], key: string, scale: number): string {
  const values = lines.flatMap((line) => (typeof line[key] === "number" ? [line[key]] : []));
  if (values.length === 0) return "–";
  const mean = (scale * values.reduce((sum, value) => sum + value, 0)) / values.length;
  return mean.toFixed(scale === 1 ? 2 : 0);
}

/** What `train` said beside its steps, each once. */
function warnings(runs: readonly LearnRun[]): string[] {
  const said = runs.flatMap(({ seed, steps }) => {
    const firsts = new Map<string, number>();
    for (const [i, line] of steps.entries()) {
      const metrics = Object.entries(line).filter((entry): entry is [string, number] => typeof entry[1] === "number");
      for (const text of alarms(Object.fromEntries(metrics))) if (!firsts.has(text)) firsts.set(text, i + 1);
    }
    return [...firsts].map(([text, step]) => `- seed ${seed}, step ${step}: ${text}`);
  });
  return said.length > 0 ? ["Warnings of the runs, and the step of the first:", "", ...said, ""] : [];
}

/** Longer writing is cut there: a policy may copy what it read. */
const shownCharacters = 160;

/** Transcripts without the texts of others: of the question its id, of documents their titles. */
function written({ seed, examples, answers }: LearnRun): string[] {
  if (examples.length === 0) return [];
  const said = examples.map(({ checkpoint, decode, attempt }) => {
    const parts = attempt.flatMap(({ author, text }) => (author === "prompt" ? [] : [shown(author, text)]));
    return `| ${policy(checkpoint)} | ${decode} | ${parts.join(" ")} |`;
  });
  const rows = answers.map(({ id, queries, said: answer, gold, f1 }) => [
    id,
    ...[queries.join(" · "), answer, gold.join(" or ")].map((text) => code(text)),
    f1?.toFixed(2) ?? "failed",
  ]);
  return [
    `What seed ${seed} wrote to the first test question (${answers[0]?.id ?? "its file has it"}), documents by their titles:`,
    "",
    ...markdownTable(["policy", "decoding", "written"], []),
    ...said,
    "",
    `And to the first ${answers.length}, greedy, at the end:`,
    "",
    ...markdownTable(["question", "query", "answer", "expected", "F1"], rows),
    "",
  ];
}

function shown(author: string, text: string): string {
  if (author === "policy") return code(text);
  const titles = [...text.matchAll(/^\(\d+\) ([^:\n]+):/gm)].map(([, title]) => title);
  return `*[${titles.length > 0 ? titles.map((title) => cell(title!)).join("; ") : "nothing found"}]*`;
}

function code(text: string): string {
  const flat = text.replace(/\s+/g, " ").trim();
  const cut = flat.length > shownCharacters ? `${flat.slice(0, shownCharacters)}…` : flat;
  return cut === "" ? "" : `\`${cell(cut).replaceAll("`", "'")}\``;
}

const cell = (text: string) => text.replaceAll("|", "\\|");
