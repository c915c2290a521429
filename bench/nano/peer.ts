/** @file The same work done by another program: a Python process that is given one JSON task per line. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { EngineError } from "../../src/base/errors.ts";
import { toJson } from "../../src/base/jsonl.ts";

export interface Timed {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

export interface PeerAbout {
  readonly torch: string;
  /** The vector instructions that it uses. */
  readonly cpu: string;
  readonly mkl: boolean;
  readonly threads: number;
}

export interface Peer {
  readonly about: PeerAbout;
  ask<Answer>(task: { readonly task: string } & Readonly<Record<string, unknown>>): Promise<Answer>;
  close(): void;
}

/** Only a clone of the repository has them; the published package does not. */
const programs = new URL("../peers/", import.meta.url);

/** The peer, or in words why there is none. */
export async function startPeer(python: string, name = "torch_peer.py"): Promise<Peer | string> {
  const program = fileURLToPath(new URL(name, programs));
  if (!existsSync(program)) return "bench/peers is not part of the package; clone the repository";
  const probe = spawnSync(python, ["-c", "import torch"], { encoding: "utf8", stdio: ["ignore", "ignore", "pipe"] });
  if (probe.error || probe.status !== 0) return `${python} has no torch; name one that has with --python`;
  const child = spawn(python, [program], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, CUDA_VISIBLE_DEVICES: "" },
  });
  const ask = asker(child);
  return { about: await ask<PeerAbout>({ task: "about" }), ask, close: () => void child.stdin?.end() };
}

function asker(child: ChildProcess): Peer["ask"] {
  const lines = createInterface({ input: child.stdout! });
  const waiting: { resolve: (line: string) => void; reject: (error: Error) => void }[] = [];
  lines.on("line", (line) => waiting.shift()?.resolve(line));
  const fail = () => {
    for (const { reject } of waiting.splice(0)) reject(new EngineError("the peer ended before it had answered"));
  };
  child.on("exit", fail);
  child.on("error", fail);
  return async (task) => {
    const line = await new Promise<string>((resolve, reject) => {
      waiting.push({ resolve, reject });
      child.stdin!.write(`${toJson(task)}\n`);
    });
    return JSON.parse(line);
  };
}
