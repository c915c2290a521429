/** @file The picture of a run shows what the run's files say. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { drawRun, readRun } from "../scripts/picture.ts";

const folder = mkdtempSync(join(tmpdir(), "picture-"));
afterAll(() => rmSync(folder, { recursive: true }));

function saveEvaluation(name: string, step: number, scope: "curve" | "full", em: number, answer: string) {
  const [checkpoint] = name.split("--");
  const example = [
    { author: "prompt", text: "Question: Which river?\n<think>" },
    { author: "policy", text: answer },
  ];
  mkdirSync(join(folder, "evals", name), { recursive: true });
  const summary = { checkpoint, decode: "greedy", n: 500, em };
  writeFileSync(join(folder, "evals", name, "summary.json"), JSON.stringify({ step, scope, summary, example }));
}

const line = (step: number, searchRate: number) =>
  JSON.stringify({ step, stage: step < 2 ? "stage-1" : "stage-2", "search/rate": searchRate, "answer/f1": 0.5 });

test("a finished run gives its curves, its scores and both answers, as well-formed text", () => {
  writeFileSync(join(folder, "metrics.jsonl"), `${[0, 0.5, 1, 1].map((rate, i) => line(i, rate)).join("\n")}\n`);
  saveEvaluation("base--curve-greedy", 0, "curve", 0.1, "");
  saveEvaluation("base--full-greedy", 0, "full", 0.088, " Tolgur & co");
  expect(() => drawRun(readRun(folder))).toThrow("before and after training");
  saveEvaluation("stage-2--curve-greedy", 4, "curve", 1, "");
  saveEvaluation("stage-2--full-greedy", 4, "full", 0.934, " Let me find it.<|begin_of_query|>");

  const svg = drawRun(readRun(folder));
  expect(svg).toContain("base 8.8 % · stage-2 93.4 %");
  expect(svg).toContain("Tolgur &amp; co");
  expect(svg).toContain("Let me find it.&lt;|begin_of_query|&gt;");
  const [searchRate] = [...svg.matchAll(/polyline points="([^"]+)"/g)].map(([, points]) => points!.split(" "));
  expect(searchRate).toEqual(["60,322", "215,207", "370,92", "525,92"]);
  expect(svg.match(/<circle /g)).toHaveLength(2);
});

test("the picture in the README is of a run that learnt", () => {
  const svg = readFileSync(new URL("../docs/pictures/nano.svg", import.meta.url), "utf8");
  const last = Number(svg.match(/stage-2 (\d+\.\d) %/)?.[1]);
  expect(last).toBeGreaterThanOrEqual(90);
});
