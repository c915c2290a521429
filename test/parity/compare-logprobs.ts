/**
 * @file Does the embedded engine agree with PyTorch on a real model and real text?
 *   PYTHON=python3 npx tsx test/parity/compare-logprobs.ts MODEL_DIR CORPUS [tokens]
 * Scores the first tokens (default 200) of the corpus' passages with both and prints the largest difference. Exits 1
 * above 1e-3 nats.
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { openAskable } from "../../src/run/assemble.ts";
import { readCorpus } from "../../src/search/corpus.ts";

const [directory, corpus, count = "200"] = process.argv.slice(2);
if (directory === undefined || corpus === undefined)
  throw new Error("usage: compare-logprobs.ts MODEL_DIR CORPUS [tokens]");

const policy = await openAskable(directory, { training: false, concurrency: 1 });
const ids: number[] = [];
for await (const { text } of readCorpus(corpus)) {
  ids.push(...policy.tokenizer.encodeText(`${text}\n`));
  if (ids.length >= Number(count)) break;
}
ids.length = Math.min(ids.length, Number(count));
const began = performance.now();
const [ours] = await policy.engine.logprobs([Int32Array.from(ids)]);
const seconds = (performance.now() - began) / 1000;
await policy.engine.close();

const script = fileURLToPath(new URL("model_logprobs.py", import.meta.url));
const { stdout, stderr, status } = spawnSync(process.env["PYTHON"] ?? "python3", [script], {
  input: JSON.stringify({ directory, ids }),
  encoding: "utf8",
});
if (status !== 0) throw new Error(`PyTorch failed: ${stderr}`);
const theirs = JSON.parse(stdout) as number[];
const differences = theirs.map((logprob, i) => Math.abs(logprob - ours![i]!));
const largest = Math.max(...differences);
const mean = theirs.reduce((sum, logprob) => sum - logprob, 0) / theirs.length;
console.log(
  `${ids.length} tokens, ${mean.toFixed(3)} nats per token, largest difference ${largest.toExponential(2)} nats, ${seconds.toFixed(1)} s here`,
);
process.exitCode = largest <= 1e-3 && theirs.length === ids.length - 1 ? 0 : 1;
