/**
 * @file Training while search fails: the server is killed (SIGKILL) in the middle of a step and started again later,
 * and 30 % of all requests fail. The run must pause, go on within 5 s of the server's return, give no reward to an
 * attempt that search failed, and compare siblings among the others alone.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { programOptions } from "../../scripts/program-options.ts";
import { uniform } from "../../src/base/random.ts";
import { makeWorld } from "../../src/data/world/world.ts";
import { type CliProcess, sleep, startCli } from "../support/cli-process.ts";

const help = `Trains while search fails: the search server is killed in the middle of a step and started again, then 30 % of
all requests fail. The run must wait, continue within 5 s, and give no reward to an attempt that search failed.

usage: npm run experiment -- search-outage [options]
  --steps <n>     of each of the two runs (default: 10)
  --away <n>      seconds for which the server is away (default: 10)
  --out <dir>     where the runs are (default: a new temporary folder)
  --help
`;
const { values } = programOptions(help, {
  steps: { type: "string", default: "10" },
  away: { type: "string", default: "10" },
  out: { type: "string", default: "" },
});
const root = values.out || mkdtempSync(join(tmpdir(), "search-outage-"));
const say = (line: string) => void process.stdout.write(`${line}\n`);

const main = async () => {
  const index = await buildIndex();
  const faults: string[] = [];
  for (const [name, scenario] of Object.entries({ outage, transient })) {
    const folder = join(root, name);
    const problems = [...(await scenario(index, folder)), ...trajectoryFaults(folder)];
    for (const problem of problems) say(`${name}: FAILED ${problem}`);
    if (problems.length === 0) say(`${name}: ok`);
    faults.push(...problems);
  }
  process.exitCode = faults.length === 0 ? 0 : 1;
};

async function buildIndex(): Promise<string> {
  mkdirSync(root, { recursive: true });
  const { passages } = makeWorld({ seed: 0, split: "train", size: "train" });
  const corpus = join(root, "corpus.jsonl");
  const index = join(root, "index");
  writeFileSync(corpus, passages.map((passage) => `${JSON.stringify(passage)}\n`).join(""));
  await ended(startCli(["index", "build", corpus, "--out", index, "--overwrite"]));
  return index;
}

async function ended(child: CliProcess): Promise<void> {
  const { code, signal, stderr, stdout } = await child.ended;
  if (code !== 0) throw new Error(`a command ended with ${code ?? signal}:\n${stderr || stdout}`);
}

async function until(holds: () => boolean, child: CliProcess): Promise<void> {
  let isOver = false;
  child.ended.then(() => {
    isOver = true;
  });
  while (!holds()) {
    if (isOver) throw new Error(`it ended too soon:\n${child.output()}`);
    await sleep(5);
  }
}

async function startServer(index: string, port: number): Promise<{ child: CliProcess; url: string }> {
  const child = startCli(["serve", "search", "--index", index, "--port", String(port)]);
  await until(() => /listens on http/.test(child.output()), child);
  return { child, url: /http:\/\/[\d.:]+/.exec(child.output())![0] };
}

const train = (url: string, folder: string) =>
  startCli(["train", "nano-short", "--steps", values.steps, "--search", `${url}/retrieve`, "--out", folder]);

/** Kills the server in the middle of a step, and brings it back. */
async function outage(index: string, folder: string): Promise<string[]> {
  const first = await startServer(index, 0);
  const run = train(first.url, folder);
  const steps = () => readOr(join(folder, "metrics.jsonl")).split("\n").length - 1;
  await until(() => steps() >= 3, run);
  first.child.signal("SIGKILL");
  await first.child.ended;
  say(`outage: server killed after ${steps()} steps`);
  await until(() => /waiting for search/.test(run.output()), run);
  const stepsAtPause = steps();
  await sleep(1000 * Number(values.away));
  const stepsWhileAway = steps() - stepsAtPause;
  const again = await startServer(index, Number(new URL(first.url).port));
  const back = performance.now();
  await until(() => /search is back/.test(run.output()), run);
  const seconds = (performance.now() - back) / 1000;
  await ended(run);
  again.child.signal("SIGTERM");
  await ended(again.child);
  for (const line of run.output().split("\n"))
    if (/waiting for search|search is back/.test(line)) say(`outage: ${line}`);
  say(`outage: the run went on ${seconds.toFixed(2)} s after the server listened again; ${steps()} records`);
  return [
    ...(stepsWhileAway > 0 ? [`${stepsWhileAway} steps were made without search`] : []),
    ...(seconds > 5 ? [`it took ${seconds.toFixed(1)} s to go on`] : []),
  ];
}

