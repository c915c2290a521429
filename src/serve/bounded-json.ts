/**
 * @file Bounds what a request makes the server do before its body is parsed and validated. Both run on the thread that
 * answers every other request, so their cost must not grow with what a body of a few megabytes can hold.
 */
import type { MiddlewareHandler } from "hono";
import type { z } from "zod";

/** Refuses a body of more than `most` values with status 400, before it is parsed. */
export function boundedJson(most: number): MiddlewareHandler {
  return async (context, next) => {
    if (context.req.method === "POST" && hasMoreValues(new Uint8Array(await context.req.arrayBuffer()), most))
      return context.json({ error: `expected a body of at most ${most} values` }, 400);
    return next();
  };
}

const [quote, backslash, comma, list, object] = [0x22, 0x5c, 0x2c, 0x5b, 0x7b];

/** Counts lists, objects and commas outside of strings: whatever else JSON holds, its values are no more than these. */
function hasMoreValues(bytes: Uint8Array, most: number): boolean {
  let values = 0;
  let inString = false;
  for (let at = 0; at < bytes.length; at++) {
    const byte = bytes[at]!;
    if (inString) {
      if (byte === backslash) at++;
      else if (byte === quote) inString = false;
    } else if (byte === quote) inString = true;
    else if ((byte === comma || byte === list || byte === object) && ++values > most) return true;
  }
  return false;
}

export interface Fault {
  readonly path: number[];
  readonly message: string;
}

/**
 * The first thing that is wrong with a list of lists of documents, or undefined. It stops there: a validator that
 * reports each of a million wrong documents takes half a minute.
 */
export function documentsFault(lists: unknown, most: number): Fault | undefined {
  if (!Array.isArray(lists)) return { path: [], message: "expected a list of lists of documents" };
  let count = 0;
  for (const [i, documents] of lists.entries()) {
    if (!Array.isArray(documents)) return { path: [i], message: "expected a list of documents" };
    count += documents.length;
    if (i >= most || count > most) return { path: [], message: `expected at most ${most} documents` };
  }
  for (const [i, documents] of lists.entries()) {
    const at = (documents as unknown[]).findIndex((document) => !isDocument(document));
    if (at >= 0) return { path: [i, at], message: "expected contents, or title and text" };
  }
  return undefined;
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function isDocument(given: unknown): boolean {
  if (!isObject(given)) return false;
  const document = isObject(given["document"]) ? given["document"] : given;
  const { id, contents, title, text } = document;
  const isText = (value: unknown) => value === undefined || value === null || typeof value === "string";
  if (![contents, title, text].every(isText) || !(isText(id) || Number.isSafeInteger(id))) return false;
  return typeof contents === "string" || typeof text === "string";
}

/** How many faults of a body are reported. */
const shownFaults = 5;

export function complaint({ issues }: z.ZodError): string {
  const shown = issues
    .slice(0, shownFaults)
    .map(({ path, message }) => `${path.join(".") || "the body"}: ${message}`)
    .join("; ");
  return issues.length > shownFaults ? `${shown}; and ${issues.length - shownFaults} more` : shown;
}
