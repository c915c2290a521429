/**
 * @file Checks what this machine can run. The rules are pure functions; `commands/doctor.ts` collects the facts and
 * prints.
 */
import { messageOf } from "../base/errors.ts";
import { probeExpected, runProbe } from "../engine/onnx/probe.ts";
import { bytes, percent } from "./display/words.ts";

export interface Finding {
  readonly name: string;
  readonly state: "ok" | "warning" | "failed";
  readonly text: string;
}

export interface Machine {
  readonly nodeVersion: string;
  readonly platform: string;
  readonly arch: string;
  /** Undefined on systems other than Linux. */
  readonly libc: "glibc" | "musl" | undefined;
  readonly cores: number;
  readonly totalMemory: number;
  readonly freeMemory: number;
}

const oldestNode = [20, 19] as const;
/** Peak memory of the bundled recipe. */
const neededMemory = 1.5e9;

export function inspect(machine: Machine): Finding[] {
  return [inspectNode(machine), inspectPlatform(machine), inspectCores(machine), inspectMemory(machine)];
}

function inspectNode({ nodeVersion }: Machine): Finding {
  const [major = 0, minor = 0] = nodeVersion.replace(/^v/, "").split(".").map(Number);
  const isOld = major < oldestNode[0] || (major === oldestNode[0] && minor < oldestNode[1]);
  const text = isOld ? `${nodeVersion}; ${oldestNode.join(".")} or newer is needed` : nodeVersion;
  return { name: "node", state: isOld ? "failed" : "ok", text };
}

function inspectPlatform({ platform, arch, libc }: Machine): Finding {
  const here = `${platform} ${arch}${libc ? ` ${libc}` : ""}`;
  const fail = (why: string): Finding => ({ name: "platform", state: "failed", text: `${here}: ${why}` });
  if (platform === "linux" && libc === "musl") {
    return fail(
      "no engine binary exists for Alpine and other musl systems; use a glibc system (Debian, Ubuntu, Fedora …)",
    );
  }
  if (platform === "darwin" && arch !== "arm64")
    return fail("no engine binary exists for Intel Macs; use Linux in a virtual machine or another computer");
  const isSupported = ["linux", "win32"].includes(platform) ? ["x64", "arm64"].includes(arch) : platform === "darwin";
  if (!isSupported)
    return fail(
      "no engine binary exists for it; Linux (glibc), Windows (x64, arm64) and macOS on Apple silicon have one",
    );
  return { name: "platform", state: "ok", text: here };
}

function inspectCores({ cores }: Machine): Finding {
  const text = cores < 2 ? "1 core; training works, in about twice the time" : `${cores} cores`;
  return { name: "processor", state: cores < 2 ? "warning" : "ok", text };
}

function inspectMemory({ totalMemory, freeMemory }: Machine): Finding {
  const isShort = totalMemory < neededMemory;
  const text = `${bytes(freeMemory)} free of ${bytes(totalMemory)}`;
  return {
    name: "memory",
    state: isShort ? "warning" : "ok",
    text: isShort ? `${text}; the bundled recipe needs ${bytes(neededMemory)}` : text,
  };
}

/** Runs a small graph and compares the numbers: the binary loads, and it writes into this program's buffers. */
export async function testEngine(): Promise<Finding> {
  const name = "engine";
  try {
    const computed = await runProbe();
    if (computed.some((value, i) => value !== probeExpected[i])) {
      return {
        name,
        state: "failed",
        text: `the engine computed ${computed.join(", ")} where ${probeExpected.join(", ")} is right`,
      };
    }
    return { name, state: "ok", text: "loads and computes" };
  } catch (error) {
    return failed(name, error);
  }
}

/** Samples with the bundled policy: the log-probabilities that it learns from are those that it sampled with. */
export async function testSampler(): Promise<Finding> {
  const name = "sampler";
  try {
    const { selfTest } = await import("../run/engines/self-test.ts");
    const { sameInBatch, largestDifference, tokens } = await selfTest();
    const isClose = largestDifference <= 1e-4;
    const text = [
      `${tokens} tokens`,
      sameInBatch ? "bit-identical alone and in a batch" : "different results alone and in a batch",
      `learner within ${largestDifference.toExponential(0)} nats`,
    ].join(", ");
    return { name, state: sameInBatch && isClose ? "ok" : "failed", text };
  } catch (error) {
    return failed(name, error);
  }
}

/** Asks an index questions whose passages or answers are known; without questions it is only opened. */
export async function testSearch(index: string, questions: string | undefined): Promise<Finding> {
  const name = "search";
  try {
    if (questions === undefined) {
      const { openSearch } = await import("../run/search/open-search.ts");
      const { searcher } = await openSearch({ source: "index", path: index });
      const { passages } = searcher.info();
      await searcher.close();
      return { name, state: "warning", text: `${passages} passages; give --questions to see whether they are found` };
    }
    const { runIndexCheck } = await import("../run/search/run-index-check.ts");
    const { healthy, n, recall, reasons } = await runIndexCheck(index, questions);
    const text = healthy ? `${n} questions, recall@10 ${percent(recall["10"])}` : reasons.join("; ");
    return { name, state: healthy ? "ok" : "failed", text };
  } catch (error) {
    return failed(name, error);
  }
}

function failed(name: string, error: unknown): Finding {
  const hint = error instanceof Error && "hint" in error && typeof error.hint === "string" ? ` (${error.hint})` : "";
  return { name, state: "failed", text: `${messageOf(error)}${hint}` };
}
