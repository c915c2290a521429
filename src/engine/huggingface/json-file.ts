/**
 * @file Parses JSON from untrusted files: size and depth are bounded, keys are unique, and errors say what is wrong.
 */
import { readFileSync, statSync } from "node:fs";
import { EngineError, messageOf } from "../../base/errors.ts";

const MAX_DEPTH = 64;

export type JsonObject = Readonly<Record<string, unknown>>;

/** @throws EngineError naming the file if it is missing, larger than `maxBytes`, or not one valid JSON object */
export function readJsonObject(
  file: string,
  { maxBytes, hint }: { readonly maxBytes: number; readonly hint?: string },
): JsonObject {
  try {
    const status = statSync(file);
    if (!status.isFile()) throw new Error("it is not a file");
    if (status.size > maxBytes) throw new Error(`it has ${status.size} bytes; ${maxBytes} are allowed`);
    return parseJsonObject(readFileSync(file));
  } catch (cause) {
    throw new EngineError(`${file} cannot be read: ${messageOf(cause)}`, { hint, cause });
  }
}

/**
 * @param options.wholeNumbers rejects every number that is not written as a plain integer, and true, false and null
 * @throws Error that says what is wrong
 */
export function parseJsonObject(bytes: Uint8Array, options: { readonly wholeNumbers?: boolean } = {}): JsonObject {
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  const fault = jsonFault(text, options.wholeNumbers ?? false);
  if (fault !== undefined) throw new Error(fault);
  const value: unknown = JSON.parse(text);
  if (!isObject(value)) throw new Error("it is not a JSON object");
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value from a file, shortened for use in an error message. */
export function show(value: unknown): string {
  try {
    const text = JSON.stringify(value) ?? "missing";
    return text.length <= 100 ? text : `${text.slice(0, 99)}…`;
  } catch {
    return "a value nested too deeply";
  }
}

/**
 * Finds what `JSON.parse` accepts but must be refused: it keeps the last of two equal keys and rounds numbers, and deep
 * nesting costs memory.
 */
function jsonFault(text: string, wholeNumbers: boolean): string | undefined {
  const open: (Set<string> | undefined)[] = []; // the keys so far of each open object; undefined for a list
  let before = "";
  for (let at = 0; at < text.length; at++) {
    const letter = text[at]!;
    if (letter === " " || letter === "\n" || letter === "\r" || letter === "\t") continue;
    if (letter === '"') {
      const end = stringEnd(text, at);
      const names = before === "{" || before === "," ? open.at(-1) : undefined;
      if (names) {
        const name = nameOf(text.slice(at, end + 1));
        if (names.has(name)) return `it gives ${show(name)} twice`;
        names.add(name);
      }
      at = end;
    } else if (letter === "{" || letter === "[") {
      if (open.push(letter === "{" ? new Set() : undefined) > MAX_DEPTH) return `it is nested deeper than ${MAX_DEPTH}`;
    } else if (letter === "}" || letter === "]") open.pop();
    else if (wholeNumbers && !":,0123456789".includes(letter))
      return `a number in it is not whole, or ${show(letter)} is out of place`;
    before = letter;
  }
  return undefined;
}

/** The index of the closing quote of the string that opens at `start`, or the end of the text. */
function stringEnd(text: string, start: number): number {
  for (let at = start + 1; at < text.length; at++) {
    const letter = text.charCodeAt(at);
    if (letter === 0x5c) at++;
    else if (letter === 0x22) return at;
  }
  return text.length;
}

function nameOf(quoted: string): string {
  if (!quoted.includes("\\")) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return quoted; // `JSON.parse` of the whole text will report the error
  }
}
