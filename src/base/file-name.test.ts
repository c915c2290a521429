import { expect, test } from "vitest";
import { isFileName } from "./file-name.ts";

test.each(["nano", "stage-1", "base", "Qwen2.5-0.5B", "erste Stufe", "步骤1", "_x", "a", "a".repeat(100)])(
  "%s can name a file",
  (name) => expect(isFileName(name)).toBe(true),
);

test.each([
  ...[
    "",
    ".",
    "..",
    "../../twice",
    "a/b",
    "a\\b",
    "/etc",
    "C:",
    "~",
    "-rf",
    ".hidden",
    "a.",
    "a ",
    " a",
    "a\n",
    "a\u001b[2J",
  ],
  ...["a\0b", "nul", "CON.txt", "com1", "a\u202eb", "a\ud800", "a".repeat(101)],
])("%j cannot", (name) => expect(isFileName(name)).toBe(false));
