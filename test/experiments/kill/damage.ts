/**
 * @file Checkpoints damaged in every way that a disk or a person damages them. Silent is: the damaged one is loaded,
 * and something that a load reads (a listed file's bytes, an unlisted file's presence, what the manifest says as JSON)
 * is not as it was saved. A mutation that changes none of these (spaces in the manifest) may load.
 */
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { type Random, randomOf } from "../../../src/base/random.ts";
import { checkpointName, newestCheckpoint } from "../../../src/run/store/checkpoint-store.ts";
import { filesBelow } from "../../support/same-files.ts";
import { checkpointsIn, demand, type Part } from "./part.ts";

/** Two whole checkpoints of a run; the later one is damaged. */
export interface Pair {
  readonly older: string;
  readonly newer: string;
  /** Their steps. */
  readonly steps: readonly [number, number];
}

/** What a mutation has to choose from. */
interface Victim extends Pair {
  readonly directory: string;
  readonly files: readonly string[];
  readonly random: Random;
}

/** Damages `directory`. @returns the files that a message may name */
type Mutation = (victim: Victim) => readonly string[];

const MANIFEST = "manifest.json";
const pickFile = ({ files, random }: Victim) => files[random.int(files.length)]!;

/** Overwrites bytes at a place of the draw's choosing. */
function overwrite(path: string, random: Random, change: (bytes: Buffer, at: number) => void): void {
  const bytes = readFileSync(path);
  if (bytes.length > 0) change(bytes, random.int(bytes.length));
  writeFileSync(path, bytes);
}

const bytes: Record<string, Mutation> = {
  "bits flipped": (victim) => {
    const name = pickFile(victim);
    const { random, directory } = victim;
    for (let flips = 1 + random.int(3); flips > 0; flips--) {
      overwrite(join(directory, name), random, (bytes, at) => {
        bytes[at]! ^= 1 << random.int(8);
      });
    }
    return [name];
  },
  "a sector zeroed": (victim) => {
    const name = pickFile(victim);
    overwrite(join(victim.directory, name), victim.random, (bytes, at) =>
      bytes.fill(0, at, Math.min(bytes.length, at + 512)),
    );
    return [name];
  },
  truncated: (victim) => {
    const name = pickFile(victim);
    const path = join(victim.directory, name);
    truncateSync(path, victim.random.int(Math.max(1, statSync(path).size)));
    return [name];
  },
  "something appended": (victim) => {
    const name = pickFile(victim);
    appendFileSync(join(victim.directory, name), ["\0", "\n", "x".repeat(512)][victim.random.int(3)]!);
    return [name];
  },
};

const names: Record<string, Mutation> = {
  "a file missing": (victim) => {
    const name = pickFile(victim);
    rmSync(join(victim.directory, name));
    return [name];
  },
  "a file too many": ({ directory, random }) => {
    const name = ["optimizer-7.safetensors", "inner/weights.bin", "model.safetensors.tmp-1"][random.int(3)]!;
    mkdirSync(join(directory, name, ".."), { recursive: true });
    writeFileSync(join(directory, name), "");
    return [name];
  },
  "two files swapped": (victim) => {
    const [a, b] = [pickFile(victim), pickFile(victim)];
    const [from, to] = [join(victim.directory, a), join(victim.directory, b)];
    renameSync(from, `${from}.aside`);
    if (a !== b) renameSync(to, from);
    renameSync(`${from}.aside`, to);
    return [a, b];
  },
  "a file renamed": (victim) => {
    const name = pickFile(victim);
    renameSync(join(victim.directory, name), join(victim.directory, `${name}.bak`));
    return [name];
  },
  "a folder in place of a file": (victim) => {
    const name = pickFile(victim);
    rmSync(join(victim.directory, name));
    mkdirSync(join(victim.directory, name));
    return [name];
  },
  "a file of the checkpoint before": (victim) => {
    const name = pickFile(victim);
    cpSync(join(victim.older, name), join(victim.directory, name));
    return [name];
  },
  "the checkpoint before under its name": ({ directory, older }) => {
    rmSync(directory, { recursive: true });
    cpSync(older, directory, { recursive: true });
    return [MANIFEST];
  },
};

interface ManifestJson {
  step: number;
  pinned: unknown[];
  files: { name: string; size: number; sha256: string }[];
  [key: string]: unknown;
}

const edit =
  (change: (manifest: ManifestJson, random: Random) => unknown): Mutation =>
  ({ directory, random }) => {
    const file = join(directory, MANIFEST);
    const manifest = JSON.parse(readFileSync(file, "utf8")) as ManifestJson;
    const changed = change(manifest, random);
    writeFileSync(file, typeof changed === "string" ? changed : JSON.stringify(changed ?? manifest, null, 2));
    return [MANIFEST];
  };
const anEntry = ({ files }: ManifestJson, random: Random) => files[random.int(files.length)]!;