/** Every third request, by a key, is answered with 500 or cut off. */
async function transient(index: string, folder: string): Promise<string[]> {
  const { child, url } = await startServer(index, 0);
  const proxy = await faultyProxy(url, 0.3);
  const began = performance.now();
  await ended(train(proxy.url, folder));
  proxy.server.close();
  proxy.server.closeAllConnections();
  child.signal("SIGTERM");
  await ended(child);
  const { requests, failed } = proxy.counts;
  say(
    `transient: ${failed} of ${requests} requests failed; the run took ${((performance.now() - began) / 1000).toFixed(0)} s`,
  );
  return requests < 20 ? [`only ${requests} searches were made`] : [];
}

async function faultyProxy(target: string, share: number) {
  const counts = { requests: 0, failed: 0 };
  const server: Server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    if (request.method === "POST") {
      const draw = uniform([1, counts.requests++]);
      if (draw < share) {
        counts.failed++;
        if (draw < share / 2) response.writeHead(500).end("fault");
        else request.socket.destroy();
        return;
      }
    }
    const headers = { "content-type": "application/json" };
    const method = request.method ?? "GET";
    const reply = await fetch(`${target}${request.url}`, { method, headers, ...(body === "" ? {} : { body }) });
    response.writeHead(reply.status, headers).end(await reply.text());
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { server, counts, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

interface Attempt {
  readonly question: { readonly id: string };
  readonly stop: string;
  readonly reward?: { readonly total: number };
  readonly advantage?: number;
}

/** Advantages must be (reward − mean of the survivors of the group) × one factor of the step. */
function trajectoryFaults(folder: string): string[] {
  const faults: string[] = [];
  let [attempts, failed, mixed] = [0, 0, 0];
  for (const name of readdirSync(join(folder, "trajectories")).sort()) {
    const lines = gunzipSync(readFileSync(join(folder, "trajectories", name)))
      .toString()
      .trimEnd()
      .split("\n");
    const all = lines.map((line) => JSON.parse(line) as Attempt);
    const groups = new Map(
      all.map(({ question }) => [question.id, all.filter((one) => one.question.id === question.id)]),
    );
    const factors: number[] = [];
    attempts += all.length;
    for (const group of groups.values()) {
      const lost = group.filter(({ stop }) => stop === "environment-failed");
      const survivors = group.filter(({ stop }) => stop !== "environment-failed");
      failed += lost.length;
      if (lost.length > 0 && survivors.length > 1) mixed++;
      for (const { reward, advantage } of lost) {
        if (reward !== undefined || advantage !== undefined) faults.push(`${name}: a failed attempt has a reward`);
      }
      const mean = survivors.reduce((sum, { reward }) => sum + reward!.total, 0) / survivors.length;
      for (const { reward, advantage } of survivors) {
        const ahead = reward!.total - mean;
        if (Math.abs(ahead) > 1e-9 && advantage !== undefined) factors.push(advantage / ahead);
      }
    }
    const spread = factors.length === 0 ? 0 : Math.max(...factors) - Math.min(...factors);
    if (spread > 1e-6 * Math.abs(factors[0] ?? 1)) faults.push(`${name}: advantages are not those of the survivors`);
  }
  say(`  ${attempts} attempts kept, ${failed} of them failed by search, in ${mixed} groups beside survivors`);
  return faults;
}

function readOr(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return "";
  }
}

await main();
