import { ConfigError, InterruptedError, messageOf, R1SearcherError } from "../base/errors.ts";
import { printable } from "./output.ts";

/** How a command failed: a message for people and an exit code for scripts. */
export interface Failure {
  /** 1 the work failed · 2 wrong arguments or settings · 130 interrupted · 70 a bug */
  readonly exitCode: 1 | 2 | 70 | 130;
  readonly text: string;
}

/** Remedies for errors of the operating system, by error code. */
const systemHints: Readonly<Record<string, string>> = {
  ENOENT: "check the path; there is nothing",
  EACCES: "you may not read or write there; choose another folder or change its permissions",
  EPERM: "you may not read or write there; choose another folder or change its permissions",
  EROFS: "that file system is read-only; choose another folder",
  ENOSPC: "the disk is full; free some space or choose another folder, then run the same command again",
  EDQUOT: "your disk quota is used up; free some space or choose another folder",
  ENOTDIR: "a part of the path is a file, not a folder",
  EISDIR: "the path is a folder, but a file is expected",
  EEXIST: "that name already exists; choose another",
  EMFILE: "too many files are open; raise the limit (ulimit -n)",
  ENAMETOOLONG: "the path is too long",
};

/** A user's mistake or an outage is one line and a hint; only a bug shows its stack trace, or `debug`. */
export function failureOf(error: unknown, debug: boolean): Failure {
  const stack = debug && error instanceof Error ? `\n${error.stack ?? ""}` : "";
  if (error instanceof InterruptedError)
    return { exitCode: 130, text: withHint(error.message, error.hint, "stopped") + stack };
  if (error instanceof R1SearcherError) {
    return { exitCode: error instanceof ConfigError ? 2 : 1, text: withHint(error.message, error.hint) + stack };
  }
  const hint = systemHints[codeOf(error)];
  if (hint) return { exitCode: 1, text: withHint(messageOf(error), hint) + stack };
  const trace = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    exitCode: 70,
    text: `bug: ${trace}\nhint: this is a defect of r1-searcher; please report it with the lines above`,
  };
}

function withHint(message: string, hint: string | undefined, word = "error"): string {
  const line = `${word}: ${printable(message).replaceAll("\n", " · ")}`;
  return hint ? `${line}\nhint: ${printable(hint)}` : line;
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
