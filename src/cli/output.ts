import { toJson } from "../base/jsonl.ts";

export interface TextStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

/** Where a command writes. With `--json`, text for people goes to stderr, and stdout ends with one line of JSON. */
export interface Output {
  /** The stream for people. */
  readonly stream: TextStream;
  readonly colour: boolean;
  /** One or more whole lines for people. */
  say(text: string): void;
  /** The result for scripts; written only with `--json`. */
  result(value: unknown): void;
}

export interface OutputOptions {
  readonly json?: boolean | undefined;
  readonly stdout?: TextStream;
  readonly stderr?: TextStream;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export function createOutput(options: OutputOptions = {}): Output {
  const { json = false, stdout = process.stdout, stderr = process.stderr, env = process.env } = options;
  const stream = json ? stderr : stdout;
  return {
    stream,
    colour: wantsColour(stream, env),
    say: (text) => void stream.write(`${text}\n`),
    result: (value) => {
      if (json) stdout.write(`${toJson(value)}\n`);
    },
  };
}

/** NO_COLOR and FORCE_COLOR are conventions of many programs; an empty value counts as unset. */
function wantsColour(stream: TextStream, env: Readonly<Record<string, string | undefined>>): boolean {
  if (env.NO_COLOR) return false;
  if (env.FORCE_COLOR && env.FORCE_COLOR !== "0") return true;
  return stream.isTTY === true && env.TERM !== "dumb";
}

/**
 * Makes untrusted text (documents, answers, file names) safe to show: control characters, which could move the cursor,
 * recolour or retitle the terminal, are replaced by visible symbols.
 */
export function printable(text: string): string {
  return text.replaceAll("\r\n", "\n").replace(/\p{Cc}|\p{Bidi_Control}/gu, (character) => {
    const code = character.charCodeAt(0);
    if (character === "\n" || character === "\t") return character;
    return code < 0x20 ? String.fromCharCode(0x2400 + code) : "\ufffd";
  });
}
