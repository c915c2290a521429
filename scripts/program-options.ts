/** @file What the programs that `named-programs.ts` runs do with their command line: --help, and a refusal of what is wrong. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { ConfigError, messageOf, type R1SearcherError } from "../src/base/errors.ts";

type Options = NonNullable<ParseArgsConfig["options"]>;
type Parsed<O extends Options> = ReturnType<typeof parseArgs<{ options: O; allowPositionals: true }>>;

/**
 * Reads `process.argv`. On --help it prints `help` and ends the process; on an unknown option, or a value missing or too
 * many, it prints an error and ends the process with exit code 2.
 * @param allowPositionals whether arguments that are no options may be given
 */
export function programOptions<const O extends Options>(help: string, options: O, allowPositionals = false): Parsed<O> {
  const argv = process.argv.slice(2);
  if (argv.includes("--help") || argv.includes("-h")) {
    process.stdout.write(help);
    process.exit(0);
  }
  try {
    return parseArgs({ args: argv, options, allowPositionals }) as Parsed<O>;
  } catch (error) {
    refuse(new ConfigError(messageOf(error), { hint: "--help lists the options" }));
  }
}

/** @throws where the text is no whole number of at least `least` */
export function wholeNumber(option: string, text: string, least = 0): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isSafeInteger(value) && value >= least) return value;
  return refuse(new ConfigError(`--${option} is "${text}"`, { hint: `give a whole number from ${least}` }));
}

/** Asked for wrongly: prints the error with its hint and ends the process with exit code 2. */
export function refuse(error: R1SearcherError): never {
  process.stderr.write(`error: ${error.message}\n${error.hint === undefined ? "" : `hint: ${error.hint}\n`}`);
  process.exit(2);
}
