import type { ModelsBench, StepTimes } from "./measure.ts";

/** The measurements in Markdown. */
export function modelsTable(result: ModelsBench): string {
  const { step, train, decode, llama, predicted, machine, peer, logprobDifference } = result;
  const { ours, plain, tuned } = step;
  const total = (times: StepTimes | undefined) => (times ? number(times.sample + times.learn, 1) : "–");
  const cells = (name: string, of: (times: StepTimes) => string) =>
    `| ${name} | ${of(ours)} | ${plain ? of(plain) : "–"} | ${tuned ? of(tuned) : "–"} |`;
  const rate = (name: string, mine: number, theirs: number | null) =>
    `| ${name} | ${number(mine, 1)} | – | ${theirs === null ? "–" : `${number(theirs, 1)} (ours ${number(mine / theirs, 2)} ×)`} |`;
  const sampled = decode.at(-1);
  return [
    "| | ours | transformers, plain | PyTorch, tuned |",
    "| --- | --- | --- | --- |",
    `| a step, s | ${total(ours)} | ${total(plain)}${ratio(plain)} | ${total(tuned)}${ratio(tuned)} |`,
    cells("of that sampling, s", ({ sample }) => number(sample, 1)),
    cells("of that learning, s", ({ learn }) => number(learn, 1)),
    cells("peak memory of the process, GB", ({ peakBytes }) => number(peakBytes / 1e9, 2)),
    `| difference of loss and gradient norm | | ${scientific(plain?.largestDifference)} | ${scientific(tuned?.largestDifference)} |`,
    `| difference of a log-probability | | – | ${scientific(logprobDifference ?? undefined)} |`,
    rate("learning alone, tokens/s", train.ours, train.tuned),
    ...decode.map(({ width, ours: mine, tuned: theirs }) => rate(`sampling ${width} at once, tokens/s`, mine, theirs)),
    `| llama.cpp f32, one sequence, tokens/s | ${typeof llama === "number" ? number(llama, 1) : llama} | | |`,
    "",
    `Predicted: ${number(predicted.bytes / 1e9, 2)} GB, ${number(predicted.train, 0)} tokens/s learning, ${number(predicted.sample, 0)} sampling${sampled ? ` (measured ${number(ours.peakBytes / 1e9, 2)}, ${number(train.ours, 0)}, ${number(sampled.ours, 0)})` : ""}.`,
    `${machine.processor}, ${machine.cores} cores, ${machine.flags}. ${typeof peer === "string" ? `No peer: ${peer}.` : `PyTorch ${peer.torch}, ${peer.threads} threads, ${peer.cpu}.`}`,
    result.plan,
  ].join("\n");
}

const number = (value: number, digits: number) => value.toFixed(digits);
const ratio = (peer: { readonly ratio: number } | undefined) => (peer ? ` (ours ${number(peer.ratio, 2)} ×)` : "");
const scientific = (value: number | undefined) => (value === undefined ? "–" : value.toExponential(1));
