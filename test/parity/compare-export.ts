/**
 * @file Do our folders and GGUF files mean the same to other programs?
 *   PYTHON=python3 LLAMA=python3 npm run experiment -- parity:export [MODEL_DIR…]
 * For a random model of every family, and for every folder named: the folder that `model export` writes, in shards,
 * opens in transformers with our log-probabilities of 64 tokens (bound 2e-4; 1e-3 for named folders); the GGUF file in
 * f32 opens in llama.cpp with our greedy 64 tokens, or parts from them where its top two logits are closer than 1e-3;
 * texts become the same tokens. LLAMA names a Python with llama-cpp-python. Exits 1 beyond a bound.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { programOptions } from "../../scripts/program-options.ts";
import { randomOf } from "../../src/base/random.ts";
import { readModelConfig } from "../../src/engine/huggingface/model-config.ts";
import { loadTokenizer } from "../../src/engine/huggingface/tokenizer.ts";
import { createEngine } from "../../src/run/engines/onnx-policy.ts";
import { exportModel } from "../../src/run/policy/run-model-export.ts";
import { PolicySettings } from "../../src/run/recipe/policy-settings.ts";
import { askPython } from "./python.ts";
import { randomModels, writeRandomModel } from "./random-models.ts";
import { randomText } from "./random-texts.ts";

const help = `Opens exported folders in transformers and GGUF files in llama.cpp, and compares log-probabilities and greedy text.
The variable PYTHON names a Python that has torch and transformers, LLAMA one that has
llama-cpp-python (default: python3).

usage: npm run experiment -- parity:export [MODEL_DIR…]
  MODEL_DIR…     Hugging Face folders that are compared too
  --help
`;
const given = programOptions(help, {}, true).positionals.map((folder) => resolve(folder));

const generated = 64;
const tie = 1e-3;

interface LlamaReply {
  readonly greedy: number[][];
  readonly gaps: number[][];
  readonly plain: number[][];
  readonly special: number[][];
  readonly template: string | null;
  readonly end: number;
}

async function ours(folder: string, prompts: readonly Int32Array[], scored: Int32Array) {
  const config = readModelConfig(folder);
  const tokenizer = await loadTokenizer(folder);
  const engine = createEngine(
    { directory: folder, config, tokenizer },
    {
      ...{ workers: 1, threads: 1, training: false, maxSequences: 2, contextLength: 512 },
      settings: PolicySettings.parse({}),
    },
  );
  try {
    await engine.loadPolicy(folder);
    const [logprobs] = await engine.logprobs([scored]);
    const sampler = await engine.publish();
    const greedy = [];
    for (const [question, tokens] of prompts.entries()) {
      const sample = await sampler.sample({
        ...{ tokens, maxTokens: generated, temperature: 0, topP: 1, topK: 0, stop: { tokens: [], text: [] } },
        key: { seed: 1, step: 0, question, sibling: 0, turn: 0 },
      });
      greedy.push([...sample.tokens]);
    }
    return { tokenizer, logprobs: logprobs!, greedy };
  } finally {
    await engine.close();
  }
}

/** The gap where both part; 0 where they never do. */
function partingGap(mine: readonly number[], theirs: readonly number[], gaps: readonly number[]): number {
  const at = theirs.findIndex((id, i) => id !== mine[i]);
  return at < 0 ? 0 : gaps[at]!;
}

async function compare(folder: string, bound: number, work: string): Promise<boolean> {
  const tokenizer = await loadTokenizer(folder);
  const random = randomOf(7, "export");
  // llama.cpp composes no letters, which Qwen's tokenizer does: it gets texts that are composed
  const composes = /"type":\s*"NFC"/.test(readFileSync(join(folder, "tokenizer.json"), "utf8"));
  const texts = Array.from({ length: 200 }, () => randomText(random)).map((text) =>
    composes ? text.normalize("NFC") : text,
  );
  const prompts = [" the town of", "Question: who wrote the first program?\nAnswer:"].map((text) =>
    tokenizer.encodeText(text),
  );
  const scored = Int32Array.from(texts.flatMap((text) => [...tokenizer.encodeText(text)]).slice(0, generated));
  const [copy, file] = [join(work, "hf"), join(work, "model.gguf")];
  await exportModel({ policy: folder, out: copy, format: "hf", dtype: "f32", maxShardBytes: 100_000_000 });
  await exportModel({ policy: folder, out: file, format: "gguf", dtype: "f32" });
  const mine = await ours(copy, prompts, scored);
  const { logprobs } = askPython<{ logprobs: number[][] }>("folder_oracle.py", {
    logprobs: [{ folder: copy, ids: [...scored] }],
  });
  const llama = askPython<LlamaReply>(
    "llama_cpp_greedy.py",
    { file, prompts: prompts.map((ids) => [...ids]), generated, texts },
    process.env["LLAMA"] ?? process.env["PYTHON"] ?? "python3",
  );
  const logprob = Math.max(...logprobs[0]!.map((x, i) => Math.abs(x - mine.logprobs[i]!)));
  const gap = Math.max(...mine.greedy.map((ids, i) => partingGap(ids, llama.greedy[i]!, llama.gaps[i]!)));
  const same = mine.greedy.filter((ids, i) => ids.join() === llama.greedy[i]!.join()).length;
  const differ = texts.filter(
    (text, i) =>
      tokenizer.encodeText(text).join() !== llama.plain[i]!.join() ||
      tokenizer.encodeTemplate(text).join() !== llama.special[i]!.join(),
  );
  const isWithin =
    logprob <= bound &&
    gap <= tie &&
    differ.length === 0 &&
    (llama.template !== null) === (tokenizer.chatTemplate !== undefined);
  process.stdout.write(
    `${isWithin ? "ok  " : "FAIL"} ${basename(folder).padEnd(28)} transformers ${logprob.toExponential(1)} · llama.cpp ${same}/${prompts.length} greedy texts equal, else parting at a gap of ${gap.toExponential(1)} · ${texts.length - differ.length}/${texts.length} texts equal\n`,
  );
  for (const text of differ.slice(0, 3)) process.stdout.write(`     differs: ${JSON.stringify(text)}\n`);
  return isWithin;
}

const root = mkdtempSync(join(tmpdir(), "r1-searcher-export-"));
try {
  let isWithin = true;
  for (const model of randomModels) {
    const folder = join(root, model.name);
    await writeRandomModel(folder, model);
    const work = join(root, "out", model.name);
    mkdirSync(work, { recursive: true });
    isWithin = (await compare(folder, 2e-4, work)) && isWithin;
  }
  for (const [i, folder] of given.entries()) {
    const work = join(root, "out", `given-${i}`);
    mkdirSync(work, { recursive: true });
    isWithin = (await compare(folder, 1e-3, work)) && isWithin;
  }
  process.exitCode = isWithin ? 0 : 1;
} finally {
  rmSync(root, { recursive: true, force: true });
}
