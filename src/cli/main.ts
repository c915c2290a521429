/**
 * @file The command line: the only file that reads argv and sets exit codes. Each command is loaded only when it is
 * used.
 */
import { Command, CommanderError, type CommandUnknownOpts } from "@commander-js/extra-typings";
import { packageVersion } from "../base/package.ts";
import { failureOf } from "./exit.ts";
import { withoutReaders } from "./lost-reader.ts";

/** In the order of the help. */
const verbs: Readonly<
  Record<string, { readonly summary: string; readonly load: () => Promise<{ command: () => CommandUnknownOpts }> }>
> = {
  train: { summary: "teach a policy to search, by outcome reward", load: () => import("./commands/train.ts") },
  eval: { summary: "measure a policy on a benchmark", load: () => import("./commands/eval.ts") },
  ask: { summary: "ask one question and watch the policy search", load: () => import("./commands/ask.ts") },
  score: { summary: "every published metric on a file of results", load: () => import("./commands/score.ts") },
  index: { summary: "build and search an index of a corpus", load: () => import("./commands/index-verb.ts") },
  serve: { summary: "serve search to other programs, over HTTP or MCP", load: () => import("./commands/serve.ts") },
  model: { summary: "look at a policy, or make a small one from nothing", load: () => import("./commands/model.ts") },
  doctor: {
    summary: "check what works on this machine, and what would fail",
    load: () => import("./commands/doctor.ts"),
  },
};

async function program(argv: readonly string[]): Promise<CommandUnknownOpts> {
  const root = new Command("r1-searcher")
    .description("Teach a language model to search while it reasons, by outcome reward alone.")
    .version(packageVersion())
    .showHelpAfterError("(add --help for details)")
    .addHelpText(
      "after",
      "\nExample:\n  $ r1-searcher train nano     the bundled model learns to search; minutes, no GPU, no download",
    );
  const [verb] = argv[0] === "help" ? argv.slice(1) : argv;
  for (const [name, { summary, load }] of Object.entries(verbs)) {
    // the other commands only provide their names for the help and for "did you mean"
    root.addCommand(name === verb ? (await load()).command() : new Command(name).summary(summary).description(summary));
  }
  forEachCommand(root, (command) => command.exitOverride());
  return root;
}

function forEachCommand(command: CommandUnknownOpts, visit: (command: CommandUnknownOpts) => void): void {
  visit(command);
  for (const child of command.commands) forEachCommand(child, visit);
}

/** @returns the exit code: 0 done · 1 failed · 2 wrong arguments or settings · 70 a bug · 130 interrupted */
async function main(argv: readonly string[]): Promise<number> {
  try {
    await (await program(argv)).parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    const { exitCode, text } = failureOf(error, Boolean(process.env.R1_SEARCHER_DEBUG));
    process.stderr.write(`${text}\n`);
    return exitCode;
  }
}

process.exitCode = await withoutReaders(() => main(process.argv.slice(2)));
