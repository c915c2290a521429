/** @file What a run leaves and what is exported of it: folders and files that other programs open, and the card in them. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gguf } from "@huggingface/gguf";
import { afterAll, beforeAll, expect, test } from "vitest";
import { parse } from "yaml";
import { parameterSpecs, readModelConfig, sizeOf } from "../src/engine/huggingface/model-config.ts";
import { rotaryFrequencies } from "../src/engine/huggingface/rope.ts";
import { openWeights, writeSafetensors } from "../src/engine/huggingface/safetensors.ts";
import { loadTokenizer } from "../src/engine/huggingface/tokenizer.ts";
import { exportModel } from "../src/run/policy/run-model-export.ts";
import { type Cutting, randomModels, writeCuttingTokenizer, writeRandomModel } from "./parity/random-models.ts";
import { packageFolder, startCli } from "./support/cli-process.ts";
import { writeTinyPolicy } from "./support/tiny-policy.ts";

const root = mkdtempSync(join(tmpdir(), "model-export-"));
const [model, run] = [join(root, "model"), join(root, "run")];
let places = 0;
const newPath = () => join(root, `out-${places++}`);

beforeAll(async () => {
  writeTinyPolicy(model);
  const source = {
    endpoint: "http://127.0.0.1:1",
    repo: "org/tiny",
    revision: "main",
    commit: "a".repeat(40),
    license: "mit",
  };
  writeFileSync(join(model, "r1_searcher_source.json"), JSON.stringify(source));
  const settings = ["rollout.maxTokens=20", "eval.full.questions=2", "eval.curve.questions=2", "seed=5"];
  const sets = [`model=${model}`, ...settings].flatMap((set) => ["--set", set]);
  const program = join(packageFolder, "bin", "r1-searcher.js"); // the card names the commit of the sources
  const { code, stderr } = await startCli(["train", "nano-short", "--steps", "1", "--out", run, ...sets], { program })
    .ended;
  expect([code, stderr]).toEqual([0, ""]);
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

async function weightsOf(path: string): Promise<Map<string, Float32Array>> {
  const config = readModelConfig(path);
  const file = await openWeights(path, config);
  const all = new Map<string, Float32Array>();
  for (const spec of parameterSpecs(config)) {
    const numbers = new Float32Array(sizeOf(spec.shape));
    await file.read(spec.name, numbers);
    all.set(spec.name, numbers);
  }
  await file.close();
  return all;
}
const cardOf = (folder: string) => {
  const [, front = "", body = ""] = /^---\n(.*?)\n---\n(.*)$/s.exec(readFileSync(join(folder, "README.md"), "utf8"))!;
  return { front: parse(front) as Record<string, unknown>, body };
};
const newest = () => join(run, "checkpoints", readdirSync(join(run, "checkpoints")).sort().at(-1)!);

test("every checkpoint has a card: where it came from, how it was made, its numbers, no path of this machine", () => {
  const { front, body } = cardOf(newest());
  expect(front).toMatchObject({ library_name: "transformers", base_model: "org/tiny", license: "mit" });
  const commit = execFileSync("git", ["rev-parse", "--short=12", "HEAD"], {
    cwd: packageFolder,
    encoding: "utf8",
  }).trim();
  for (const text of [
    "# nano-short-step-2",
    "2 steps of reinforcement learning",
    `at commit ${"a".repeat(40)}`,
    "with seed 5",
  ])
    expect(body).toContain(text);
  expect(body).toMatch(new RegExp(`Made by r1-searcher \\d+\\.\\d+\\.\\d+, commit ${commit}`));
  expect(body).toContain("npx r1-searcher train recipe.yaml");
  expect(body).toMatch(/\| base \| 0 \| greedy \| 2 \| \d+\.\d % \(/);
  expect(body).toMatch(/last 2 steps.*\n.*\n\| reward \| -?\d+\.\d{3} \|/);
  expect(body).toContain("seed: 5");
  expect(readFileSync(join(newest(), "README.md"), "utf8")).not.toContain(root);
});

test("the export of a run has a card with the measurements of that very policy", async () => {
  const out = newPath();
  await exportModel({ policy: run, out, format: "hf", dtype: "f32" });
  const { front, body } = cardOf(out);
  expect(body).toMatch(/\| stage-2 \| 2 \| greedy \| 2 \|/);
  const summary = JSON.parse(readFileSync(join(run, "evals", "stage-2--full-greedy", "summary.json"), "utf8"));
  const [index] = front["model-index"] as { results: { metrics: { type: string; value: number }[] }[] }[];
  expect(index!.results[0]!.metrics).toContainEqual({ type: "f1", value: summary.summary.f1 });
  expect(await weightsOf(out)).toEqual(await weightsOf(newest()));
  expect(existsSync(join(out, "r1_searcher.json"))).toBe(true);
  expect(readdirSync(out).some((name) => /optimizer|cursor|manifest|tmp/.test(name))).toBe(false);
});

test.each(["f32", "bf16", "f16"] as const)(
  "a folder in %s, in shards, loads as what that format holds; config.json says so",
  async (dtype) => {
    const out = newPath();
    await exportModel({ policy: model, out, format: "hf", dtype, maxShardBytes: 8000 });
    const names = readdirSync(out);
    expect(names).toContain("model.safetensors.index.json");
    expect(names.filter((name) => name.endsWith(".safetensors")).length).toBeGreaterThan(2);
    const config = JSON.parse(readFileSync(join(out, "config.json"), "utf8")) as { torch_dtype: string };
    expect(config.torch_dtype).toBe({ f32: "float32", bf16: "bfloat16", f16: "float16" }[dtype]);
    const [before, after] = [await weightsOf(model), await weightsOf(out)];
    const precision = { f32: 0, bf16: 2 ** -8, f16: 2 ** -11 }[dtype];
    for (const [name, numbers] of before)
      for (const [i, x] of numbers.entries())
        expect(Math.abs(after.get(name)![i]! - x)).toBeLessThanOrEqual(
          Math.max(precision * Math.abs(x), precision && 2 ** -25),
        );
    await loadTokenizer(out);
  },
);

test("generation_config.json goes along; without one, what config.json says of the end of a reply becomes one", async () => {
  const bare = newPath();
  writeTinyPolicy(bare);
  const [config, generation] = [join(bare, "config.json"), join(bare, "generation_config.json")];
  const { eos_token_id: end } = JSON.parse(readFileSync(generation, "utf8")) as { eos_token_id: number };
  writeFileSync(generation, JSON.stringify({ eos_token_id: [end], temperature: 0.6 }));
  const kept = newPath();
  await exportModel({ policy: bare, out: kept, format: "hf", dtype: "f32" });
  expect(JSON.parse(readFileSync(join(kept, "generation_config.json"), "utf8"))).toEqual({
    eos_token_id: [end],
    temperature: 0.6,
  });
  rmSync(generation);
  writeFileSync(config, JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), eos_token_id: end }));
  const made = newPath();
  await exportModel({ policy: bare, out: made, format: "hf", dtype: "f32" });
  expect(JSON.parse(readFileSync(join(made, "generation_config.json"), "utf8"))).toEqual({ eos_token_id: end });
  expect((await loadTokenizer(made)).eosIds).toEqual([end]);
});

/** The numbers of a tensor of a GGUF file in f32. */
async function readGguf(file: string) {
  const parsed = await gguf(file, { allowLocalFile: true });
  const bytes = readFileSync(file);
  const numbers = (name: string) => {
    const info = parsed.tensorInfos.find((one) => one.name === name)!;
    const from = Number(parsed.tensorDataOffset + info.offset);
    const count = info.shape.reduce((product, n) => product * Number(n), 1);
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset + from, bytes.byteOffset + from + 4 * count));
  };
  return { ...parsed, metadata: parsed.metadata as unknown as Record<string, unknown>, numbers };
}

