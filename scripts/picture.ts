/**
 * @file Draws a finished run as an SVG: its learning curves, and one question answered before and after training.
 * Usage: npx tsx scripts/picture.ts runs/nano docs/pictures/nano.svg
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { ShownAttempt } from "../src/run/store/evaluation.ts";

/** The parts of `evals/<name>/summary.json` that are drawn. */
interface Evaluation {
  readonly step: number;
  readonly scope: "curve" | "full";
  readonly summary: { readonly checkpoint: string; readonly decode: string; readonly n: number; readonly em: number };
  readonly example?: ShownAttempt;
}

export interface DrawnRun {
  /** One entry per training step, in order; shares are between 0 and 1. */
  readonly steps: readonly { readonly stage: string; readonly searchRate: number; readonly f1: number }[];
  readonly evaluations: readonly Evaluation[];
}

type Point = readonly [x: number, y: number];

const width = 920;
const plot = { left: 60, top: 92, width: 620, height: 230 };
const lineHeight = 17;
const charactersPerLine = 108;
const colours = { prompt: "#6e7781", policy: "#1a7f37", search: "#0969da", tool: "#0969da" };
const series = { em: "#cf222e", searchRate: "#0969da", f1: "#1a7f37" };

export function readRun(folder: string): DrawnRun {
  const json = (path: string) => JSON.parse(readFileSync(join(folder, path), "utf8"));
  const lines = readFileSync(join(folder, "metrics.jsonl"), "utf8").trim().split("\n");
  return {
    steps: lines
      .map((line) => JSON.parse(line))
      .filter(({ stage }) => stage !== undefined)
      .map((line) => ({ stage: line.stage, searchRate: line["search/rate"], f1: line["answer/f1"] })),
    evaluations: readdirSync(join(folder, "evals"))
      .map((name): Evaluation => json(`evals/${name}/summary.json`))
      .filter(({ summary }) => summary.decode === "greedy")
      .sort((one, other) => one.step - other.step),
  };
}

/** @throws Error where the run has no evaluation before and after training, so there is nothing to compare */
export function drawRun(run: DrawnRun): string {
  const full = run.evaluations.filter(({ scope }) => scope === "full");
  const [before, after] = [full[0], full.at(-1)];
  if (!before?.example || !after?.example || full.length < 2)
    throw new Error("the run has no evaluation before and after training: let it finish");
  const transcript = [
    ...transcriptLines("before training", before.example),
    "",
    ...transcriptLines("after training", after.example.slice(1)),
  ];
  const transcriptTop = plot.top + plot.height + 84;
  const height = transcriptTop + transcript.length * lineHeight + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" font-family="system-ui, 'DejaVu Sans', sans-serif" font-size="13" fill="#1f2328">`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    ...title(full),
    ...axes(run),
    ...curves(run),
    '<g font-family="ui-monospace, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="12">',
    ...transcript.map((line, i) => line && `<text y="${transcriptTop + i * lineHeight}">${line}</text>`),
    "</g>",
    "</svg>",
    "",
  ].join("\n");
}

function title(full: readonly Evaluation[]): string[] {
  const scores = full.map(({ summary: { checkpoint, em } }) => `${checkpoint} ${percent(em)}`);
  return [
    text(24, 32, "A model learns to search", 'font-size="19" font-weight="600"'),
    text(24, 56, `Exact match on ${full[0]!.summary.n} questions of unseen worlds, greedy: ${scores.join(" · ")}`),
  ];
}

