/**
 * @file A machine that loses its power: after every call of a save, what a disk may then hold. Bytes that were not
 * fsynced may be there, cut at a sector, zeroed or gone; names in a folder that was not fsynced may be the old or the
 * new ones, each for itself. That is more than any one file system does.
 */
import { fstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Random, randomOf } from "../../../src/base/random.ts";
import { tapDisk } from "./faulty-disk.ts";
import { type Context, demand, type Part } from "./part.ts";
import { demandGoesOn, demandWhole, NEW, openSaves, type Saves, saveOf, storeIn } from "./saves.ts";

interface FileNode {
  readonly inode: number;
  readonly live: Buffer;
  /** As of the last fsync. */
  readonly durable: Buffer | undefined;
}
interface FolderNode {
  readonly inode: number;
  readonly live: ReadonlyMap<string, DiskNode>;
  readonly durable: ReadonlyMap<string, DiskNode>;
}
type DiskNode = FileNode | FolderNode;

const isFolder = (node: DiskNode): node is FolderNode => node.live instanceof Map;

/** Follows one folder from call to call; what was fsynced belongs to an inode, whatever its name. */
class Disk {
  readonly #root: string;
  #known = new Map<number, DiskNode>();

  /** All that is there is durable. */
  constructor(root: string) {
    this.#root = root;
    this.look();
    for (const inode of this.#known.keys()) this.fsynced(inode);
  }

  /** The disk as it is now. */
  look(): FolderNode {
    const known = new Map<number, DiskNode>();
    const node = this.#scan(this.#root, known);
    this.#known = known;
    return node;
  }

  fsynced(inode: number): void {
    const node = this.#known.get(inode);
    if (node) this.#known.set(inode, { ...node, durable: node.live } as DiskNode);
  }

  #scan(path: string, known: Map<number, DiskNode>): FolderNode {
    const { ino: inode } = statSync(path);
    const live = new Map(
      readdirSync(path, { withFileTypes: true }).map((entry): [string, DiskNode] => {
        const inner = join(path, entry.name);
        return [entry.name, entry.isDirectory() ? this.#scan(inner, known) : this.#file(inner, known)];
      }),
    );
    const before = this.#known.get(inode);
    const then = before && isFolder(before) ? [...before.durable] : [];
    // what a durable name stands for may have changed since; what was removed stays as it was last seen
    const durable = new Map(then.map(([name, node]) => [name, known.get(node.inode) ?? node]));
    const node = { inode, live, durable };
    known.set(inode, node);
    return node;
  }

  #file(path: string, known: Map<number, DiskNode>): FileNode {
    const { ino: inode } = statSync(path);
    const before = this.#known.get(inode);
    const node = { inode, live: readFileSync(path), durable: before && !isFolder(before) ? before.durable : undefined };
    known.set(inode, node);
    return node;
  }
}

/** Every state that a save brings the disk through. @returns the last one is after the save said that it was done */
async function statesOf(saves: Saves): Promise<{ node: FolderNode; after: string; isDone: boolean }[]> {
  const directory = saves.begin("watched");
  const disk = new Disk(directory);
  const states = [{ node: disk.look(), after: "nothing", isDone: false }];
  const untap = tapDisk({
    after: ({ nth, name, target }) => {
      if (name === "fsync") {
        disk.look(); // another thread may have written
        disk.fsynced(fstatSync(target as number).ino);
      }
      states.push({ node: disk.look(), after: `${name} ${nth}`, isDone: false });
    },
  });
  try {
    await storeIn(directory).save(saveOf(NEW, saves.engine));
  } finally {
    untap();
  }
  return [...states, { node: disk.look(), after: "the save", isDone: true }];
}

/** @param how "synced": nothing else is left; "all": everything arrived; else any mixture */
function writeImage(node: FolderNode, into: string, how: "synced" | "all" | Random): void {
  mkdirSync(into, { recursive: true });
  const names = new Set([...node.live.keys(), ...node.durable.keys()]);
  for (const name of names) {
    const [now, then] = [node.live.get(name), node.durable.get(name)];
    const chosen = pick(how, then, now);
    if (!chosen) continue;
    const path = join(into, name);
    if (!isFolder(chosen)) writeFileSync(path, contentOf(chosen, how));
    else if (now || typeof how === "string" || how.next() < 0.5) writeImage(chosen, path, how);
    else writeImage(halfRemoved(chosen, how), path, how);
  }
}

function pick<T>(how: "synced" | "all" | Random, then: T, now: T): T {
  if (how === "synced") return then;
  return how === "all" || how.next() < 0.5 ? now : then;
}

const halfRemoved = ({ inode, live, durable }: FolderNode, random: Random): FolderNode => {
  const left = new Map([...durable].filter(() => random.next() < 0.5));
  return { inode, live: new Map([...live].filter(([name]) => left.has(name))), durable: left };
};

function contentOf({ live, durable }: FileNode, how: "synced" | "all" | Random): Buffer {
  if (how === "all" || (durable && live.equals(durable))) return live;
  if (how === "synced") return durable ?? Buffer.alloc(0);
  const sectors = Math.ceil(live.length / 512);
  const torn = live.subarray(0, 512 * how.int(sectors + 1));
  return [live, durable ?? Buffer.alloc(0), torn, Buffer.alloc(live.length), Buffer.alloc(0)][how.int(5)]!;
}

export const powerLoss: Part = {
  name: "power",
  what: "after every call of a save the power fails: unsynced bytes and names lost, torn, zeroed or mixed with old ones",
  run: async ({ folder, policy, progress, seed, images }: Context) => {
    const saves = await openSaves(folder, policy());
    try {
      const states = await statesOf(saves);
      const random = randomOf(seed, "power-loss");
      const found = [0, 0, 0];
      for (const [i, { node, after, isDone }] of states.entries()) {
        progress(i, states.length);
        for (const [v, how] of (["synced", "all", ...Array<Random>(images).fill(random)] as const).entries()) {
          const image = join(folder, "image");
          writeImage(node, image, how);
          const what = `power lost after ${after}, image ${v}`;
          const step = await demandWhole(image, saves, what);
          demand(!isDone || step === NEW, `${what}: the save had said that it was done`);
          await demandGoesOn(image, saves, what);
          found[step]!++;
          rmSync(image, { recursive: true });
        }
      }
      const total = found.reduce((sum, count) => sum + count, 0);
      return `${total} disks after ${states.length} states of a save: ${found[1]} held the older checkpoint, ${found[2]} the new one, 0 neither`;
    } finally {
      await saves.close();
    }
  },
};
