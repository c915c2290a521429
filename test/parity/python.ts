import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

/** Runs a script of this folder with JSON in and out. @param program default $PYTHON, else python3 */
export function askPython<Reply>(
  script: string,
  request: unknown,
  program = process.env["PYTHON"] ?? "python3",
): Reply {
  const path = fileURLToPath(new URL(script, import.meta.url));
  const { stdout, stderr, status, error } = spawnSync(program, [path], {
    input: JSON.stringify(request),
    encoding: "utf8",
    maxBuffer: 2 ** 29,
    env: { ...process.env, CUDA_VISIBLE_DEVICES: "" },
  });
  if (error) throw error;
  if (status !== 0) throw new Error(`${script} failed: ${stderr}`);
  return JSON.parse(stdout) as Reply;
}
