import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { Faults, LogLine } from "./hub-server.ts";

export interface Hub {
  readonly url: string;
  faults(faults: Faults): Promise<void>;
  /** What was asked since the last call. */
  log(): Promise<LogLine[]>;
  stop(): void;
}

/** Starts the loopback hub as a process; each folder is the model test/NAME-OF-FOLDER. */
export async function startHub(...folders: readonly string[]): Promise<Hub> {
  const script = fileURLToPath(new URL("hub-server.ts", import.meta.url));
  const child = spawn(process.execPath, ["--import", "tsx", script, ...folders], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const url = await new Promise<string>((resolve, reject) => {
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the hub ended with ${code}`)));
    child.stdout.setEncoding("utf8").once("data", (text: string) => resolve(text.trim()));
  });
  return {
    url,
    faults: async (faults) => void (await fetch(`${url}/_faults`, { method: "POST", body: JSON.stringify(faults) })),
    log: async () => (await (await fetch(`${url}/_log`)).json()) as LogLine[],
    stop: () => void child.kill("SIGKILL"),
  };
}
