import { CheckpointError, isSystemError, messageOf } from "../../base/errors.ts";

/** Turns a disk error into one that says which file it concerns and what to do; other errors are rethrown unchanged. */
export function onDisk<T>(what: string, doing: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new CheckpointError(`${what} could not be ${doing}: ${messageOf(cause)}`, {
      hint: `${remedyFor(cause)}, then continue with --resume`,
      cause,
    });
  }
}

export function remedyFor(cause: unknown): string {
  switch (codeOf(cause)) {
    case "ENOSPC":
    case "EDQUOT":
      return "free space on the disk";
    case "EACCES":
    case "EPERM":
    case "EROFS":
      return "make the folder writable";
    default:
      return "see to the disk";
  }
}

function codeOf(cause: unknown): string | undefined {
  return (cause as NodeJS.ErrnoException | undefined)?.code;
}
