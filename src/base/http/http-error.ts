import { R1SearcherError } from "../errors.ts";

/** A server could not be reached, or refused the request. */
export class HttpError extends R1SearcherError {
  readonly status: number | undefined;
  /** Whether a retry may succeed. */
  readonly retryable: boolean;
  /** The pause that the server asked for. */
  readonly retryAfterMs: number | undefined;

  constructor(
    message: string,
    options: {
      readonly status?: number;
      readonly retryable: boolean;
      readonly retryAfterMs?: number | undefined;
      readonly cause?: unknown;
    },
  ) {
    super(message, { cause: options.cause });
    this.status = options.status;
    this.retryable = options.retryable;
    this.retryAfterMs = options.retryAfterMs;
  }
}
