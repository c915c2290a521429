/** @file The command line as a child in a process group of its own, so that a kill reaches all of it and nothing else. */
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const packageFolder = fileURLToPath(new URL("../..", import.meta.url));
/** In a test the sources are compiled once; elsewhere the program runs from its sources. */
export const usualProgram = join(process.env["R1_SEARCHER_COMPILED"] ?? packageFolder, "bin", "r1-searcher.js");

export interface CliEnd {
  /** Undefined where a signal ended it. */
  readonly code: number | undefined;
  readonly signal: NodeJS.Signals | undefined;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliProcess {
  readonly pid: number;
  readonly ended: Promise<CliEnd>;
  /** Text of both streams so far. */
  output(): string;
  /** Closes this side of a stream, as `| head` does. */
  stopReading(stream: "stdout" | "stderr"): void;
  /** To the whole group; nothing once it has ended. */
  signal(signal: NodeJS.Signals): void;
}

const running = new Set<CliProcess>();
process.once("exit", () => {
  for (const child of running) child.signal("SIGKILL");
});

export interface CliOptions {
  /** Called with every piece of output, as it comes. */
  readonly onText?: (text: string) => void;
  /** The program's own file. */
  readonly program?: string;
  /** Besides those of this process. */
  readonly env?: Readonly<Record<string, string>> | undefined;
}

export function startCli(
  args: readonly string[],
  { onText, program = usualProgram, env }: CliOptions = {},
): CliProcess {
  const child = spawn(process.execPath, [program, ...args], {
    detached: process.platform !== "win32", // there a kill takes one process, and the command line is one
    env: { ...process.env, NO_COLOR: "1", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const text = { stdout: "", stderr: "" };
  for (const stream of ["stdout", "stderr"] as const) {
    child[stream].setEncoding("utf8").on("data", (piece: string) => {
      text[stream] += piece;
      onText?.(piece);
    });
  }
  const ended = new Promise<CliEnd>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      running.delete(cli);
      resolve({ code: code ?? undefined, signal: signal ?? undefined, ...text });
    });
  });
  const cli: CliProcess = {
    pid: child.pid!,
    ended,
    output: () => text.stdout + text.stderr,
    stopReading: (stream) => void child[stream].destroy(),
    signal: (signal) => send(child, signal),
  };
  running.add(cli);
  return cli;
}

function send(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  if (process.platform === "win32") child.kill(signal);
  else process.kill(-child.pid, signal);
}

export const sleep = (milliseconds: number) => new Promise<void>((resolve) => setTimeout(resolve, milliseconds));
