/** @file Ctrl-C on a real run: saved, quick, and nothing lost when it is pressed twice. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type CliEnd, type CliProcess, sleep, startCli } from "./support/cli-process.ts";
import { writeTinyPolicy } from "./support/tiny-policy.ts";

const root = mkdtempSync(join(tmpdir(), "ctrl-c-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** The number of the first step that the process reports. */
async function firstStep(child: CliProcess): Promise<number> {
  for (;;) {
    const step = /^(\d+)\/\d+ steps/m.exec(child.output())?.[1];
    if (step) return Number(step);
    await Promise.race([
      sleep(5),
      child.ended.then((end: CliEnd) => Promise.reject(new Error(`it ended: ${end.stderr}`))),
    ]);
  }
}

const onWindows = process.platform === "win32"; // it sends no signal to one process

test.skipIf(onWindows)(
  "the run is saved and says how to go on, within 10 s; a second press loses nothing",
  async () => {
    const model = writeTinyPolicy(join(root, "model"));
    const out = join(root, "run");
    const again = ["train", "nano-short", "--steps", "5000", "--set", `model=${model}`, "--out", out, "--resume"];
    const first = startCli(again);
    await firstStep(first);
    const pressed = performance.now();
    first.signal("SIGINT");
    const { code, stderr } = await first.ended;
    expect(performance.now() - pressed).toBeLessThan(10_000);
    expect(stderr).toMatch(/^stopped: .*the run is saved\nhint: continue with --resume\n$/);
    expect(code).toBe(130);
    const stoppedBefore = Number(/before step (\d+)/.exec(stderr)![1]);

    const second = startCli(again);
    expect(await firstStep(second)).toBe(stoppedBefore);
    second.signal("SIGINT");
    while (!second.output().includes("stopping")) await sleep(1);
    second.signal("SIGINT");
    const end = await second.ended;
    expect(end.signal === "SIGINT" || end.code === 130).toBe(true);

    const third = startCli(again);
    expect(await firstStep(third)).toBeGreaterThanOrEqual(stoppedBefore);
    third.signal("SIGINT");
    expect((await third.ended).code).toBe(130);
    expect(readdirSync(out).sort()).not.toContain("run.lock");
  },
  120_000, // three starts of the program; the ten seconds are measured above
);
