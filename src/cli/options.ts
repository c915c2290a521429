import { Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";

/** The option every command has. */
export const jsonOption = () =>
  new Option("--json", "print one JSON object on the last line of stdout, words on stderr");

export const promptHelp =
  "how the policy is asked: nano, base, chat, examples, or a template file (default: as it was taught; chat or base for other models)";

/** A command with its description, its example and `--json`. */
export function describedCommand(name: string, description: string, ...examples: readonly string[]) {
  const shown = examples.map((example) => `\n  $ r1-searcher ${example}`).join("");
  return new Command(name)
    .description(description)
    .addHelpText("after", `\n${examples.length > 1 ? "Examples" : "Example"}:${shown}`);
}

/** For a whole number from `least` up. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^-?\d+$/.test(text.trim()) || !Number.isSafeInteger(value) || value < least) {
      throw new InvalidArgumentError(`Give a whole number, at least ${least}.`);
    }
    return value;
  };
}

/** Repeatable `--set key=value`. */
export function assignment(text: string, before: readonly string[] = []): readonly string[] {
  if (!/^[^=\s]+=/.test(text))
    throw new InvalidArgumentError("Write it as key=value, for example optimizer.learningRate=0.0003.");
  return [...before, text];
}
