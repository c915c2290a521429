import { expect, test } from "vitest";
import { createOutput, printable } from "./output.ts";

function streams() {
  const written = { stdout: "", stderr: "" };
  const stream = (name: "stdout" | "stderr", isTTY: boolean) => ({
    isTTY,
    write: (text: string) => (written[name] += text),
  });
  return { written, stdout: stream("stdout", true), stderr: stream("stderr", false) };
}

test("without --json words go to stdout and there is no object", () => {
  const { written, ...rest } = streams();
  const output = createOutput({ ...rest, env: {} });
  output.say("words");
  output.result({ n: 1 });
  expect(written).toEqual({ stdout: "words\n", stderr: "" });
});

test("with --json words go to stderr and stdout is one line", () => {
  const { written, ...rest } = streams();
  const output = createOutput({ json: true, ...rest, env: {} });
  output.say("words");
  output.result({ text: "two\nlines" });
  expect(written).toEqual({ stdout: '{"text":"two\\nlines"}\n', stderr: "words\n" });
});

test("a number that JSON cannot hold is a bug, not a null", () => {
  const { written, ...rest } = streams();
  expect(() => createOutput({ json: true, ...rest }).result({ em: Number.NaN })).toThrow("em");
  expect(written.stdout).toBe("");
});

test("colour follows the terminal unless the environment says otherwise", () => {
  const { written, ...rest } = streams();
  const colour = (env: Record<string, string>, json = false) => createOutput({ json, ...rest, env }).colour;
  expect([colour({}), colour({ NO_COLOR: "1" }), colour({ TERM: "dumb" }), colour({}, true)]).toEqual([
    true,
    false,
    false,
    false,
  ]);
  expect(colour({ FORCE_COLOR: "1" }, true)).toBe(true);
  expect(written.stdout).toBe("");
});

test("text of others cannot steer the terminal", () => {
  expect(printable("\u001b[31mred\u001b]0;title\u0007\r\nnext\ttab\u009b2J\u202eback")).toBe(
    "␛[31mred␛]0;title␇\nnext\ttab\ufffd2J\ufffdback",
  );
});
