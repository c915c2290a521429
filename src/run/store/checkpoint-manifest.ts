/** @file The manifest of a checkpoint: every file with its size and hash, and a hash of the manifest itself. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { messageOf } from "../../base/errors.ts";
import { sha256File } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";

export const MANIFEST = "manifest.json";
export const CURSOR = "cursor.json";
const FORMAT = "r1-searcher-checkpoint-2";

const ManifestContent = z.strictObject({
  format: z.literal(FORMAT, `not of format ${FORMAT}: made by another version`),
  /** The next step to run. */
  step: z.int().min(0),
  /** Steps whose checkpoints are kept whatever their age. */
  pinned: z.array(z.int()),
  files: z.array(z.strictObject({ name: z.string(), size: z.int().min(0), sha256: z.string() })),
});
type ManifestContent = z.infer<typeof ManifestContent>;

/** Includes a hash of the manifest itself. */
const Manifest = z.strictObject({ ...ManifestContent.shape, sha256: z.string() });

/** The text of a manifest, sealed with its own hash. */
export function manifestText(content: Omit<ManifestContent, "format">): string {
  const whole: ManifestContent = { format: FORMAT, ...content };
  const manifest: z.infer<typeof Manifest> = { ...whole, sha256: sealOf(whole) };
  return `${toJson(manifest, 2)}\n`;
}

export type Verdict = { cursor: unknown; pinned: readonly number[] } | { fault: string };

/** Checks every file against the manifest. @returns what is wrong in words, or the cursor */
export async function verifyCheckpoint(directory: string, step: number): Promise<Verdict> {
  try {
    const manifest = readManifest(join(directory, MANIFEST));
    if (typeof manifest === "string") return { fault: `${MANIFEST} ${manifest}` };
    if (manifest.step !== step) return { fault: `its ${MANIFEST} is of step ${manifest.step}` };
    const listed = new Set(manifest.files.map(({ name }) => name));
    const unlisted = filesUnder(directory).find((name) => name !== MANIFEST && !listed.has(name));
    if (unlisted !== undefined) return { fault: `${unlisted} is not in its manifest` };
    for (const { name, size, sha256 } of manifest.files) {
      const path = join(directory, name);
      const found = statSync(path);
      if (!found.isFile()) return { fault: `${name} is not a file` };
      if (found.size !== size) return { fault: `${name} has ${found.size} bytes instead of ${size}` };
      if ((await sha256File(path)) !== sha256) return { fault: `${name} has other content than was saved` };
    }
    return { cursor: JSON.parse(readFileSync(join(directory, CURSOR), "utf8")), pinned: manifest.pinned };
  } catch (cause) {
    return { fault: messageOf(cause).replace(/\s+/g, " ") };
  }
}

/** @returns in words what is wrong with it, where something is */
function readManifest(file: string): ManifestContent | string {
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    return `cannot be read: ${messageOf(cause).replace(/\s+/g, " ")}`;
  }
  const parsed = Manifest.safeParse(json);
  if (!parsed.success) {
    const [issue] = parsed.error.issues;
    return issue ? `is damaged at "${issue.path.join(".")}": ${issue.message}` : "is damaged";
  }
  const { sha256, ...content } = parsed.data;
  return sealOf(content) === sha256 ? content : "has other content than was saved";
}

/** Of what is read, in a fixed order: spaces and the order of keys mean nothing. */
function sealOf({ format, step, pinned, files }: ManifestContent): string {
  const rows = files.map(({ name, size, sha256 }) => [name, size, sha256]);
  return createHash("sha256")
    .update(toJson([format, step, pinned, rows]))
    .digest("hex");
}

/** Paths relative to the folder, with forward slashes, sorted. */
export function filesUnder(directory: string): string[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(directory.length + 1)
        .replaceAll("\\", "/"),
    )
    .sort();
}
