import { describePlan } from "../../src/run/engines/memory-plan.ts";
import type { RatesBench, Setting, StepBench, StepTimes } from "./measure.ts";

/** A step, in Markdown. */
export function stepTable({ logprobDifference, plan, ...step }: StepBench, setting: Setting): string {
  const { ours, plain, tuned } = step;
  const total = (times: StepTimes | undefined) => (times ? number(times.sample + times.learn, 1) : "–");
  const cells = (name: string, of: (times: StepTimes) => string) =>
    `| ${name} | ${of(ours)} | ${plain ? of(plain) : "–"} | ${tuned ? of(tuned) : "–"} |`;
  return [
    "| | ours | transformers, plain | PyTorch, tuned |",
    "| --- | --- | --- | --- |",
    `| a step, s | ${total(ours)} | ${total(plain)}${ratio(plain)} | ${total(tuned)}${ratio(tuned)} |`,
    cells("of that sampling, s", ({ sample }) => number(sample, 1)),
    cells("of that learning, s", ({ learn }) => number(learn, 1)),
    cells("peak memory of the process, GB", ({ peakBytes }) => number(peakBytes / 1e9, 2)),
    `| difference of loss and gradient norm | | ${scientific(plain?.largestDifference)} | ${scientific(tuned?.largestDifference)} |`,
    `| difference of a log-probability | | – | ${scientific(logprobDifference ?? undefined)} |`,
    "",
    `The plan: ${describePlan(plan)}.`,
    where(setting),
  ].join("\n");
}

/** Rates, in Markdown. */
export function ratesTable({ train, decode, llama, predicted }: RatesBench, setting: Setting): string {
  const row = (name: string, ours: number, tuned: number | null) =>
    `| ${name} | ${number(ours, 1)} | ${tuned === null ? "–" : `${number(tuned, 1)} (ours ${number(ours / tuned, 2)} ×)`} |`;
  return [
    "| tokens per second | ours | PyTorch, tuned |",
    "| --- | --- | --- |",
    row("learning alone", train.ours, train.tuned),
    ...decode.map(({ width, ours, tuned }) => row(`sampling ${width} at once`, ours, tuned)),
    "",
    `llama.cpp, f32, one sequence: ${typeof llama === "number" ? `${number(llama, 1)} tokens per second` : llama}.`,
    `\`model info\` predicted ${number(predicted.train, 0)} tokens per second of learning and ${number(predicted.sample, 0)} of sampling, 16 at once, prompts apart.`,
    where(setting),
  ].join("\n");
}

const where = ({ machine, peer }: Setting) =>
  `${machine.processor}, ${machine.cores} cores, ${machine.flags}. ${typeof peer === "string" ? `No peer: ${peer}.` : `PyTorch ${peer.torch}, ${peer.threads} threads, ${peer.cpu}.`}`;
const number = (value: number, digits: number) => value.toFixed(digits);
const ratio = (peer: { readonly ratio: number } | undefined) => (peer ? ` (ours ${number(peer.ratio, 2)} ×)` : "");
const scientific = (value: number | undefined) => (value === undefined ? "–" : value.toExponential(1));
