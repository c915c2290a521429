import { expect, test } from "vitest";
import { ConfigError, DataError, InterruptedError } from "../base/errors.ts";
import { failureOf } from "./exit.ts";

test("a user's mistake is a line, a hint and no stack", () => {
  const failure = failureOf(new ConfigError("search.k is 0", { hint: "give at least 1" }), false);
  expect(failure).toEqual({ exitCode: 2, text: "error: search.k is 0\nhint: give at least 1" });
});

test("bad data exits 1, an interrupt 130", () => {
  expect(failureOf(new DataError("corpus.tsv:7 has two columns"), false)).toEqual({
    exitCode: 1,
    text: "error: corpus.tsv:7 has two columns",
  });
  expect(failureOf(new InterruptedError("stopped at step 4"), false)).toEqual({
    exitCode: 130,
    text: "stopped: stopped at step 4",
  });
});

test("a message of several lines, or one with control characters, stays one line", () => {
  expect(failureOf(new DataError("a\nb\u001b[2J"), false).text).toBe("error: a · b␛[2J");
});

test("a full disk is not a bug", () => {
  const error = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
  const { exitCode, text } = failureOf(error, false);
  expect(exitCode).toBe(1);
  expect(text).toMatch(/^error: ENOSPC.*\nhint: the disk is full/);
});

test("a bug shows its stack, and so does a mistake in debugging", () => {
  const bug = failureOf(new TypeError("x is undefined"), false);
  expect(bug.exitCode).toBe(70);
  expect(bug.text).toContain("exit.test.ts");
  expect(failureOf(new ConfigError("wrong"), true).text).toContain("exit.test.ts");
});
