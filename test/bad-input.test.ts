/**
 * @file Whatever is wrong with what the command line is given, it says so in one line that names the file, the key or
 * the value and in one that says what to do, ends with a code that is not 0, and leaves every folder as it found it.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startCli } from "./support/cli-process.ts";
import { expectRefusal, fewAtOnce, type Refusal } from "./support/refusal.ts";
import { writeTinyPolicy } from "./support/tiny-policy.ts";

const root = mkdtempSync(join(tmpdir(), "bad-input-"));
const model = join(root, "model");
const finished = join(root, "finished");
const short = ["--steps", "1", "--set", "eval.full.questions=2", "--set", "eval.curve.questions=2"];
const trains = (out: string, ...more: string[]) => [
  "train",
  "nano-short",
  "--set",
  `model=${model}`,
  "--out",
  out,
  ...short,
  ...more,
];

beforeAll(async () => {
  writeTinyPolicy(model);
  const { code, stderr } = await startCli(trains(finished)).ended;
  expect([code, stderr]).toEqual([0, ""]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const write = (name: string, text: string) => (folder: string) => writeFileSync(join(folder, name), text);
const all =
  (...steps: ((folder: string) => void)[]) =>
  (folder: string) => {
    for (const step of steps) step(folder);
  };
/** The policy with one of its files made anew, or removed. */
const policyWith = (name: string, change: (content: Buffer) => Buffer | undefined) => (folder: string) => {
  cpSync(model, join(folder, "policy"), { recursive: true });
  const path = join(folder, "policy", name);
  const changed = change(readFileSync(path));
  if (changed) writeFileSync(path, changed);
  else rmSync(path);
};
const withPolicy = (folder: string) => [
  "train",
  "nano-short",
  "--set",
  `model=${folder}/policy`,
  "--out",
  `${folder}/run`,
];
const passage = '{"id":"a","title":"Ada","text":"wrote the first program"}\n';
const question = '{"question":"Who?","answer":"Ada"}\n';
const existing = (folder: string) => cpSync(finished, join(folder, "run"), { recursive: true });
const fromFiles = (folder: string) => [
  ...["--set", "data.source=file", "--set", "search.source=corpus", "--set", `search.path=${folder}/corpus.jsonl`],
  ...["--set", `eval.file=${folder}/questions.jsonl`],
  ...["--set", `stages=[{"name":"a","steps":1,"reward":"fixed/stage-1","file":"${folder}/questions.jsonl"}]`],
];
const evals = (folder: string, benchmark: string, index: string, ...more: string[]) => [
  ...["eval", model, "--benchmark", join(folder, benchmark), "--index", join(folder, index), ...more],
];

const recipes: Record<string, Refusal> = {
  "an unknown recipe": {
    args: () => ["train", "nanno"],
    code: 2,
    says: ['no recipe "nanno"', "did you mean nano?"],
  },
  "a recipe that is not YAML": {
    given: write("r.yaml", "name: a\nstages: [\n"),
    args: (folder) => ["train", `${folder}/r.yaml`, "--out", `${folder}/run`],
    code: 2,
    says: [/r\.yaml:\d is not YAML/],
  },
  "an unknown key": {
    args: (folder) => trains(`${folder}/run`, "--set", "optimiser.warmupSteps=3"),
    code: 2,
    says: ["nano-short.yaml", "unknown key optimiser", "did you mean optimizer?"],
  },
  "a value of another kind": {
    args: (folder) => trains(`${folder}/run`, "--set", "rollout.k=many"),
    code: 2,
    says: ["nano-short.yaml", 'rollout.k is "many"'],
  },
};

const policies: Record<string, Refusal> = {
  "no policy there": {
    args: (folder) => withPolicy(folder),
    code: 2,
    says: ["/policy holds neither a model nor a run", "config.json"],
  },
  "weights cut short": {
    given: policyWith("model.safetensors", (content) => content.subarray(0, content.length >> 1)),
    args: withPolicy,
    code: 1,
    says: ["policy/model.safetensors is not a whole safetensors file", /ends at byte \d+ of \d+/, "download it again"],
  },
  "weights that are none": {
    given: policyWith("model.safetensors", () => Buffer.alloc(100)),
    args: withPolicy,
    code: 1,
    says: ["policy/model.safetensors is not a whole safetensors file", "its header cannot be read"],
  },
  "no weights": {
    given: policyWith("model.safetensors", () => undefined),
    args: withPolicy,
    code: 1,
    says: ["policy has neither model.safetensors nor", "name a folder with a Hugging Face model"],
  },
  "a tokenizer with ids beyond the vocabulary": {
    given: policyWith("tokenizer.json", (content) => {
      const json = JSON.parse(content.toString()) as { model: { vocab: Record<string, number> } };
      json.model.vocab["zzzz"] = 99_999;
      return Buffer.from(JSON.stringify(json));
    }),
    args: withPolicy,
    code: 1,
    says: ["policy/tokenizer.json has ids up to 99999", /vocabulary of \d{3}$/m, "belongs to another model"],
  },
};

