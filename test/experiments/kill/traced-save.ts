/**
 * @file A real process, killed by strace as it enters each call of a save: SIGKILL at every open for writing, write,
 * fsync, rename, mkdir, copy and removal that touches the checkpoints, in its main thread and in the engine's.
 */
import { spawn, spawnSync } from "node:child_process";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Context, demand, type Part, Skipped } from "./part.ts";
import { demandGoesOn, demandWhole, NEW, openSaves, type Saves } from "./saves.ts";

const calls = "openat,write,writev,pwrite64,fsync,fdatasync,rename,renameat,renameat2,mkdir,unlink,unlinkat,rmdir";
const copies = "copy_file_range,sendfile,ftruncate";
const child = fileURLToPath(new URL("save-once.mjs", import.meta.url));

/** The nth time that one thread makes this call about this path. */
interface Point {
  readonly call: string;
  readonly path: string;
  readonly nth: number;
}

interface End {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: string;
}

interface Traced {
  readonly saves: Saves;
  /** The built package. */
  readonly packaged: string;
}

function traced(straceOptions: readonly string[], { saves, packaged }: Traced, directory: string): Promise<End> {
  const program = [process.execPath, child, packaged, saves.expected[NEW]!, directory];
  const strace = spawn("strace", ["-f", ...straceOptions, ...program]);
  let output = "";
  for (const stream of [strace.stdout, strace.stderr]) stream.on("data", (text) => (output += String(text)));
  return new Promise((resolve, reject) => {
    strace.once("error", reject);
    strace.once("close", (code, signal) => resolve({ code, signal, output }));
  });
}

/** Every call of one save that changes the disk, in order. */
async function pointsOf(parts: Traced, folder: string): Promise<Point[]> {
  const [directory, log] = [parts.saves.begin("traced"), join(folder, "trace.log")];
  const { code, output } = await traced(
    ["-y", "-s", "0", "-o", log, "-e", `trace=${calls},${copies}`],
    parts,
    directory,
  );
  demand(code === 0 && output.includes("saved"), `a save under strace failed: ${output}`);
  demand(
    (await demandWhole(directory, parts.saves, "a save under strace")) === NEW,
    "a save under strace saved nothing",
  );
  const points = new Map<string, Point>();
  const counts = new Map<string, number>();
  for (const line of readFileSync(log, "utf8").split("\n")) {
    const [, thread, call, rest] = /^(\d+) +(\w+)\((.*)$/.exec(line) ?? [];
    const path = rest && new RegExp(`["<](${directory}[^">]*)[">]`).exec(rest)?.[1];
    if (!path || (call === "openat" && rest.includes("O_RDONLY"))) continue;
    if (/\.tmp-\d+$/.test(path)) continue; // named for its process; the part "faults" hits these
    const nth = (counts.get(`${thread} ${call} ${path}`) ?? 0) + 1;
    counts.set(`${thread} ${call} ${path}`, nth);
    const id = `${call} ${path.slice(directory.length)} ${nth}`; // a later thread's nth never comes first
    if (!points.has(id)) points.set(id, { call: call!, path: path.slice(directory.length), nth });
  }
  return [...points.values()];
}

async function killAt({ call, path, nth }: Point, parts: Traced): Promise<number> {
  const { saves } = parts;
  const directory = saves.begin("killed");
  const what = `SIGKILL at ${call} ${nth} of ${path || "the folder"}`;
  const inject = ["-o", "/dev/null", "-P", `${directory}${path}`, "-e", `inject=${call}:signal=KILL:when=${nth}`];
  const { code, signal, output } = await traced(["-e", `trace=${call}`, ...inject], parts, directory);
  const isKilled = signal === "SIGKILL" || code === 137;
  demand(
    isKilled && !output.includes("saved"),
    `${what} did not hit: the save ended with ${code ?? signal}: ${output}`,
  );
  const step = await demandWhole(directory, saves, what);
  await demandGoesOn(directory, saves, what);
  rmSync(directory, { recursive: true });
  return step;
}

export const tracedSave: Part = {
  name: "calls",
  what: "a real process killed by strace as it enters every open, write, fsync, rename, mkdir and removal of a save",
  run: async ({ folder, policy, packaged, progress }: Context) => {
    if (spawnSync("strace", ["-V"]).status !== 0)
      throw new Skipped("strace is not installed (Linux: apt-get install strace)");
    const saves = await openSaves(folder, policy());
    const parts = { saves, packaged: packaged() };
    try {
      const points = await pointsOf(parts, folder);
      for (const call of ["openat", "write", "fsync", "rename"]) {
        demand(
          points.some((point) => point.call === call),
          `no ${call} of a save was seen: the trace is not understood`,
        );
      }
      const found = [0, 0, 0];
      for (const [i, point] of points.entries()) {
        progress(i, points.length);
        found[await killAt(point, parts)]!++;
      }
      return `${points.length} calls of a save killed: ${found[1]} left the older checkpoint, ${found[2]} the new one, 0 neither`;
    } finally {
      await saves.close();
    }
  },
};
