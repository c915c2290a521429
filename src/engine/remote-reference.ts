/** @file A saved policy whose weights lie with a remote engine: the folder holds a reference in their place. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { EngineError, messageOf } from "../base/errors.ts";
import { fileNameRule, isFileName } from "../base/file-name.ts";
import { writeDurably } from "../base/files.ts";
import { toJson } from "../base/jsonl.ts";

export const remoteFile = "remote.json";

const RemoteReference = z.strictObject({
  /** Of the engine that holds the weights. */
  engine: z.string().refine(isFileName, fileNameRule),
  /** What the engine calls them. */
  reference: z
    .string()
    .regex(/^[\x21-\x7e]{1,1000}$/, "expected at most 1,000 characters of ASCII without spaces")
    .refine((text) => !text.split(/[\\/]/).some((part) => part === ".." || part === "."), "expected no . or .. in it"),
});
export type RemoteReference = z.infer<typeof RemoteReference>;

/** @throws EngineError where an engine calls its weights what could not be read back */
export function writeRemoteReference(directory: string, reference: RemoteReference): void {
  const { error } = RemoteReference.safeParse(reference);
  if (error)
    throw new EngineError(
      `engine ${toJson(reference.engine)} calls its weights ${toJson(reference.reference)}: ${error.issues[0]?.message}`,
      {
        hint: "the engine must return the name of a policy, which can be stored and given back to it",
      },
    );
  writeDurably(join(directory, remoteFile), `${toJson(reference, 2)}\n`);
}

/**
 * @returns undefined where the folder holds no reference
 * @throws EngineError where it holds one that cannot be read
 */
export function readRemoteReference(directory: string): RemoteReference | undefined {
  const file = join(directory, remoteFile);
  if (!existsSync(file)) return undefined;
  try {
    return RemoteReference.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    throw new EngineError(`${file} is no reference to a policy: ${messageOf(cause)}`, {
      hint: "restore the file from a copy, or take another checkpoint",
      cause,
    });
  }
}
