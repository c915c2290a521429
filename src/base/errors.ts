/**
 * @file The error classes. A user's mistake or an outage is one of these, with a `hint` that says what to do; anything
 * else that is thrown is a bug and keeps its stack trace.
 */

export interface ErrorOptions {
  /** What the user can do about it. */
  hint?: string | undefined;
  cause?: unknown;
}

export class R1SearcherError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.hint = options.hint;
  }
}

/** A recipe, flag or option is wrong. Thrown before any model loads. */
export class ConfigError extends R1SearcherError {}
/** A file that the user gave (questions, corpus, model folder) is invalid. */
export class DataError extends R1SearcherError {}
/** Search could not answer: the index is damaged or the server unavailable. It never means a mistake of the policy. */
export class SearchError extends R1SearcherError {}
/** A reward could not be computed, for example because a judge did not answer. The attempt then counts as failed. */
export class RewardError extends R1SearcherError {}
export class EngineError extends R1SearcherError {}
export class CheckpointError extends R1SearcherError {}
/** The run was asked to stop and has saved its state. */
export class InterruptedError extends R1SearcherError {}

/** By name, so that an error which crossed from a worker thread gets its class back. */
export const errorClasses: Readonly<Record<string, typeof R1SearcherError>> = {
  R1SearcherError,
  ConfigError,
  DataError,
  SearchError,
  RewardError,
  EngineError,
  CheckpointError,
  InterruptedError,
};

/**
 * True for a failure that the operating system or zlib reports with a code (ENOSPC, Z_DATA_ERROR): the environment's
 * fault. Node's own codes for wrong arguments begin with ERR_ and are bugs of the caller.
 */
export function isSystemError(error: unknown): error is Error & { readonly code: string } {
  const { code } = (error ?? {}) as { readonly code?: unknown };
  return error instanceof Error && typeof code === "string" && /^(E[A-Z0-9]+|Z_[A-Z_]+)$/.test(code);
}

/**
 * Runs `work`. A failure of the system leaves as `ErrorType`, saying what was being done; errors of the tree above are
 * already named and pass as they are. So does everything else: that is a bug, and must not look like the user's mistake.
 */
export async function boundary<T>(
  ErrorType: new (message: string, options: ErrorOptions) => R1SearcherError,
  doing: string,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new ErrorType(`${doing}: ${messageOf(cause)}`, { cause });
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
