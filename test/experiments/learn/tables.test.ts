import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { stringify } from "yaml";
import { insertTables } from "./page.ts";
import { type Provenance, readRuns, stateOf } from "./runs.ts";
import { notMeasured, tablesOf } from "./tables.ts";
import { meanOver } from "./words.ts";

let out: string;
beforeEach(() => {
  out = mkdtempSync(join(tmpdir(), "learn-"));
});
afterEach(() => rmSync(out, { recursive: true, force: true }));

const checkpoints = ["base", "stage-1", "stage-2"];

function write(path: string, content: unknown): void {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
}

const jsonl = (rows: readonly object[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");

const exampleAt = (checkpoint: string) => [
  { author: "prompt", text: "Which river? <think>" },
  { author: "policy", text: ` ${checkpoint} | Lyon river <|end_of_query|>` },
  { author: "search", text: "<|begin_of_documents|>\n(1) Lyon: A city.\n(2) Saône: A river.\n<|end_of_documents|>" },
  { author: "policy", text: `</think> ${"Rhône ".repeat(90)}` },
];
const answerRow = {
  ...{ id: "q1", question: "Which river?", answer: ["Rhône", "Rhone"], pred_ans: "the Rhône", stop: "answered" },
  ...{ queries: ["Lyon river"], realQuery: true, formatOk: true, scores: { em: 1, f1: 1, coverEm: 1 } },
};

/** What `train` and `eval` leave; `em` is after the last step, less before it and in sampling. */
function makeRun(name: string, seed: number, em: number, provenance: Partial<Provenance> = {}): string {
  const data = { source: name.startsWith("smol") ? "file" : "world" };
  const folder = join(out, `${name.replace("ablations/", "")}-${seed}`);
  write(`${folder}.json`, {
    ...{ recipe: name, seed, set: [], jobs: 1, commits: ["abc1234"], machine: "a machine", weights: "00" },
    ...provenance,
  });
  write(
    join(folder, "recipe.yaml"),
    stringify({ data, stages: checkpoints.slice(1).map((name) => ({ name, steps: 1 })) }),
  );
  for (const [i, checkpoint] of checkpoints.entries()) {
    for (const decode of ["greedy", "sampled"]) {
      const own = (em * i) / 2 - (decode === "sampled" && i > 0 ? 0.1 : 0);
      const summary = {
        ...{ checkpoint, decode, n: 499, failed: 1, em: own, searchRate: i / 2, searches: 0.85 * i, formatRate: 1 },
        ...{
          f1: own,
          f1Interval95: [own - 0.05, own + 0.05],
          interval95: [own - 0.04, own + 0.04],
          realQueryRate: 0.45 * i,
        },
        byType: { comparison: 0.5, "1-hop": own, "2-hop": own / 2 },
      };
      write(join(folder, "evals", `${checkpoint}--full-${decode}`, "summary.json"), {
        step: i,
        scope: "full",
        summary,
        example: exampleAt(checkpoint),
      });
      write(join(folder, "evals", `${checkpoint}--full-${decode}`, "results.jsonl"), jsonl([answerRow]));
    }
  }
  write(join(folder, "evals", "base--curve-greedy", "summary.json"), {
    ...{ step: 0, scope: "curve", summary: { checkpoint: "base", decode: "greedy", em: 1, n: 7, byType: {} } },
  });
  const lines = [
    { step: 0, stage: "stage-1", "reward/total": 0.25, "search/rate": 0.5, "query/copied": 0.25 },
    { step: 1, stage: "stage-2", "reward/total": 0.5, "search/rate": 1, "format/rate": 0.9, "query/copied": 0.75 },
    { step: 2 },
  ];
  const timing = [
    { step: 0, sample: 60, learn: 30, rss_bytes: 4e8, tokens_per_second: 999 },
    { step: 1, sample: 30, rss_bytes: 5e8 + seed * 1e6 },
  ];
  write(join(folder, "metrics.jsonl"), jsonl(lines));
  write(join(folder, "timing.jsonl"), jsonl(timing));
  return folder;
}

/** Cells of the line that begins with these. */
function row(text: string, ...first: readonly string[]): string[] {
  const rows = text.split("\n").map((line) => line.slice(2, -2).split(" | "));
  return rows.find((cells) => first.every((cell, i) => cells[i] === cell)) ?? [];
}

test("seeds become mean and sample deviation, each seed keeps its own line, and the origin says how to repeat it", () => {
  makeRun("nano", 0, 0.9);
  makeRun("nano", 1, 0.92, { commits: ["abc1234", "def5678 (dirty)"] });
  const { seeds } = tablesOf(readRuns(out));
  expect(seeds).toContain("Mean ± standard deviation of 2 runs (seeds 0, 1)");
  expect(seeds).toContain("500 questions"); // those that the environment failed were asked too; the curve's 7 are others
  expect(row(seeds, "policy")).toEqual([
    ...["policy", "decoding", "EM", "1-hop", "2-hop", "comparison", "search rate", "searches", "format"],
  ]);
  expect(row(seeds, "base", "greedy").slice(2)).toEqual(["0.0", "0.0", "0.0", "50.0", "0.0", "0.00", "100.0"]);
  expect(row(seeds, "after stage 2", "greedy").slice(2)).toEqual([
    ...["91.0 ± 1.4", "91.0 ± 1.4", "45.5 ± 0.7", "50.0", "100.0", "1.70", "100.0"],
  ]);
  expect(row(seeds, "after stage 2", "sampled")[2]).toBe("81.0 ± 1.4");
  expect(row(seeds, "0")).toEqual(["0", "45.0", "35.0", "90.0", "80.0", "45.0", "2.0", "500 MB"]);
  expect(row(seeds, "1")).toEqual(["1", "46.0", "36.0", "92.0", "82.0", "46.0", "2.0", "501 MB"]);
  expect(seeds).toContain(
    "Command `npm run experiment -- learn --recipe nano --seeds 2`; commit abc1234, def5678 (dirty); a machine.",
  );
});

test("an ablation stands beside the recipe that it changes, with the same seeds", () => {
  for (const [seed, em] of [0.8, 0.9, 0.1].entries()) makeRun("nano", seed, em);
  for (const seed of [0, 1])
    makeRun("ablations/no-search", seed, 0.2, { set: ["eval.every=0", "model=/data/a model"], jobs: 2 });
  const { ablations, seeds } = tablesOf(readRuns(out));
  expect(row(ablations, "nano")).toEqual([
    ...["nano", "0, 1", "85.0 ± 7.1", "85.0 ± 7.1", "42.5 ± 3.5", "50.0", "100.0", "75.0 ± 7.1", "100.0"],
  ]);
  expect(row(ablations, "no-search").slice(0, 4)).toEqual(["no-search", "0, 1", "20.0", "20.0"]);
  expect(ablations).toContain(
    "`npm run experiment -- learn --recipe nano --seeds 2` and `npm run experiment -- learn --recipe ablations/no-search --seeds 2 --jobs 2 --set 'eval.every=0' --set 'model=DIR'`",
  );
  expect(seeds).toContain("of 3 runs");
  expect(seeds).not.toContain("no-search");
});

test("other splits stand beside the usual questions; a measurement that is missing says so", () => {
  const folders = [makeRun("nano", 0, 0.9), makeRun("nano", 1, 0.9)];
  for (const [i, folder] of folders.entries()) {
    // `eval` names what it measured after its folder
    const summary = { checkpoint: "step-000002", decode: "greedy", n: 500, em: 0.6 + 0.1 * i };
    write(join(folder, "splits", "stage-2--3-hop", "summary.json"), summary);
  }
  write(join(folders[0]!, "splits", "base--3-hop", "summary.json"), { checkpoint: "nano", decode: "greedy", em: 0.05 });
  mkdirSync(join(folders[0]!, "splits", "stage-1--3-hop"));
  const { splits } = tablesOf(readRuns(out));
  expect(row(splits, "policy")).toEqual(["policy", "as in training", "3-hop"]);
  expect(row(splits, "base")).toEqual(["base", "0.0", "5.0"]);
  expect(row(splits, "after stage 1")).toEqual(["after stage 1", "45.0", "not measured yet"]);
  expect(row(splits, "after stage 2")).toEqual(["after stage 2", "90.0", "65.0 ± 7.1"]);
});

test("questions of a file have a table of their own, with intervals and a line for each seed", () => {
  makeRun("smol", 0, 0.4);
  makeRun("nano", 0, 0.9);
  const { real, seeds } = tablesOf(readRuns(out));
  expect(row(real, "0", "after stage 2", "greedy")).toEqual([
    ...["0", "after stage 2", "greedy", "40.0 (35.0–45.0)", "40.0 (36.0–44.0)", "100.0", "90.0", "100.0"],
  ]);
  expect(real).toContain("seed 0 2 min, 0.5 GB");
  expect(row(real, "1–2")).toEqual(["1–2", "stage-1", "0.38", "75", "–", "50", "90", "–"]);
  expect(real).toMatch(/\n- seed 0, step 2: more than half of the queries repeat words of the prompt/);
  expect(real).toContain("| base | greedy | `base \\| Lyon river <\\|end_of_query\\|>` *[Lyon; Saône]*");
  expect(real).not.toContain("A city");
  expect(real).not.toContain("Which river?");
  expect(Math.max(...(real.match(/`[^`]*Rhône[^`]*`/g) ?? []).map(({ length }) => length))).toBeLessThan(170);
  expect(row(real, "q1")).toEqual(["q1", "`Lyon river`", "`the Rhône`", "`Rhône or Rhone`", "1.00"]);
  expect(real).not.toContain("### nano");
  expect(seeds).not.toContain("### smol");
});

test("a run that has not come to its end is in no table", () => {
  const folder = makeRun("nano", 0, 0.9);
  expect(stateOf(folder)).toBe("finished");
  writeFileSync(join(folder, "metrics.jsonl"), '{"step":0,"stage":"stage-1"}\n{"step":1,"stage":"stage-2"}\n');
  expect(stateOf(folder)).toBe("unfinished");
  expect(stateOf(join(out, "nano-1"))).toBe("absent");
  expect(tablesOf(readRuns(out))).toEqual({
    seeds: notMeasured,
    ablations: notMeasured,
    splits: notMeasured,
    real: notMeasured,
  });
  expect(readRuns(join(out, "nowhere"))).toEqual([]);
});

test("a page keeps everything but what stands between the markers, however often it is written", () => {
  makeRun("nano", 0, 0.9);
  const page = ["seeds", "ablations", "splits", "real"]
    .map((name) => `before ${name}\n<!-- learn:${name} -->\nold\n<!-- /learn:${name} -->\nafter ${name}`)
    .join("\n");
  const once = insertTables(page, tablesOf(readRuns(out)));
  expect(once).not.toContain("old");
  expect(once).toMatch(/^before seeds\n<!-- learn:seeds -->\n### nano\n/);
  expect(once.endsWith(`\n${notMeasured}\n<!-- /learn:real -->\nafter real`)).toBe(true);
  expect(insertTables(once, tablesOf(readRuns(out)))).toBe(once);
  expect(() => insertTables("no markers", tablesOf([]))).toThrow(/no place for "learn:seeds"/);
});

test("what a page says of recipes without a run stays, with the line that says where it is from", () => {
  const markers = (name: string) => `<!-- learn:${name} -->\n<!-- /learn:${name} -->\n`;
  const empty = ["seeds", "ablations", "splits", "real"].map(markers).join("");
  const write = (page: string) => insertTables(page, tablesOf(readRuns(out)));
  const clear = () => {
    rmSync(out, { recursive: true });
    mkdirSync(out);
  };
  makeRun("nano", 0, 0.9);
  for (const name of ["grpo", "no-search"]) makeRun(`ablations/${name}`, 0, 0.8);
  const first = write(empty);
  clear();
  expect(write(first)).toBe(first); // nothing measured, nothing lost
  makeRun("ablations/no-search", 0, 0.2, { commits: ["def5678"] });
  makeRun("ablations/reward-em", 0, 0.7, { commits: ["def5678"] });
  makeRun("nano-3hop", 0, 0.6);
  const second = write(first);
  expect(second).toMatch(/### nano\n[\s\S]*### nano-3hop\n/);
  const ablations = second.slice(second.indexOf("learn:ablations"), second.indexOf("/learn:ablations"));
  expect([row(ablations, "nano")[2], row(ablations, "grpo")[2]]).toEqual(["90.0", "80.0"]);
  expect([row(ablations, "no-search")[2], row(ablations, "reward-em")[2]]).toEqual(["20.0", "70.0"]);
  expect(ablations.match(/\| no-search \|/g)).toHaveLength(1);
  expect(ablations).toMatch(
    /--recipe nano,ablations\/grpo,ablations\/no-search[^\n]*abc1234[\s\S]*reward-em[^\n]*def5678/,
  );
  clear();
  makeRun("ablations/grpo", 0, 0.5);
  makeRun("nano", 0, 0.5);
  const third = write(second);
  expect(third).not.toMatch(/--recipe ablations\/grpo,ablations\/no-search/); // no row of it is left
  expect(row(third, "reward-em")[2]).toBe("70.0");
});

test("the deviation is that of a sample, and absent where nothing deviates", () => {
  expect(meanOver([1, 2, 3, 4], 2)).toBe("2.50 ± 1.29");
  expect(meanOver([7, undefined], 1)).toBe("7.0");
  expect(meanOver([0.5, 0.5], 1)).toBe("0.5");
  expect(meanOver([undefined], 1)).toBe("not measured yet");
});
