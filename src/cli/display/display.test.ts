import { expect, test } from "vitest";
import type { EvalSummary } from "../../run/store/evaluation.ts";
import type { StepProgress } from "../../run/train/progress.ts";
import { createOutput } from "../output.ts";
import { curve } from "./curve.ts";
import { evalTable } from "./eval-table.ts";
import { createLiveLine, createProgressBar } from "./live-line.ts";
import { createTranscriptWriter, formatAttempt } from "./transcript.ts";
import { bytes, duration, percent } from "./words.ts";

const step: StepProgress = {
  ...{ step: 3, steps: 125, stage: "stage 1", etaSeconds: 365, reward: 0.51234 },
  ...{ searchRate: 0.953, f1: 0.25, entropy: 0.4, tokensPerSecond: 1234.6 },
};

function pipe() {
  const stdout = { text: "", write: (text: string) => (stdout.text += text) };
  return { stdout, output: createOutput({ stdout, env: {} }) };
}

function summary(checkpoint: string, em: number, byType: Record<string, number>): EvalSummary {
  return {
    checkpoint,
    decode: "greedy",
    n: 500,
    em,
    f1: em,
    coverEm: em,
    failed: 0,
    interval95: [0.05, 0.1],
    f1Interval95: [0.05, 0.1],
    searchRate: 1,
    realQueryRate: 1,
    searches: 1.5,
    formatRate: 0.99,
    byType,
  };
}

test("a piped run prints one clean line per step", () => {
  const { stdout, output } = pipe();
  const live = createLiveLine(output);
  live.step(step);
  live.say("saved");
  live.step({ ...step, step: 4 });
  live.end();
  const note = "stage 1 · 6 min 05 s left · reward 0.512 · searched 95.3 % · F1 0.250 · entropy 0.40 · 1235 tokens/s";
  expect(stdout.text).toBe(`3/125 steps · ${note}\nsaved\n4/125 steps · ${note}\n`);
});

test("long work that is piped prints about twenty lines", () => {
  const { stdout, output } = pipe();
  const bar = createProgressBar(output, "questions");
  for (let done = 1; done <= 500; done++) bar.update(done, 500, "");
  expect(stdout.text.trimEnd().split("\n").length).toBe(21);
});

test("the table has a row per policy and a column per type, with a dash where a type was not asked", () => {
  const table = evalTable(
    [summary("base", 0.074, { "1-hop": 0 }), summary("stage-2", 0.912, { "2-hop": 0.86 })],
    false,
  );
  const rows = table.split("\n");
  expect(rows.find((row) => row.includes("base"))).toMatch(/500.*7\.4 %.*0\.0 %.*–/);
  expect(rows.find((row) => row.includes("after stage 2"))).toMatch(/91\.2 %.*–.*86\.0 %/);
  expect(table).not.toContain("\u001b");
});

test("a curve fits the columns and survives one value, many and none", () => {
  const drawn = curve(
    "reward",
    Array.from({ length: 1000 }, (_, i) => i / 1000),
    80,
  );
  expect(Math.max(...drawn.split("\n").map((line) => line.length))).toBeLessThanOrEqual(80);
  expect(curve("reward", [1])).toContain("1.00");
  expect(curve("reward", [])).toBe("reward: no data");
});

test("a transcript names the author of every line", () => {
  const texts = [
    ["prompt", "Q?\n"],
    ["policy", "I search."],
    ["search", "\n(1) x\ny\n\n"],
    ["policy", "done"],
  ] as const;
  const attempt = texts.map(([author, text]) => ({ author, text }));
  expect(formatAttempt(attempt, false)).toBe(
    ["prompt │ Q?", "policy │ I search.", "search │ (1) x", "search │ y", "policy │ done"].join("\n"),
  );
});

test("streamed pieces of one author join into lines, and colour tells authors apart", () => {
  const pieces: string[] = [];
  const writer = createTranscriptWriter((text) => pieces.push(text), true);
  for (const text of ["Let", " me\nsee"]) writer.write("policy", text);
  writer.write("search", "\u001b[2Jtext");
  writer.end();
  const text = pieces.join("");
  const [green, cyan] = ["\u001b[32m", "\u001b[36m"];
  expect(text).toContain(`${green}policy │ `);
  expect(text).toContain(`${cyan}␛[2Jtext`);
  expect(text.split("\n").length).toBe(4);
});

test("numbers read as people write them", () => {
  expect([0.4, 59.4, 365, 7380].map(duration)).toEqual(["0 s", "59 s", "6 min 05 s", "2 h 03 min"]);
  expect([0.9535, undefined, Number.NaN].map(percent)).toEqual(["95.3 %", "–", "–"]);
  expect([12, 1500, 1.5e9].map(bytes)).toEqual(["12 B", "1.5 kB", "1.5 GB"]);
});
