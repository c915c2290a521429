/**
 * @file A disk that fills up: the command says so in one line and ends badly, keeps no half-written file, and goes on
 * once there is room. Needs a small file system of its own, so on Linux and as root; elsewhere it says that it is skipped.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { type CliEnd, sleep, startCli } from "../../support/cli-process.ts";
import { filesBelow } from "../../support/same-files.ts";
import { type Context, demand, demandSame, finish, type Part, Skipped, stepsIn } from "./part.ts";

/** A file system of 200 MB in memory, with a file that fills it. */
class SmallDisk {
  readonly folder: string;
  readonly #filler: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.#filler = join(folder, "filler");
  }

  /** @returns why there can be none, where there can be none */
  static mount(folder: string): SmallDisk | string {
    if (process.platform !== "linux" || process.getuid?.() !== 0) return "only root on Linux may mount a file system";
    mkdirSync(folder);
    const { status, stderr } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=200m", "r1-searcher-test", folder]);
    return status === 0 ? new SmallDisk(folder) : `mount: ${String(stderr).trim()}`;
  }

  /** Takes every byte that is left. */
  fill(): void {
    const handle = openSync(this.#filler, "a");
    try {
      for (let size = 1 << 20; size >= 1; ) {
        try {
          writeSync(handle, Buffer.alloc(size, 1));
        } catch {
          size >>= 1;
        }
      }
    } finally {
      closeSync(handle);
    }
  }

  free(): void {
    rmSync(this.#filler, { force: true });
  }

  files(): string[] {
    return filesBelow(this.folder).filter((path) => path !== "filler");
  }

  unmount(): void {
    spawnSync("umount", ["-l", this.folder]);
  }
}

function saysSo({ code, signal, stderr }: CliEnd, what: string): void {
  demand(code === 1 || code === 2, `${what} ended with ${code ?? signal}`);
  demand(/^error: .*(ENOSPC|disk is full).*\nhint: .*free .*space.*\n$/.test(stderr), `${what} did not say it clearly`);
}

/** Every file is whole in itself; checkpoints are as their manifest says. */
function demandWhole(folder: string): void {
  for (const path of filesBelow(folder)) {
    const file = join(folder, path);
    demand(!/\.tmp|run\.lock|\.replaced/.test(path), `${path} was left behind`);
    if (path.endsWith(".gz")) gunzipSync(readFileSync(file));
    if (path.endsWith(".json")) JSON.parse(readFileSync(file, "utf8"));
    if (path.endsWith(".jsonl")) {
      const lines = readFileSync(file, "utf8").split("\n");
      demand(lines.pop() === "", `${path} ends in the middle of a line`);
      for (const line of lines) JSON.parse(line);
    }
    if (path.endsWith("manifest.json")) {
      const { files } = JSON.parse(readFileSync(file, "utf8")) as { files: { name: string; size: number }[] };
      for (const { name, size } of files)
        demand(statSync(join(file, "..", name)).size === size, `${path}: ${name} is cut short`);
    }
  }
}

async function buildIndex(disk: SmallDisk, folder: string): Promise<void> {
  const corpus = join(folder, "corpus.jsonl");
  const rows = Array.from(
    { length: 2000 },
    (_, i) => `${JSON.stringify({ id: `${i}`, title: `T${i}`, text: "a b" })}\n`,
  );
  writeFileSync(corpus, rows.join(""));
  const args = ["index", "build", corpus, "--out", join(disk.folder, "index")];
  disk.fill();
  saysSo(await startCli(args).ended, "index build");
  demand(disk.files().length === 0, `index build left ${disk.files().join(", ")}`);
  disk.free();
  demand((await startCli(args).ended).code === 0, "index build fails where there is room again");
  rmSync(join(disk.folder, "index"), { recursive: true });
}

async function train(disk: SmallDisk, { folder, whole, train: start }: Context): Promise<number> {
  const run = join(disk.folder, "run");
  const undisturbed = await whole();
  disk.fill();
  saysSo(await start(run).ended, "train on a full disk");
  demand(!existsSync(run), `train on a full disk left ${disk.files().join(", ")}`);
  disk.free();
  for (const step of steps) {
    const child = start(run);
    let end: CliEnd | undefined;
    void child.ended.then((ended) => {
      end = ended;
    });
    while (!end && stepsIn(run) < step) await sleep(5);
    while (!end) {
      disk.fill(); // a checkpoint that is retired makes room
      await sleep(5);
    }
    saysSo(end, `train after step ${step}`);
    demandWhole(run);
    disk.free();
  }
  await finish(start(run));
  return demandSame(undisturbed, run, `after a disk of ${folder} was full`);
}

/** After which steps of the run the disk fills up. */
const steps = [2, 9, 15] as const;

export const diskFull: Part = {
  name: "disk",
  what: "a file system of 200 MB full before and while train and index build write to it (root, Linux)",
  run: async (context: Context) => {
    const disk = SmallDisk.mount(join(context.folder, "disk"));
    if (typeof disk === "string") throw new Skipped(disk);
    try {
      await buildIndex(disk, context.folder);
      const files = await train(disk, context);
      return `full before and within index build, before train and after steps ${steps.join(", ")}: said so, every file whole; resumed to the same ${files} files`;
    } finally {
      disk.unmount();
    }
  },
};
