/** @file Whatever is wrong with a model folder, every command that opens it says so in one line, before it computes. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import {
  parameterSpecs,
  parseModelConfig,
  readModelConfig,
  writeModelConfig,
} from "../src/engine/huggingface/model-config.ts";
import { type NamedTensor, safetensorsHeader, writeSafetensors } from "../src/engine/huggingface/safetensors.ts";
import { initialWeights } from "../src/run/pretrain/initial-weights.ts";
import { startCli } from "./support/cli-process.ts";
import { expectRefusal, type Refusal } from "./support/refusal.ts";
import { writeTinyPolicy } from "./support/tiny-policy.ts";

const root = mkdtempSync(join(tmpdir(), "bad-model-"));
const model = join(root, "model");
beforeAll(() => void writeTinyPolicy(model));
afterAll(() => rmSync(root, { recursive: true, force: true }));

type Json = Record<string, unknown>;
const copied = (folder: string) => {
  const policy = join(folder, "policy");
  cpSync(model, policy, { recursive: true });
  return policy;
};
const jsonWith = (name: string, change: (json: Json) => Json) => (folder: string) => {
  const path = join(copied(folder), name);
  writeFileSync(path, JSON.stringify(change(JSON.parse(readFileSync(path, "utf8")) as Json)));
};
const weightsWith = (change: (tensors: NamedTensor[]) => NamedTensor[]) => (folder: string) => {
  const policy = copied(folder);
  writeSafetensors(join(policy, "model.safetensors"), change(initialWeights(readModelConfig(policy), 1)));
};
const damaged = (value: number) =>
  weightsWith((tensors) => {
    tensors.find(({ name }) => name === "model.layers.0.mlp.up_proj.weight")!.data[7] = value;
    return tensors;
  });

const trains = (folder: string, ...more: string[]) => [
  ...["train", "nano-short", "--set", `model=${folder}/policy`, "--out", `${folder}/run`, "--steps", "1", ...more],
];
const scores = (folder: string) => ["model", "logprobs", `${folder}/policy`, "--ids", "1,2,3"];
const describes = (folder: string) => ["model", "info", `${folder}/policy`];
const asks = (folder: string) => ["ask", "--example", "--model", `${folder}/policy`];
const exports = (folder: string) => ["model", "export", `${folder}/policy`, `${folder}/new/out`];

const unknown: Refusal = {
  given: jsonWith("config.json", (json) => ({ ...json, model_type: "mamba", architectures: ["MambaForCausalLM"] })),
  args: trains,
  code: 1,
  says: ['policy/config.json: model_type "mamba" is not supported', /hint: supported: llama .* qwen2 .* qwen3 /],
};
const missing: Refusal = {
  given: weightsWith((tensors) => tensors.filter(({ name }) => name !== "model.norm.weight")),
  args: trains,
  code: 1,
  says: ["/policy lacks model.norm.weight [32]", "is config.json of the same model?"],
};
const notANumber: Refusal = {
  given: damaged(Number.NaN),
  args: trains,
  code: 1,
  says: ["/policy: model.layers.0.mlp.up_proj.weight holds NaN at index 7", "use an earlier copy"],
};

/** A model of 70 billion parameters, all 0, in files that take no room on the disk. */
function writeHugePolicy(folder: string): void {
  const policy = copied(folder);
  const raw = JSON.parse(readFileSync(join(policy, "config.json"), "utf8")) as Json;
  const shape = { hidden_size: 8192, intermediate_size: 28_672, num_hidden_layers: 80, num_attention_heads: 64 };
  const config = parseModelConfig({ ...raw, ...shape, num_key_value_heads: 8 }, "the huge policy");
  writeModelConfig(policy, config, "bf16");
  const file = join(policy, "model.safetensors");
  const tensors = parameterSpecs(config).map(({ name, shape }) => {
    const byteLength = 2 * shape.reduce((product, n) => product * n, 1);
    return { name, shape, dtype: "BF16" as const, byteLength };
  });
  const header = safetensorsHeader(file, tensors, {});
  writeFileSync(file, header);
  truncateSync(file, header.length + tensors.reduce((sum, { byteLength }) => sum + byteLength, 0));
}
const tooLarge: Refusal = {
  given: writeHugePolicy,
  args: trains,
  code: 2,
  says: [
    /the policy needs \d{4}\.\d+ GB of memory \(weights \d{3}\.\d+, .*; \d+\.\d+ GB may be planned for/,
    "take a smaller model",
  ],
};

const cases: Readonly<Record<string, Refusal>> = {
  "more than fits into memory to train": tooLarge,
  "more than fits into memory to ask": {
    ...tooLarge,
    args: asks,
    says: [/the policy needs \d{3}\.\d+ GB of memory/, /hint: ./],
  },
  "more than fits into memory to score with": {
    ...tooLarge,
    args: scores,
    says: [/the policy needs \d{3}\.\d+ GB of memory/, /hint: ./],
  },
  "an unknown architecture to train": unknown,
  "an unknown architecture to describe": { ...unknown, args: describes },
  "an unknown architecture to score with": { ...unknown, args: scores },
  "an unknown architecture to export": { ...unknown, args: exports },
  "a missing tensor to train": missing,
  "a missing tensor to describe": { ...missing, args: describes },
  "a missing tensor to score with": { ...missing, args: scores },
  "an extra tensor": {
    given: weightsWith((tensors) => [
      ...tensors,
      { name: "model.layers.1.extra.weight", shape: [2], data: new Float32Array(2) },
    ]),
    args: trains,
    code: 1,
    says: [
      "/policy holds model.layers.1.extra.weight [2], which a llama model of this config does not have",
      /hint: ./,
    ],
  },
  "a tensor of another shape": {
    given: weightsWith((tensors) =>
      tensors.map((one) => (one.name === "model.norm.weight" ? { ...one, shape: [4, 8] } : one)),
    ),
    args: trains,
    code: 1,
    says: ["/policy: model.norm.weight is [4, 8]; config.json asks for [32]", /hint: ./],
  },
  "weights that are no numbers, to train": notANumber,
  "weights that are no numbers, to score with": { ...notANumber, args: scores },
  "weights that are no numbers, to export": {
    ...notANumber,
    args: exports,
    says: ["model.layers.0.mlp.up_proj.weight holds NaN at index 7", "use another copy"],
    warns: /^(\d+\/100 % .*\n)+$/,
  },
  "infinite weights": {
    given: damaged(Number.NEGATIVE_INFINITY),
    args: trains,
    code: 1,
    says: ["up_proj.weight holds -Infinity at index 7"],
  },
  "a tokenizer that takes the end of a reply for a word": {
    given: jsonWith("config.json", (json) => ({ ...json, eos_token_id: 70 })),
    args: trains,
    code: 1,
    says: [
      /policy\/config\.json ends a reply with id 70, which in .*policy\/tokenizer\.json is the piece "."/,
      "belongs to another model",
    ],
  },
  "a template that throws": {
    given: jsonWith("tokenizer_config.json", (json) => ({
      ...json,
      chat_template: "{{ raise_exception('no system role here') }}",
    })),
    args: (folder) => trains(folder, "--set", "prompt=chat"),
    code: 1,
    says: ["policy/tokenizer_config.json: its chat template fails: no system role here", /hint: ./],
  },
  "a template that throws, to ask with": {
    given: jsonWith("tokenizer_config.json", (json) => ({
      ...json,
      chat_template: "{{ messages[7].content }}{{ 1 + }}",
    })),
    args: (folder) => [...asks(folder), "--prompt", "chat"],
    code: 1,
    says: ["policy/tokenizer_config.json: its chat template fails", /hint: ./],
  },
};

// a file of zeros would fill a Windows disk
const canBeHuge = process.platform !== "win32";
const run = Object.entries(cases).filter(([, { given }]) => canBeHuge || given !== writeHugePolicy);

const patienceMs = 180_000; // they wait for one another

test.concurrent.each(run)(
  "%s",
  (name, refused) => expectRefusal(join(root, name.replaceAll(" ", "-")), refused),
  patienceMs,
);

test("a tape that is full ends its attempt with a stop of its own, and the run goes on", async () => {
  const folder = mkdtempSync(join(root, "full-"));
  copied(folder);
  const more = ["rollout.contextLength=190", "eval.full.questions=2", "eval.curve.questions=2"].flatMap((set) => [
    "--set",
    set,
  ]);
  const end = await startCli(trains(folder, ...more)).ended;
  expect([end.code, end.stderr]).toEqual([0, ""]);
  const trajectories = join(folder, "run", "trajectories");
  const attempts = readdirSync(trajectories)
    .flatMap((name) =>
      gunzipSync(readFileSync(join(trajectories, name)))
        .toString()
        .trim()
        .split("\n"),
    )
    .map((line) => JSON.parse(line) as { stop: string; tokens: number[] });
  const full = attempts.filter(({ stop }) => stop === "context-full");
  expect(full.length).toBeGreaterThan(0);
  for (const { tokens } of full) expect(tokens.length).toBeLessThanOrEqual(190);
});