test.each(randomModels)(
  "a GGUF file of $name has the model's shape, tokenizer and template, and every number in its place",
  async (random) => {
    const folder = newPath();
    await writeRandomModel(folder, random);
    const config = readModelConfig(folder);
    const out = `${newPath()}.gguf`;
    await exportModel({ policy: folder, out, format: "gguf", dtype: "f32" });
    const { metadata, tensorInfos, numbers } = await readGguf(out);
    const of = config.family;
    expect(metadata).toMatchObject({
      ...{ version: 3, "general.architecture": of, "general.file_type": 0, [`${of}.block_count`]: config.layers },
      ...{ [`${of}.attention.head_count_kv`]: config.kvHeads, [`${of}.attention.key_length`]: config.headDim },
      ...{ "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.add_bos_token": false },
    });
    const pre = { "gpt-2": "gpt-2", smollm: "smollm", "llama-3": "llama-bpe", qwen: "qwen2" } as const;
    expect(metadata["tokenizer.ggml.pre"]).toBe(pre[random.cutting]);
    expect(metadata["tokenizer.ggml.tokens"]).toHaveLength(config.vocabSize);
    const tokenizer = await loadTokenizer(folder);
    const types = metadata["tokenizer.ggml.token_type"] as number[];
    for (const [id, type] of types.entries())
      expect(type).toBe(tokenizer.specialIds.has(id) ? 3 : id < tokenizer.vocabSize ? 1 : 5);
    const template = join(folder, "chat_template.jinja");
    expect(metadata["tokenizer.chat_template"]).toBe(existsSync(template) ? readFileSync(template, "utf8") : undefined);
    const ours = await weightsOf(folder);
    const scaled = config.ropeScaling?.kind === "llama3";
    expect(tensorInfos).toHaveLength(ours.size + Number(scaled));
    expect(numbers("blk.1.ffn_down.weight")).toEqual(ours.get("model.layers.1.mlp.down_proj.weight"));
    expect(numbers("token_embd.weight")).toEqual(ours.get("model.embed_tokens.weight"));
    if (scaled) {
      const plain = rotaryFrequencies({ headDim: config.headDim, ropeTheta: config.ropeTheta });
      const expected = Float32Array.from(rotaryFrequencies(config), (frequency, i) => plain[i]! / frequency);
      expect(numbers("rope_freqs.weight")).toEqual(expected);
    }
    // llama.cpp turns neighbours 2i and 2i + 1 of a head, we and transformers i and i + half; Qwen's it turns as we do
    const [q, theirs, { headDim, width }] = [
      ours.get("model.layers.0.self_attn.q_proj.weight")!,
      numbers("blk.0.attn_q.weight"),
      config,
    ];
    for (let row = 0; row < config.heads * headDim; row++) {
      const [head, i] = [Math.floor(row / headDim), row % headDim];
      const source = of === "llama" ? head * headDim + Math.floor(i / 2) + (i % 2) * (headDim / 2) : row;
      expect(theirs.subarray(row * width, (row + 1) * width)).toEqual(q.subarray(source * width, (source + 1) * width));
    }
  },
);

