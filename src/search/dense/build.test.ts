/** @file Builds that are stopped, fail and go on, and an index that takes more passages. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { HttpError } from "../../base/http/http-error.ts";
import type { Passage } from "../../protocol/passage.ts";
import { appendToDenseIndex } from "./append.ts";
import { buildDenseIndex } from "./build.ts";
import type { Encoder } from "./encoder.ts";
import { openDenseIndex } from "./open.ts";
import { asyncOf, numbered } from "./testing/vectors.ts";
import { wordsEncoder } from "./testing/words-encoder.ts";

const folder = mkdtempSync(join(tmpdir(), "dense-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
let made = 0;
const fresh = (ending = "") => join(folder, `${made++}${ending}`);

/** Counts what it encodes, and is stopped or fails at one of its calls. */
function countingEncoder(failAt = Number.POSITIVE_INFINITY, fail: () => never = neverFails) {
  const inner = wordsEncoder(64);
  const seen = { texts: 0, calls: 0 };
  const encoder: Encoder = {
    ...inner,
    encodePassages: async (texts) => {
      if (++seen.calls === failAt) fail();
      seen.texts += texts.length;
      return inner.encodePassages(texts);
    },
  };
  return { encoder, seen };
}
const neverFails = (): never => {
  throw new Error("not to be called");
};

const many = numbered(300).map((passage) => ({ ...passage, title: `number ${passage.id}` }));
const sumsOf = (directory: string) =>
  (JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8")) as { sums: string }).sums;

async function stoppedBuild(): Promise<string> {
  const directory = fresh();
  const controller = new AbortController();
  const { encoder } = countingEncoder(5, () => {
    controller.abort();
    throw controller.signal.reason;
  });
  const building = buildDenseIndex(asyncOf(many), directory, { encoder, signal: controller.signal });
  await expect(building).rejects.toThrow("the vectors of 128 passages are kept");
  return directory;
}

test("a build that was stopped goes on, encodes nothing twice, and ends with the same bytes", async () => {
  const whole = fresh();
  await buildDenseIndex(asyncOf(many), whole, { encoder: countingEncoder().encoder });
  const directory = await stoppedBuild();
  const anew = buildDenseIndex(asyncOf(many), directory, { encoder: countingEncoder().encoder });
  await expect(anew).rejects.toThrow("holds a build that was stopped");
  const other = buildDenseIndex(asyncOf(many), directory, { encoder: wordsEncoder(32), resume: true });
  await expect(other).rejects.toThrow("another encoder");
  const { encoder, seen } = countingEncoder();
  await buildDenseIndex(asyncOf(many), directory, { encoder, resume: true });
  expect(seen.texts).toBe(300 - 128);
  expect(sumsOf(directory)).toBe(sumsOf(whole));
  expect(readdirSync(directory).sort()).toEqual(readdirSync(whole).sort());
});

test("of vectors that were kept, those of other texts and those that are torn or changed are made again", async () => {
  const changed = many.map((passage, i) => (i === 100 ? { ...passage, text: "another" } : passage));
  const RECORD = 16 + 64 * 4 + 4;
  const cases: [readonly Passage[], (log: Buffer) => Buffer, number][] = [
    [changed, (log) => log, 200],
    [many, (log) => log.subarray(0, log.length - 5), 173],
    [many, (log) => log.subarray(0, 20), 300],
    [many, (log) => log.fill(7, 48 + 10 * RECORD + 30, 48 + 10 * RECORD + 31), 290],
    [many, (log) => Buffer.concat([log, Buffer.alloc(1000)]), 172],
  ];
  for (const [passages, change, again] of cases) {
    const directory = await stoppedBuild();
    const log = `${directory}.building/encoded`;
    writeFileSync(log, change(readFileSync(log)));
    const { encoder, seen } = countingEncoder();
    await buildDenseIndex(asyncOf(passages), directory, { encoder, resume: true });
    expect(seen.texts).toBe(again);
    const whole = fresh();
    await buildDenseIndex(asyncOf(passages), whole, { encoder: countingEncoder().encoder });
    expect(sumsOf(directory)).toBe(sumsOf(whole));
  }
});

test("what the encoder's server did before it failed is kept; another failure leaves nothing", async () => {
  const directory = fresh();
  const away = countingEncoder(3, () => {
    throw new HttpError("status 503", { retryable: true });
  });
  await expect(buildDenseIndex(asyncOf(many), directory, away)).rejects.toMatchObject({
    name: "SearchError",
    message: "the encoder failed (status 503); the vectors of 64 passages are kept",
  });
  const { encoder, seen } = countingEncoder();
  await buildDenseIndex(asyncOf(many), directory, { encoder, resume: true });
  expect(seen.texts).toBe(300 - 64);
  const broken = fresh();
  const bad = countingEncoder(3, () => {
    throw new Error("a defect");
  });
  await expect(buildDenseIndex(asyncOf(many), broken, bad)).rejects.toThrow("a defect");
  expect(existsSync(`${broken}.building`)).toBe(false);
});

test("an index that takes more passages is that of all of them; its own are not encoded again, stopped or not", async () => {
  const [before, more] = [many.slice(0, 100), many.slice(100)];
  const whole = fresh();
  await buildDenseIndex(asyncOf(many), whole, { encoder: countingEncoder().encoder });
  const grown = async () => {
    const directory = fresh();
    await buildDenseIndex(asyncOf(before), directory, { encoder: countingEncoder().encoder });
    return directory;
  };
  const directory = await grown();
  const { encoder, seen } = countingEncoder();
  expect(await appendToDenseIndex(asyncOf(more), directory, { encoder })).toMatchObject({ passages: 300 });
  expect([seen.texts, sumsOf(directory)]).toEqual([200, sumsOf(whole)]);

  const stopped = await grown();
  const controller = new AbortController();
  const ending = countingEncoder(3, () => {
    controller.abort();
    throw controller.signal.reason;
  });
  const adding = appendToDenseIndex(asyncOf(more), stopped, { encoder: ending.encoder, signal: controller.signal });
  await expect(adding).rejects.toMatchObject({ name: "InterruptedError", hint: expect.stringContaining("again") });
  await (await openDenseIndex(stopped, { encoder: wordsEncoder(64) })).close(); // as it was
  const next = countingEncoder();
  await appendToDenseIndex(asyncOf(more), stopped, next);
  expect([ending.seen.texts + next.seen.texts, sumsOf(stopped)]).toEqual([200, sumsOf(whole)]);
  expect(readdirSync(folder).filter((name) => name.includes("appending"))).toEqual([]);

  const other = appendToDenseIndex(asyncOf(more), stopped, { encoder: wordsEncoder(32) });
  await expect(other).rejects.toThrow("another encoder");
});