function axes({ steps }: DrawnRun): string[] {
  const { left, top, width: w, height: h } = plot;
  const marks: string[] = [];
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    const [, y] = place(steps.length, 0, share);
    marks.push(`<path d="M${left} ${y}H${left + w}" stroke="#d0d7de"/>`);
    marks.push(text(left - 8, y + 4, `${share * 100} %`, 'text-anchor="end"'));
  }
  for (let step = 0; step <= steps.length; step += 25)
    marks.push(text(place(steps.length, step, 0)[0], top + h + 20, String(step), 'text-anchor="middle"'));
  marks.push(text(left + w / 2, top + h + 40, "training step", 'text-anchor="middle"'));
  for (const [i, { stage }] of steps.entries()) {
    if (stage === steps[i - 1]?.stage) continue;
    const [x] = place(steps.length, i, 0);
    if (i > 0) marks.push(`<path d="M${x} ${top}V${top + h}" stroke="#8c959f" stroke-dasharray="4 4"/>`);
    marks.push(text(x + 6, top - 8, stage, 'fill="#57606a"'));
  }
  return marks;
}

function curves({ steps, evaluations }: DrawnRun): string[] {
  const measured = evaluations.filter(({ scope }) => scope === "curve");
  const em = measured.map(({ step, summary }) => place(steps.length, step, summary.em));
  const searchRate = steps.map((step, i) => place(steps.length, i, step.searchRate));
  const f1 = steps.map((step, i) => place(steps.length, i, step.f1));
  return [
    polyline(searchRate, series.searchRate, 1.5),
    polyline(f1, series.f1, 1.5),
    polyline(em, series.em, 2.5),
    ...em.map(([x, y]) => `<circle cx="${x}" cy="${y}" r="4" fill="${series.em}"/>`),
    ...legend(0, series.em, "exact match,", `greedy, ${measured[0]?.summary.n ?? 0} unseen questions`),
    ...legend(1, series.searchRate, "attempts that search,", "sampled, in training"),
    ...legend(2, series.f1, "F1 of the answers,", "sampled, in training"),
  ];
}

function legend(row: number, colour: string, name: string, how: string): string[] {
  const [x, y] = [plot.left + plot.width + 18, plot.top + 24 + row * 52];
  return [
    `<path d="M${x} ${y - 4}h18" stroke="${colour}" stroke-width="3"/>`,
    text(x + 24, y, name),
    text(x + 24, y + 17, how, 'fill="#57606a" font-size="12"'),
  ];
}

/** Every line begins with who wrote it, as on the terminal. */
function transcriptLines(heading: string, attempt: ShownAttempt): string[] {
  const lines = [`<tspan x="24" font-weight="600">${heading}</tspan>`];
  for (const { author, text } of attempt) {
    const fill = `fill="${colours[author]}"`;
    for (const [i, line] of text.trim().split("\n").flatMap(wrap).entries())
      lines.push(
        `<tspan x="24" ${fill}>${i === 0 ? author : ""}</tspan><tspan x="78" ${fill}>│ ${escapeXml(line)}</tspan>`,
      );
  }
  return lines;
}

function wrap(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1)!;
    if (last !== "" && last.length + 1 + word.length > charactersPerLine) lines.push(word);
    else lines[lines.length - 1] = last === "" ? word : `${last} ${word}`;
  }
  return lines;
}

function place(steps: number, step: number, share: number): Point {
  const { left, top, width: w, height: h } = plot;
  return [round(left + (w * step) / steps), round(top + h * (1 - share))];
}

const round = (value: number) => Math.round(value * 10) / 10;
const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
const escapeXml = (raw: string) => raw.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
const text = (x: number, y: number, words: string, attributes = "") =>
  `<text x="${x}" y="${y}" ${attributes}>${escapeXml(words)}</text>`;
const polyline = (points: readonly Point[], colour: string, thickness: number) =>
  `<polyline points="${points.map((point) => point.join(",")).join(" ")}" fill="none" stroke="${colour}" stroke-width="${thickness}"/>`;

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [, , run, file] = process.argv;
  if (run === undefined || file === undefined)
    throw new Error("name the run and the picture: npx tsx scripts/picture.ts runs/nano docs/pictures/nano.svg");
  writeFileSync(file, drawRun(readRun(run)));
}
