/** @file How an error travels from a worker thread to the caller: with its class, its hint, its code and its stack. */
import { EngineError, errorClasses, messageOf, R1SearcherError } from "../base/errors.ts";

/** An error as plain data, which a message can carry. */
export interface WorkerFault {
  /** Of the class; one of the error tree or one of JavaScript's own. */
  readonly name: string;
  readonly message: string;
  readonly stack?: string | undefined;
  readonly hint?: string | undefined;
  /** What the operating system reported, such as ENOSPC. */
  readonly code?: string | undefined;
}

const builtIn: Readonly<Record<string, ErrorConstructor>> = {
  TypeError,
  RangeError,
  ReferenceError,
  SyntaxError,
  EvalError,
  URIError,
};

export const memoryHint =
  "what is saved is intact: a run continues with --resume; if it was out of memory, ask for less at once";

export function faultOf(error: unknown): WorkerFault {
  if (!(error instanceof Error)) return { name: "Error", message: messageOf(error) };
  const { message, stack } = error;
  const { code } = error as NodeJS.ErrnoException;
  return {
    ...{ name: classNameOf(error), message, stack },
    ...(error instanceof R1SearcherError && error.hint !== undefined ? { hint: error.hint } : {}),
    ...(typeof code === "string" ? { code } : {}),
  };
}

/** The nearest class that the other side knows; a subclass from elsewhere arrives as what it extends. */
function classNameOf(error: Error): string {
  for (let at = Object.getPrototypeOf(error); at !== null; at = Object.getPrototypeOf(at)) {
    const name: unknown = at.constructor?.name;
    if (typeof name === "string" && (Object.hasOwn(errorClasses, name) || Object.hasOwn(builtIn, name))) return name;
  }
  return "Error";
}

/** The error again. A bug stays a bug; only memory that ran out, which JavaScript reports as a RangeError, is named. */
export function errorOf({ name, message, stack, hint, code }: WorkerFault): Error {
  const error = isOutOfMemory(name, message)
    ? new EngineError(`a worker ran out of memory: ${message}`, { hint: memoryHint })
    : Object.hasOwn(errorClasses, name)
      ? new errorClasses[name]!(message, { hint })
      : new (Object.hasOwn(builtIn, name) ? builtIn[name]! : Error)(message);
  if (stack !== undefined) error.stack = stack;
  return code === undefined ? error : Object.assign(error, { code });
}

function isOutOfMemory(name: string, message: string): boolean {
  return name === "RangeError" && /alloca/i.test(message);
}
