/** @file Values of a config.json that someone else wrote, checked one by one. */
import { type JsonObject, show } from "./json-file.ts";

export { type JsonObject, show } from "./json-file.ts";

/** Throws with the file's name before the message. */
export type Fail = (message: string, hint?: string) => never;

/** Neither missing nor null, which mean the same in these files. */
export function isGiven(value: unknown): boolean {
  return (value ?? undefined) !== undefined;
}

export function positive(value: unknown, key: string, fail: Fail): number {
  if (typeof value === "number" && Number.isFinite(value) && value > 0) return value;
  return fail(`"${key}" is ${show(value)}; expected a positive number`);
}

export function flag(raw: JsonObject, key: string, fail: Fail): boolean {
  const value = raw[key] ?? false;
  return typeof value === "boolean" ? value : fail(`"${key}" is ${show(value)}; expected true or false`);
}

export function refuseFlags(raw: JsonObject, keys: readonly string[], fail: Fail): void {
  for (const key of keys) if (flag(raw, key, fail)) fail(`"${key}": true is not supported`);
}
