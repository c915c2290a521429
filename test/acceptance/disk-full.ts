/**
 * @file A disk that fills up: the command says so in one line and ends badly, keeps no half-written file, and goes on
 * once there is room. Needs a small file system of its own, so on Linux and as root; elsewhere it says that it is skipped.
 */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { gunzipSync } from "node:zlib";
import { type CliEnd, sleep, startCli } from "./cli-process.ts";
import { compareFolders, filesBelow } from "./same-files.ts";
import { writeTinyPolicy } from "./tiny-policy.ts";

const help = `Fills a small file system before and while \`train\` and \`index build\` write to it.

usage: npm run disk-full -- [--model <dir>]     (as root, on Linux)
`;

const say = (line: string) => void process.stdout.write(`${line}\n`);

function demand(holds: boolean, complaint: string): void {
  if (!holds) throw new Error(complaint);
}

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
  say(stderr.trimEnd().replaceAll(/^/gm, "    "));
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
  say("index build: nothing left behind, and it builds once there is room");
  rmSync(join(disk.folder, "index"), { recursive: true });
}

async function train(disk: SmallDisk, folder: string, model: string): Promise<void> {
  const run = join(disk.folder, "run");
  const trains = (out: string) => [
    ...["train", "nano-short", "--set", `model=${model}`, "--set", "checkpoint.every=2", "--out", out],
    ...["--resume"],
  ];
  const whole = join(folder, "whole");
  demand((await startCli(trains(whole)).ended).code === 0, "train fails on a disk with room");

  disk.fill();
  saysSo(await startCli(trains(run)).ended, "train on a full disk");
  demand(!existsSync(run), `train on a full disk left ${disk.files().join(", ")}`);
  disk.free();
  say("train on a full disk: nothing left behind");

  for (const step of [2, 15, 28]) {
    const child = startCli(trains(run));
    let end: CliEnd | undefined;
    void child.ended.then((ended) => {
      end = ended;
    });
    while (!end && stepOf(child.output()) < step) await sleep(5);
    while (!end) {
      disk.fill(); // a checkpoint that is retired makes room
      await sleep(5);
    }
    saysSo(end, `train after step ${step}`);
    demandWhole(run);
    disk.free();
    say(`train, full after step ${step}: every file whole`);
  }
  demand((await startCli(trains(run)).ended).code === 0, "train does not go on where there is room again");
  const { files, difference } = compareFolders(
    whole,
    run,
    (path) => path !== "timing.jsonl" && !path.startsWith("tensorboard/"),
  );
  demand(difference === undefined, `the resumed run differs: ${difference}`);
  say(`train: resumed to the end, ${files} files the same as of a run with room`);
}

const stepOf = (output: string) => Number(/(\d+)\/\d+ steps(?!.*\d+\/\d+ steps)/s.exec(output)?.[1] ?? 0);

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { model: { type: "string" }, help: { type: "boolean", default: false } } });
  if (values.help) return void process.stdout.write(help);
  const folder = mkdtempSync(join(tmpdir(), "disk-full-"));
  const disk = SmallDisk.mount(join(folder, "disk"));
  try {
    if (typeof disk === "string") return say(`SKIPPED, nothing was tested: ${disk}`);
    const model = values.model ?? writeTinyPolicy(join(folder, "model"));
    await buildIndex(disk, folder);
    await train(disk, folder, model);
    say("passed");
  } finally {
    if (typeof disk !== "string") disk.unmount();
    rmSync(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`failed: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
