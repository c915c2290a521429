/** @file A run whose output has no reader any more, and one whose terminal is closed. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sleep, startCli } from "./support/cli-process.ts";
import { writeTinyPolicy } from "./support/tiny-policy.ts";

const root = mkdtempSync(join(tmpdir(), "lost-reader-"));
let model = "";
beforeAll(() => {
  model = writeTinyPolicy(join(root, "model"));
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

const training = (out: string, steps: number) => [
  ...["train", "nano-short", "--steps", String(steps), "--set", `model=${model}`, "--out", out],
  ...["--set", "eval.full.questions=2", "--set", "eval.curve.questions=2"],
];

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(5);
}

test("train … | head -1 goes on to its last step and saves, also with stderr closed", async () => {
  const out = join(root, "head");
  const cli = startCli(training(out, 3));
  await until(() => cli.output().includes("\n"));
  for (const stream of ["stdout", "stderr"] as const) cli.stopReading(stream);
  const { code, signal } = await cli.ended;
  expect({ code, signal }).toEqual({ code: 0, signal: undefined });
  const steps = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n");
  const last = `step-${String(steps.length - 1).padStart(6, "0")}`;
  expect(readdirSync(join(out, "checkpoints"))).toContain(last);
  expect(steps.length).toBeGreaterThan(3);
}, 120_000);

test.skipIf(process.platform === "win32")(
  "a run whose terminal is closed saves like one that is asked to stop",
  async () => {
    const out = join(root, "hangup");
    const cli = startCli(training(out, 5000));
    await until(() => /^\d+\/\d+ steps/m.test(cli.output()));
    for (const stream of ["stdout", "stderr"] as const) cli.stopReading(stream);
    cli.signal("SIGHUP");
    cli.signal("SIGHUP");
    const { code } = await cli.ended;
    expect(code).toBe(130);
    expect(existsSync(join(out, "run.lock"))).toBe(false);
    const done = readFileSync(join(out, "metrics.jsonl"), "utf8").trim().split("\n").length;
    expect(readdirSync(join(out, "checkpoints")).sort().at(-1)).toBe(`step-${String(done).padStart(6, "0")}`);
  },
  120_000,
);
