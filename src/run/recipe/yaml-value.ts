/** @file The one reader of YAML that a user wrote: recipes, the values of `--set`, prompt templates. */
import { readFileSync } from "node:fs";
import { LineCounter, parseDocument } from "yaml";
import { ConfigError, messageOf } from "../../base/errors.ts";

/**
 * The value of a YAML text. Aliases (`*name`) work, but not so many that they could stand for gigabytes, and not inside
 * of the value that they stand for.
 *
 * @param complain makes the error from what is wrong and the line where it is
 */
export function yamlValue(text: string, complain: (fault: string, line: number) => ConfigError): unknown {
  const lineCounter = new LineCounter();
  const lineAt = (offset: number) => lineCounter.linePos(offset).line;
  try {
    const document = parseDocument(text, { lineCounter, prettyErrors: false });
    const fault = document.errors[0];
    if (fault) throw complain(fault.message, lineAt(fault.pos[0]));
    const value: unknown = document.toJS({ maxAliasCount: 100 });
    if (containsItself(value)) throw complain("an alias stands for a value that contains itself", 1);
    return value;
  } catch (cause) {
    if (cause instanceof ConfigError) throw cause;
    throw complain(messageOf(cause), 1); // too many aliases, or nested so deeply that the stack overflows
  }
}

function containsItself(value: unknown): boolean {
  try {
    JSON.stringify(value);
    return false;
  } catch (cause) {
    if (cause instanceof TypeError) return true;
    throw cause;
  }
}

/** @throws ConfigError naming file and line */
export function readYaml(file: string, hint: string): unknown {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (cause) {
    throw new ConfigError(`${file} cannot be read: ${messageOf(cause)}`, { hint: "check the path", cause });
  }
  return yamlValue(text, (fault, line) => new ConfigError(`${file}:${line} is not usable YAML: ${fault}`, { hint }));
}

/** A value for a message: shortened, and never an error of its own. */
export function shown(value: unknown): string {
  try {
    const text = JSON.stringify(value) ?? String(value);
    return text.length <= 100 ? text : `${text.slice(0, 99)}…`;
  } catch {
    return "a value that contains itself";
  }
}