test("half precision halves the matrices of a GGUF file, never gains and biases", async () => {
  const out = `${newPath()}.gguf`;
  await exportModel({ policy: model, out, format: "gguf", dtype: "bf16" });
  const { tensorInfos, metadata } = await readGguf(out);
  expect(metadata["general.file_type"]).toBe(32);
  expect(metadata["general.license"]).toBe("mit");
  for (const { shape, dtype } of tensorInfos) expect(dtype).toBe(shape.length === 1 ? 0 : 30);
});

test("what GGUF has no word for, and what is asked for wrongly, is refused, and nothing stays", async () => {
  const odd = newPath();
  writeTinyPolicy(odd);
  const tokenizer = join(odd, "tokenizer.json");
  const json = JSON.parse(readFileSync(tokenizer, "utf8")) as object;
  const cut = { type: "Split", pattern: { Regex: "\\p{L}+" }, behavior: "Isolated", invert: false };
  writeFileSync(
    tokenizer,
    JSON.stringify({
      ...json,
      pre_tokenizer: { type: "Sequence", pretokenizers: [cut, { type: "ByteLevel", use_regex: false }] },
    }),
  );
  const folder = newPath();
  const exporting = (policy: string, out: string, format: "hf" | "gguf" = "gguf") =>
    exportModel({ policy, out, format, dtype: "f32" });
  await expect(exporting(odd, join(folder, "a.gguf"))).rejects.toThrow(
    /tokenizer\.json has a pre-tokenizer that llama\.cpp does not know/,
  );
  await expect(exporting(model, join(folder, "a"))).rejects.toThrow(/does not end in \.gguf/);
  await expect(exporting(model, model, "hf")).rejects.toThrow(/is not empty/);
  const config = { ...randomModels[2]!.config, rope_scaling: randomModels[0]!.config["rope_scaling"] };
  const qwen = newPath();
  await writeRandomModel(qwen, { ...randomModels[2]!, config });
  await expect(exporting(qwen, join(folder, "a.gguf"))).rejects.toThrow(
    /does not support llama3 rope scaling in a qwen2 model/,
  );
  const huge = newPath();
  writeTinyPolicy(huge);
  const tensors = [...(await weightsOf(huge))].map(([name, data]) => ({
    name,
    data,
    shape: parameterSpecs(readModelConfig(huge)).find((spec) => spec.name === name)!.shape,
  }));
  tensors[0]!.data[3] = 1e5;
  writeSafetensors(join(huge, "model.safetensors"), tensors);
  const half = exportModel({ policy: huge, out: join(folder, "half"), format: "hf", dtype: "f16" });
  await expect(half).rejects.toThrow(/model\.embed_tokens\.weight holds 100000, which f16 cannot/);
  expect(existsSync(folder)).toBe(false);
});

test.each(["gpt-2", "smollm", "llama-3", "qwen"] as Cutting[])(
  "a tokenizer that cuts as %s is one that every command reads",
  async (cutting) => {
    const folder = newPath();
    mkdirSync(folder);
    writeCuttingTokenizer(folder, cutting);
    const tokenizer = await loadTokenizer(folder);
    const text = " the river 12345 don't\n\n";
    expect(tokenizer.decode(tokenizer.encodeText(text))).toBe(text);
  },
);
