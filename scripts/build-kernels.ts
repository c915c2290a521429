/**
 * @file Compiles src/runtime/kernels.wat into src/runtime/kernels-wasm.ts, so that users need no WebAssembly tools.
 * Run it after every edit of the .wat (`npx tsx scripts/build-kernels.ts`); a test compares the two.
 */
import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import loadWabt from "wabt";

export async function compileKernels(source: string): Promise<{ sha256: string; base64: string }> {
  const wabt = await loadWabt();
  const parsed = wabt.parseWat("kernels.wat", source, { simd: true });
  try {
    parsed.validate();
    const { buffer } = parsed.toBinary({});
    return {
      sha256: createHash("sha256").update(source).digest("hex"),
      base64: Buffer.from(buffer).toString("base64"),
    };
  } finally {
    parsed.destroy();
  }
}

async function main(): Promise<void> {
  const folder = new URL("../src/runtime/", import.meta.url);
  const { sha256, base64 } = await compileKernels(await readFile(new URL("kernels.wat", folder), "utf8"));
  const text = `/** @file Made from kernels.wat by scripts/build-kernels.ts; do not edit. */

export const kernelsWatSha256 = "${sha256}";

export const kernelsWasmBase64 =
  "${base64}";
`;
  await writeFile(new URL("kernels-wasm.ts", folder), text);
  console.log(`src/runtime/kernels-wasm.ts: ${Buffer.from(base64, "base64").length} bytes of WebAssembly`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
