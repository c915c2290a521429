/** @file The result of a bench as a table. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Rate, TrainRate } from "./rates.ts";
import type { BenchResult, MemoryBench, StepBench } from "./run-bench.ts";

export function benchTable(result: BenchResult): string {
  const { step, decode, train, memory, machine, peer } = result;
  const named = (rates: Readonly<Record<string, Rate>>, what: string) =>
    Object.entries(rates).map(([model, rate]) => rateRow(`${what}, ${model}, tokens/s`, rate));
  return [
    `Measured on ${machine["processor"]}, ${machine["cores"]} cores, ${machine["system"]}; Node ${machine["node"]}; commit ${commit()}.`,
    typeof peer === "string"
      ? `No peer: ${peer}.`
      : `Peer: PyTorch ${peer.torch}, ${peer.threads} threads, ${peer.cpu}${peer.mkl ? ", MKL" : ""}.`,
    "",
    "| what | here | PyTorch | here is faster by |",
    "| --- | --- | --- | --- |",
    ...stepRows(step),
    ...named(decode, "sampling"),
    ...named(train, "learning"),
    ...Object.entries(train).map(([model, rate]) => shareRow(model, rate)),
    ...(memory ? [memoryRow(memory)] : []),
  ].join("\n");
}

function stepRows(step: StepBench): string[] {
  const { seconds, peerSeconds, peerParts, ratio } = step;
  const total = Object.values(seconds).reduce((sum, value) => sum + value, 0);
  const phase = (name: string, ours: number, theirs: number | undefined) =>
    `| ${name}, s | ${ours.toFixed(4)} | ${theirs?.toFixed(4) ?? "–"} | ${theirs === undefined ? "–" : times(theirs / ours)} |`;
  return [
    `| a nano step, s | ${total.toFixed(3)} | ${peerSeconds?.toFixed(3) ?? "–"} | ${ratio === null ? "–" : times(ratio)} |`,
    phase("its sampling", seconds.sample, peerParts?.sample),
    phase("its searches", seconds.search, undefined),
    phase("its rewards", seconds.reward, undefined),
    phase("its learning", seconds.learn, peerParts?.learn),
    phase("its writing", seconds.write, undefined),
    `| searches, rewards and writing, share of the step | ${percent(step.shareBesideEngine)} | – | – |`,
    `| its learning, share of GEMM peak | ${percent(step.learnShareOfGemmPeak)} | – | – |`,
  ];
}

function rateRow(name: string, { tokensPerSecond, peerTokensPerSecond: peer }: Rate): string {
  const ours = tokensPerSecond.toFixed(0);
  return `| ${name} | ${ours} | ${peer?.toFixed(0) ?? "–"} | ${peer === null ? "–" : times(tokensPerSecond / peer)} |`;
}

function shareRow(model: string, { shareOfGemmPeak }: TrainRate): string {
  return `| learning, ${model}, share of GEMM peak | ${percent(shareOfGemmPeak)} | – | – |`;
}

function memoryRow({ steps, quarter, end, growth }: MemoryBench): string {
  const mebibytes = (bytes: number) => `${(bytes / 2 ** 20).toFixed(0)} MiB`;
  return `| memory after ${Math.ceil(steps / 4)} and ${steps} steps | ${mebibytes(quarter)}, ${mebibytes(end)} (${percent(growth)}) | – | – |`;
}

const times = (ratio: number) => `${ratio.toFixed(2)} ×`;
const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

function commit(): string {
  const { status, stdout } = spawnSync("git", ["describe", "--always", "--dirty"], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return status === 0 ? stdout.trim() : "unknown";
}
