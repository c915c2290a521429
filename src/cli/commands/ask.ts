import { Option } from "@commander-js/extra-typings";
import { ConfigError } from "../../base/errors.ts";
import { createTranscriptWriter } from "../display/transcript.ts";
import { untilInterrupted } from "../interrupt.ts";
import {
  adapterHelp,
  describedCommand,
  jsonOption,
  promptHelp,
  searchHelp,
  searchOption,
  wholeNumber,
} from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function command() {
  return describedCommand(
    "ask",
    "Ask one question and watch the policy think, search and answer.",
    "ask --example",
    'ask "Who directed Dekgunlis?" --model runs/nano',
    'ask "Where was the author of Emma born?" --model DIR --index my-index',
    'ask "Where was the author of Emma born?" --model DIR --search http://127.0.0.1:8000/retrieve',
  )
    .argument("[question]", "the question")
    .option("--example", "a question of the bundled fictional world")
    .option("--model <dir>", "model folder or run folder (default: the bundled searcher)")
    .option("--adapter <dir>", adapterHelp)
    .option("--index <dir>", "index to search (default: the bundled world's)")
    .option("--prompt <name|file>", promptHelp)
    .option("--search <url>", searchHelp)
    .addOption(
      new Option("--decode <how>", "how the policy samples")
        .choices(["greedy", "sampled"] as const)
        .default("greedy" as const),
    )
    .option("--seed <n>", "seed of the sampling, and of the choice of an example", wholeNumber(0), 1)
    .addOption(jsonOption())
    .action(async (question, { example = false, model, adapter, prompt, decode, seed, json, ...where }) => {
      const output = createOutput({ json });
      if ((question === undefined || question.trim() === "") !== example) {
        throw new ConfigError(example ? "ask got both a question and --example" : "ask got no question", {
          hint: 'write `r1-searcher ask "your question"`, or `r1-searcher ask --example`',
        });
      }
      const search = searchOption(where);
      const { runAsk } = await import("../../run/evaluate/run-ask.ts");
      const writer = createTranscriptWriter((text) => output.stream.write(text), output.colour);
      const options = {
        decode,
        seed,
        ...(question && !example ? { question } : {}),
        ...(model ? { model } : {}),
        ...(search ? { search } : {}),
        ...{ adapter, prompt },
      };
      const { trajectory, answer } = await untilInterrupted(output, (signal) =>
        runAsk({ ...options, signal, onText: writer.write }),
      ).finally(writer.end);
      output.say(answer === undefined ? `\nno answer (${trajectory.stop})` : `\nanswer: ${printable(answer)}`);
      const { question: asked, searches, stop } = trajectory;
      output.result({ question: asked.text, gold: asked.gold, answer: answer ?? null, stop, searches });
    });
}
