import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MANIFEST, PROGRESS } from "./format.ts";
import { commitManifest, type IndexSettings, parseManifest, readManifest } from "./manifest.ts";
import type { SegmentManifest } from "./manifest-schema.ts";
import { type MergeOptions, MOST_MERGED, mergeSegments } from "./merge.ts";

/** Larger segments would speed up a search little, and a merge temporarily needs as much disk space as it merges. */
export const SEGMENT_PASSAGES = 3_200_000;

const ours = /^segment-(\d+)\.[a-z.]+$|\.tmp-\d+$/;

/**
 * An index that one writer changes. What a commit lists stays unchanged until the next commit; files that no commit
 * lists were left by a writer that died.
 */
export class IndexFolder {
  readonly directory: string;
  readonly settings: IndexSettings;
  readonly #manifest: typeof MANIFEST | typeof PROGRESS;
  #segments: readonly SegmentManifest[];
  #next: number;

  private constructor(
    directory: string,
    state: {
      settings: IndexSettings;
      manifest: typeof MANIFEST | typeof PROGRESS;
      segments: readonly SegmentManifest[];
    },
  ) {
    this.directory = directory;
    this.settings = state.settings;
    this.#manifest = state.manifest;
    this.#segments = state.segments;
    this.#next = 1 + Math.max(-1, ...readdirSync(directory).map((name) => Number(ours.exec(name)?.[1] ?? -1)));
    this.removeOrphans();
  }

  /** Creates an index that cannot be opened before `finish`. */
  static create(directory: string, settings: IndexSettings): IndexFolder {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory);
    return new IndexFolder(directory, { settings, manifest: PROGRESS, segments: [] });
  }

  /**
   * Reopens an index that `create` started and whose writer died; undefined if there is none or it has no complete
   * segment.
   */
  static resume(directory: string): IndexFolder | undefined {
    const file = join(directory, PROGRESS);
    if (!existsSync(file)) return undefined;
    const { segments, ...settings } = parseManifest(file);
    return new IndexFolder(directory, { settings, manifest: PROGRESS, segments });
  }

  /** @throws DataError if there is no index */
  static open(directory: string): IndexFolder {
    const { segments, ...settings } = readManifest(directory);
    return new IndexFolder(directory, { settings, manifest: MANIFEST, segments });
  }

  get segments(): readonly SegmentManifest[] {
    return this.#segments;
  }

  get passages(): number {
    return this.#segments.reduce((sum, { passages }) => sum + passages, 0);
  }

  /** A name that no segment has had before. */
  nextName(): string {
    return `segment-${String(this.#next++).padStart(6, "0")}`;
  }

  commit(segments: readonly SegmentManifest[]): void {
    commitManifest({ directory: this.directory, name: this.#manifest }, this.settings, segments);
    this.#segments = segments;
  }

  /** Makes what `create` started a finished index. */
  finish(): void {
    commitManifest({ directory: this.directory, name: MANIFEST }, this.settings, this.#segments);
    rmSync(join(this.directory, PROGRESS), { force: true });
  }

  /** Merges consecutive segments into as few segments of at most `limit` passages as possible. */
  async merge(limit: number, options: MergeOptions = {}): Promise<void> {
    for (;;) {
      const groups = groupsOf(this.#segments, limit);
      const at = groups.findIndex((group) => group.length > 1);
      if (at < 0) return;
      const before = groups.slice(0, at).flat();
      const group = groups[at]!;
      const merged = await mergeSegments(
        { directory: this.directory, name: this.nextName(), segments: group },
        options,
      );
      this.commit([...before, merged, ...this.#segments.slice(before.length + group.length)]);
      this.removeOrphans();
    }
  }

  /**
   * Removes files that no commit lists. A reader that has one open can still read it; if removal fails meanwhile, the
   * next writer removes it.
   */
  removeOrphans(): void {
    const kept = new Set(this.#segments.map(({ name }) => name));
    for (const file of readdirSync(this.directory)) {
      if (!ours.test(file) || kept.has(file.slice(0, file.indexOf(".")))) continue;
      try {
        rmSync(join(this.directory, file), { force: true });
      } catch (error) {
        if (process.platform !== "win32") throw error;
      }
    }
  }
}

/** Groups segments from the front, each group as large as fits in one segment. */
function groupsOf(segments: readonly SegmentManifest[], limit: number): SegmentManifest[][] {
  const groups: SegmentManifest[][] = [];
  let passages = 0;
  for (const segment of segments) {
    const group = groups.at(-1);
    passages += segment.passages;
    if (group !== undefined && passages <= limit && group.length < MOST_MERGED) {
      group.push(segment);
    } else {
      groups.push([segment]);
      passages = segment.passages;
    }
  }
  return groups;
}