const edits: Record<string, Mutation> = {
  "manifest: another step": edit((manifest, random) => void (manifest.step += 1 + random.int(9))),
  "manifest: another list of pinned": edit((manifest, random) => void manifest.pinned.push(random.int(99))),
  "manifest: pinned no list": edit((manifest) => void ((manifest as Record<string, unknown>)["pinned"] = null)),
  "manifest: an entry dropped": edit((m, random) => void m.files.splice(random.int(m.files.length), 1)),
  "manifest: an entry twice": edit((m, random) => void m.files.push({ ...anEntry(m, random) })),
  "manifest: entries in another order": edit((m) => void m.files.reverse()),
  "manifest: another size": edit((m, random) => void (anEntry(m, random).size += 1)),
  "manifest: another hash": edit((m, random) => void (anEntry(m, random).sha256 = "0".repeat(64))),
  "manifest: another name": edit((m, random) => void (anEntry(m, random).name = ["../x", "", "x"][random.int(3)]!)),
  "manifest: a key too many": edit((m) => void (m["comment"] = "x")),
  "manifest: a key missing": edit((m, random) => void delete m[Object.keys(m)[random.int(Object.keys(m).length)]!]),
  "manifest: no object": edit((_, random) => ["", "null", "[]", "0", "{}"][random.int(5)]!),
  "manifest: other spaces": edit((m) => JSON.stringify(m)),
  "manifest: keys in another order": edit((m) => Object.fromEntries(Object.entries(m).reverse())),
};

const mutations = Object.entries({ ...bytes, ...names, ...edits });

/** Whether a load of the damaged checkpoint reads just what a load of the whole one does. */
function readsTheSame(damaged: string, whole: string): boolean {
  const files = filesBelow(damaged);
  if (files.join("\n") !== filesBelow(whole).join("\n")) return false;
  return files.every((name) => {
    const [a, b] = [readFileSync(join(damaged, name)), readFileSync(join(whole, name))];
    return name === MANIFEST ? isDeepStrictEqual(JSON.parse(`${a}`), JSON.parse(`${b}`)) : a.equals(b);
  });
}

export interface DamageCounts {
  /** The one before was used, and the damage named. */
  readonly named: number;
  /** Nothing that is read had changed. */
  readonly harmless: number;
  readonly kinds: number;
}

/** @throws where a damaged checkpoint is loaded in silence, or the one before it is not found */
export async function tryDamage(
  pair: Pair,
  { folder, count, seed, progress }: { folder: string; count: number; seed: number; progress?: (done: number) => void },
): Promise<DamageCounts> {
  const [older, newer] = pair.steps.map((step) => join(folder, checkpointName(step)));
  mkdirSync(folder, { recursive: true });
  cpSync(pair.older, older!, { recursive: true });
  const counts = { named: 0, harmless: 0 };
  for (let i = 0; i < count; i++) {
    progress?.(i);
    rmSync(newer!, { recursive: true, force: true });
    cpSync(pair.newer, newer!, { recursive: true });
    const [kind, mutate] = mutations[i % mutations.length]!;
    const random = randomOf(seed, "damage", i);
    const named = mutate({ ...pair, directory: newer!, files: filesBelow(newer!), random });
    const what = `mutation ${i} of seed ${seed}, ${kind} (${named.join(", ")})`;
    const warnings: string[] = [];
    const found = await newestCheckpoint(folder, (text) => warnings.push(text));
    if (found?.step === pair.steps[1]) {
      demand(readsTheSame(newer!, pair.newer), `${what}: loaded in silence`);
      counts.harmless++;
      continue;
    }
    demand(found?.step === pair.steps[0], `${what}: the checkpoint before it was not found`);
    const isNamed =
      warnings.length === 1 && warnings[0]!.includes(newer!) && named.some((name) => warnings[0]!.includes(name));
    demand(isNamed, `${what}: the damage is not named: ${warnings.join("; ")}`);
    counts.named++;
  }
  return { ...counts, kinds: mutations.length };
}

export const damage: Part = {
  name: "damage",
  what: "checkpoints of a real run damaged in every way: the one before is used and the damaged file named",
  run: async ({ folder, whole, mutations: count, seed, progress }) => {
    const run = await whole();
    const [older, newer] = checkpointsIn(run).slice(-2);
    demand(older && newer, `${run} holds fewer than two checkpoints`);
    const at = (name: string) => join(run, "checkpoints", name);
    const steps = [older, newer].map((name) => Number(name.slice("step-".length))) as [number, number];
    const pair = { older: at(older), newer: at(newer), steps };
    demand(readdirSync(pair.newer).length > 8, `${newer} holds little`);
    const report = (done: number) => progress(done, count);
    const counts = await tryDamage(pair, { folder: join(folder, "checkpoints"), count, seed, progress: report });
    return `${count} mutations of ${counts.kinds} kinds: ${counts.named} fell back and named the file, ${counts.harmless} changed nothing that is read, 0 loaded in silence`;
  },
};