const texts: Record<string, Refusal> = {
  "a corpus with a bad row": {
    given: write("corpus.jsonl", `${passage}{"id":"b","title":"Bob"}\n`),
    args: (folder) => ["index", "build", `${folder}/corpus.jsonl`, "--out", `${folder}/index`],
    code: 1,
    says: ["corpus.jsonl:2: neither text nor contents"],
  },
  "an empty corpus": {
    given: write("corpus.tsv", "id\ttitle\ttext\n"),
    args: (folder) => ["index", "build", `${folder}/corpus.tsv`, "--out", `${folder}/new/index`],
    code: 1,
    says: ["corpus.tsv holds no passage", "at least one row"],
  },
  "an empty corpus to train on": {
    given: all(write("corpus.jsonl", ""), write("questions.jsonl", question)),
    args: (folder) => trains(`${folder}/run`, ...fromFiles(folder)),
    code: 1,
    says: ["corpus.jsonl holds no passage"],
  },
  "an empty index": {
    given: (folder) => mkdirSync(join(folder, "index")),
    args: (folder) => ["index", "search", `${folder}/index`, "word"],
    code: 1,
    says: ["/index is not an index", "index build"],
  },
  "an empty index to evaluate with": {
    given: all(write("q.jsonl", question), (folder) => mkdirSync(join(folder, "index"))),
    args: (folder) => evals(folder, "q.jsonl", "index", "--out", `${folder}/kept`),
    code: 1,
    says: ["/index is not an index", "index build"],
  },
  "a question without gold": {
    given: write("q.jsonl", `${question}{"question":"Who else?","answer":""}\n`),
    args: (folder) => evals(folder, "q.jsonl", "index"),
    code: 1,
    says: ["q.jsonl:2: no gold answer", "correct or remove"],
  },
  "a question without gold to train on": {
    given: all(write("corpus.jsonl", passage), write("questions.jsonl", '{"question":"Who?"}\n')),
    args: (folder) => trains(`${folder}/run`, ...fromFiles(folder)),
    code: 1,
    says: ["questions.jsonl:1: no gold answer"],
  },
  "no question at all": {
    given: write("q.jsonl", "\n"),
    args: (folder) => evals(folder, "q.jsonl", "index"),
    code: 1,
    says: ["q.jsonl holds no question"],
  },
};

const places: Record<string, Refusal> = {
  "a run below a file": {
    given: write("file", ""),
    args: (folder) => trains(`${folder}/file/run`),
    code: 2,
    says: ["/file/run cannot be written", "--out"],
  },
  "an index below a file": {
    given: all(write("file", ""), write("corpus.jsonl", passage)),
    args: (folder) => ["index", "build", `${folder}/corpus.jsonl`, "--out", `${folder}/file/inner/index`],
    code: 2,
    says: ["/file/inner cannot be written", "--out"],
  },
  "predictions below a file": {
    given: write("file", ""),
    args: (folder) => ["eval", model, "--benchmark", "world", "--questions", "2", "--out", `${folder}/file/kept`],
    code: 2,
    says: ["/file/kept cannot be written", "--out"],
  },
  "a folder that holds something else": {
    given: all((folder) => mkdirSync(join(folder, "run")), write("run/thesis.txt", "x")),
    args: (folder) => trains(`${folder}/run`),
    code: 2,
    says: ["/run is not empty and holds no run", "--out"],
  },
  "a run that is there": {
    given: existing,
    args: (folder) => trains(`${folder}/run`),
    code: 2,
    says: ["/run holds a run already", "--resume"],
  },
  "a resume with another recipe": {
    given: existing,
    args: (folder) => trains(`${folder}/run`, "--resume", "--set", "seed=3", "--set", "rollout.k=3"),
    code: 2,
    says: ["recipe.yaml", "seed: 0 → 3; rollout.k: 2 → 3", "--out"],
  },
  "a resume where no checkpoint is whole": {
    given: all(existing, (folder) => {
      const checkpoints = join(folder, "run", "checkpoints");
      for (const name of readdirSync(checkpoints)) rmSync(join(checkpoints, name, "optimizer-0.safetensors"));
    }),
    args: (folder) => trains(`${folder}/run`, "--resume"),
    code: 1,
    says: ["no checkpoint in", "optimizer-0.safetensors", "restore one from a copy"],
    warns: /^memory: .*\n(checkpoint .* is damaged .*; trying the one before it\n)+$/,
  },
};

const cases = { ...recipes, ...policies, ...texts, ...places };

const patienceMs = 180_000; // they wait for one another

test.concurrent.each(Object.entries(cases))(
  "%s",
  (name, refused) => expectRefusal(join(root, name.replaceAll(" ", "-")), refused),
  patienceMs,
);

// a recursive mkdir never returns there, and permissions do not bind an administrator
test.concurrent("a run below /proc", async ({ skip }) => {
  skip(!existsSync("/proc/self"), "this system has no /proc");
  const { code, stderr } = await fewAtOnce(() => startCli(trains("/proc/run")).ended);
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^error: \/proc\/run cannot be written.*\nhint: .+\n$/)]);
});
