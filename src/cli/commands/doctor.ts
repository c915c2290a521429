import { arch, availableParallelism, freemem, platform, totalmem } from "node:os";
import { createColors } from "picocolors";
import { ConfigError, EngineError } from "../../base/errors.ts";
import { describedCommand, jsonOption } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function command() {
  return describedCommand(
    "doctor",
    "Check what works on this machine, and what would fail. Exits 1 if something would.",
    "doctor",
    "doctor --index my-index --questions questions.jsonl",
  )
    .option("--index <dir>", "an index that training will search")
    .option("--questions <file>", "questions for the index, as for `index check`")
    .addOption(jsonOption())
    .action(async ({ index, questions, json }) => {
      const output = createOutput({ json });
      if (questions && !index)
        throw new ConfigError("--questions needs --index", { hint: "name the index that they are for" });
      const { inspect, testEngine, testSampler, testSearch } = await import("../doctor.ts");
      const findings = [
        ...inspect({
          nodeVersion: process.version,
          platform: platform(),
          arch: arch(),
          libc: libc(),
          cores: availableParallelism(),
          totalMemory: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
          freeMemory: process.availableMemory?.() ?? freemem(),
        }),
        await testEngine(),
        await testSampler(),
        ...(index ? [await testSearch(index, questions)] : []),
      ];
      const { green, yellow, red } = createColors(output.colour);
      const paint = { ok: green, warning: yellow, failed: red };
      for (const { name, state, text } of findings)
        output.say(`${paint[state](state.padEnd(8))}${name.padEnd(12)}${printable(text)}`);
      output.result({ ok: findings.every(({ state }) => state !== "failed"), findings });
      const failed = findings.filter(({ state }) => state === "failed");
      if (failed.length > 0) {
        throw new EngineError(`this machine fails at ${failed.map(({ name }) => name).join(", ")}`, {
          hint: "see the lines above",
        });
      }
    });
}

/** glibc reports its version to Node; musl does not. */
function libc(): "glibc" | "musl" | undefined {
  if (platform() !== "linux") return undefined;
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  return header?.glibcVersionRuntime ? "glibc" : "musl";
}
