import { expect, test } from "vitest";
import { inspect, type Machine, testEngine, testSampler } from "./doctor.ts";

const machine: Machine = {
  ...{ nodeVersion: "v20.20.2", platform: "linux", arch: "x64", libc: "glibc" },
  ...{ cores: 2, totalMemory: 8e9, freeMemory: 4e9 },
};

const stateOf = (name: string, change: Partial<Machine>) =>
  inspect({ ...machine, ...change }).find((finding) => finding.name === name)!;

test("a supported machine passes", () => {
  expect(inspect(machine).map(({ state }) => state)).toEqual(["ok", "ok", "ok", "ok"]);
});

test.each<[Partial<Machine>, string]>([
  [{ libc: "musl" }, "Alpine"],
  [{ platform: "darwin", arch: "x64", libc: undefined }, "Intel Macs"],
  [{ arch: "ia32" }, "no engine binary"],
  [{ platform: "freebsd", libc: undefined }, "no engine binary"],
])("%o has no engine", (change, text) => {
  const finding = stateOf("platform", change);
  expect(finding.state).toBe("failed");
  expect(finding.text).toContain(text);
});

test.each<Partial<Machine>>([
  { arch: "arm64" },
  { platform: "darwin", arch: "arm64", libc: undefined },
  { platform: "win32", libc: undefined },
  { platform: "win32", arch: "arm64", libc: undefined },
])("%o has one", (change) => {
  expect(stateOf("platform", change).state).toBe("ok");
});

test("Node below the floor fails, newer majors pass", () => {
  expect(
    ["v18.20.0", "v20.18.3", "v20.19.0", "v24.1.0"].map((nodeVersion) => stateOf("node", { nodeVersion }).state),
  ).toEqual(["failed", "failed", "ok", "ok"]);
});

test("little memory and one core are said, not refused", () => {
  expect(stateOf("memory", { totalMemory: 1e9 }).state).toBe("warning");
  expect(stateOf("processor", { cores: 1 }).state).toBe("warning");
});

test("the engine of this machine computes, and samples what it learns from", async () => {
  expect(await testEngine()).toMatchObject({ name: "engine", state: "ok" });
  expect(await testSampler()).toMatchObject({ name: "sampler", state: "ok" });
});
