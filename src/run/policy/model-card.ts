/**
 * @file README.md of a folder with a trained model, as a model card of the Hub: what it is, how it was made, and its
 * results.
 */
import { isAbsolute, join } from "node:path";
import { stringify } from "yaml";
import { writeDurably } from "../../base/files.ts";
import { markdownTable } from "../../base/marked-page.ts";
import { describeProgram } from "../../base/package.ts";
import { readSource } from "../../engine/huggingface/hub/get-model.ts";
import type { SavedEvaluation, StepLine } from "../store/run-folder.ts";

export interface Origin {
  /** ORG/NAME on a hub, or the name of a folder. */
  readonly model: string;
  readonly commit: string | undefined;
  readonly license: string | undefined;
}

export interface CardFacts {
  readonly name: string;
  /** One sentence on what it is and how it was trained. */
  readonly about: string;
  readonly origin: Origin | undefined;
  /** The library that opens it. */
  readonly library: "transformers" | "peft";
  /** The command that trains such a model again, with `recipe` as recipe.yaml. */
  readonly command: string;
  /** With all defaults. */
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly evaluations: readonly SavedEvaluation[];
  /** Metrics of its last steps. */
  readonly metrics: readonly StepLine[];
}

/** Number of steps averaged as "the end of training". */
const lastSteps = 10;
const shownMetrics: readonly (readonly [string, string])[] = [
  ["reward/total", "reward"],
  ["answer/f1", "F1"],
  ["answer/em", "EM"],
  ["search/rate", "searched"],
  ["search/per_trajectory", "searches per attempt"],
  ["format/rate", "well-formed"],
  ["policy/entropy", "entropy (nats)"],
];

/** The source of the model that a run starts from. */
export function originOf(directory: string): Origin {
  const source = readSource(directory);
  const name = directory.split(/[\\/]/).filter(Boolean).at(-1) ?? directory;
  return { model: source?.repo ?? name, commit: source?.commit, license: source?.license };
}

export function writeModelCard(directory: string, facts: CardFacts): void {
  writeDurably(join(directory, "README.md"), modelCard(facts, describeProgram()));
}

/** @param made the program that made it, with version and commit */
export function modelCard(facts: CardFacts, made: string): string {
  return `---\n${stringify(frontMatter(facts))}---\n\n${body(facts, made)}`;
}

function frontMatter({ name, origin, library, evaluations }: CardFacts): object {
  const isOnHub = origin?.model.includes("/") ?? false;
  const results = lastOfEach(evaluations).map(({ summary }) => ({
    task: { type: "question-answering", name: "Question answering with search" },
    dataset: { type: "custom", name: `${summary.n} held-out questions, ${summary.decode}` },
    metrics: [
      { type: "exact_match", value: summary.em },
      { type: "f1", value: summary.f1 },
    ],
  }));
  return {
    library_name: library,
    pipeline_tag: "text-generation",
    ...(origin?.license ? { license: origin.license } : {}),
    ...(isOnHub ? { base_model: origin!.model } : {}),
    tags: ["r1-searcher", "reinforcement-learning", "search"],
    ...(results.length > 0 ? { "model-index": [{ name, results }] } : {}),
  };
}

function body({ name, about, origin, command, recipe, seed, evaluations, metrics }: CardFacts, made: string): string {
  const from = origin ? ` It started from ${origin.model}${origin.commit ? ` at commit ${origin.commit}` : ""}.` : "";
  const parts = [
    `# ${name}`,
    about + from,
    `Made by ${made}, with seed ${seed}, from the recipe below:\n\n\`\`\`sh\n${command}\n\`\`\``,
    "`r1_searcher.json` says how to put a question to it: the prompt, the tags of searches and answers, the limits of an attempt.",
    ...(evaluations.length > 0 ? [`## Held-out questions\n\n${evaluationTable(evaluations)}`] : []),
    ...(metrics.length > 0 ? [`## At the end of training\n\n${metricTable(metrics)}`] : []),
    `## recipe.yaml\n\n\`\`\`yaml\n${stringify(withoutPlaces(recipe)).trimEnd()}\n\`\`\``,
  ];
  return `${parts.join("\n\n")}\n`;
}

/** Removes folder names, which are private to a machine; file names stay. */
function withoutPlaces(value: unknown): unknown {
  if (typeof value === "string") return isAbsolute(value) ? value.split(/[\\/]/).slice(-2).join("/") : value;
  if (Array.isArray(value)) return value.map(withoutPlaces);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutPlaces(item)]));
}

/** The last evaluation for each decoding mode. */
function lastOfEach(evaluations: readonly SavedEvaluation[]): SavedEvaluation[] {
  const full = evaluations.filter(({ scope }) => scope === "full");
  return [...new Map(full.map((one) => [one.summary.decode, one])).values()];
}

function evaluationTable(evaluations: readonly SavedEvaluation[]): string {
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const rows = evaluations
    .filter(({ scope }) => scope === "full")
    .map(({ step, summary: { checkpoint, decode, n, em, interval95, f1, searchRate, formatRate, failed } }) => [
      ...[checkpoint, String(step), decode, String(n), `${percent(em)} (${interval95.map(percent).join(" – ")})`],
      ...[percent(f1), percent(searchRate), percent(formatRate), String(failed)],
    ]);
  const head = [
    "policy",
    "steps",
    "writes",
    "questions",
    "EM (95 %)",
    "F1",
    "searched",
    "well-formed",
    "failed outside",
  ];
  return markdownTable(head, rows).join("\n");
}

function metricTable(metrics: readonly StepLine[]): string {
  const last = metrics.slice(-lastSteps);
  const rows = shownMetrics.flatMap(([key, words]) => {
    const values = last.flatMap((line) => (typeof line[key] === "number" ? [line[key]] : []));
    if (values.length === 0) return [];
    return [[words, (values.reduce((sum, value) => sum + value, 0) / values.length).toFixed(3)]];
  });
  return markdownTable([`mean of training attempts, last ${last.length} steps`, ""], rows).join("\n");
}
