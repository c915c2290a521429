import { ConfigError, messageOf, R1SearcherError } from "../../base/errors.ts";

const hints: Readonly<Record<string, string>> = {
  ENOSPC:
    "the disk is full: free space or choose another folder; `r1-searcher index plan CORPUS` says how much is needed",
  EDQUOT: "the disk quota is used up: free space or choose another folder",
  EFBIG: "the file system allows no file this large: choose another folder",
  EACCES: "you may not write there: choose another folder",
  EPERM: "you may not write there: choose another folder",
  EROFS: "that file system is read-only: choose another folder",
  ENOTDIR: "a part of that path is a file: choose another folder",
  EEXIST: "a file of that name already exists: choose another folder",
  ENOTEMPTY: "another process filled that folder while the index was built: choose another folder",
};

/**
 * Turns errors that the user can fix (a full disk, a folder without write access) into ConfigErrors; others keep their
 * stack.
 */
export async function withWriteErrors<T>(directory: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const hint = hints[(error as NodeJS.ErrnoException).code ?? ""];
    if (error instanceof R1SearcherError || hint === undefined) throw error;
    throw new ConfigError(`index ${directory} cannot be written: ${messageOf(error)}`, { hint, cause: error });
  }
}
