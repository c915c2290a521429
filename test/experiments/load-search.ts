/**
 * @file The search server under load: 200 clients that keep their connection, first alone and then beside 500 sockets
 * that never finish their headers. No error, p99 at most twice that without those sockets, memory flat. Then all of them
 * connect to a server that does not run for a while, as on a machine that is busy, and each is answered.
 *   npm run experiment -- load-search [--seconds 30]
 *
 * Latencies mean something on a machine that does nothing else. Memory is that after a collection: between two, the engine
 * keeps up to 60 MiB of garbage, the more the more requests are under way at once.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { Agent, request } from "undici";
import { programOptions } from "../../scripts/program-options.ts";
import { makeWorld } from "../../src/data/world/world.ts";
import { type CliProcess, sleep, startCli } from "../support/cli-process.ts";
import { heldMemory } from "../support/inspected-memory.ts";

const help = `The search server under load: many clients, alone and beside sockets that never finish their headers; then all of
them connect to a server that is stopped for a while. No error, p99 at most twice as long, memory that does not grow.

usage: npm run experiment -- load-search [options]
  --seconds <n>   of each measurement (default: 30)
  --clients <n>   that keep their connection (default: 200)
  --think <ms>    between two requests of a client (default: 500)
  --slow <n>      sockets that never finish their headers (default: 500)
  --warm <n>      seconds before anything is measured (default: 15)
  --stall <n>     seconds for which the server does not run; 0 leaves that part out (default: 12)
  --help

Latencies mean something only on a machine that does nothing else.
`;
const { values } = programOptions(help, {
  seconds: { type: "string", default: "30" },
  clients: { type: "string", default: "200" },
  think: { type: "string", default: "500" },
  slow: { type: "string", default: "500" },
  warm: { type: "string", default: "15" },
  stall: { type: "string", default: "12" },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
const queries = makeWorld({ seed: 0, split: "train", size: "train" }).passages.map(({ text }) => text.slice(0, 60));
const mostGrowth = 20 * 2 ** 20;

interface Measured {
  readonly requests: number;
  /** How many of each kind. */
  readonly errors: ReadonlyMap<string, number>;
  readonly p50: number;
  readonly p99: number;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "load-search-"));
  say(`load of the machine before: ${loadavg()[0]!.toFixed(1)}`);
  try {
    const server = await startServer(folder);
    const faults = [...(await underLoad(server)), ...(await stalled(server))];
    server.cli.signal("SIGTERM");
    const { code } = await server.cli.ended;
    if (code !== 0) faults.push(`the server ended with ${code}`);
    for (const fault of faults) say(`FAILED ${fault}`);
    process.exitCode = faults.length === 0 ? 0 : 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Server {
  readonly cli: CliProcess;
  readonly url: string;
}

async function startServer(folder: string): Promise<Server> {
  const corpus = join(folder, "corpus.jsonl");
  const { passages } = makeWorld({ seed: 0, split: "train", size: "train" });
  writeFileSync(corpus, passages.map((passage) => `${JSON.stringify(passage)}\n`).join(""));
  const index = join(folder, "index");
  await startCli(["index", "build", corpus, "--out", index]).ended;
  const env = { NODE_OPTIONS: "--inspect=127.0.0.1:0" };
  const cli = startCli(["serve", "search", "--index", index, "--port", "0"], { env });
  while (!/listens on/.test(cli.output())) await sleep(20);
  return { cli, url: /http:\/\/[\d.:]+/.exec(/listens on .*/.exec(cli.output())![0])![0] };
}

async function underLoad({ cli, url }: Server): Promise<string[]> {
  const clients = Number(values.clients);
  await load(url, { clients, seconds: Number(values.warm), think: 50 }); // code is compiled, memory has its size
  const one = await load(url, { clients: 1, seconds: 5, think: 20 });
  const before = await heldMemory(cli.output());
  const alone = await load(url, { clients, seconds: 10 });
  const slow = openSlowSockets(url, Number(values.slow));
  const beside = await load(url, { clients, seconds: Number(values.seconds) });
  const after = await heldMemory(cli.output());
  slow.stop();
  for (const [name, measured] of Object.entries({ one, alone, beside })) say(shown(name, measured));
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
  const [rss, heap] = [after.rss - before.rss, after.heap - before.heap];
  say(
    `slow sockets opened: ${slow.opened()}; memory ${mib(before.rss)}, grew by ${mib(rss)} (heap ${mib(before.heap)}, by ${mib(heap)})`,
  );
  return [
    ...(alone.errors.size + beside.errors.size > 0 ? ["there were errors"] : []),
    ...(beside.p99 > 2 * alone.p99 ? ["p99 is more than twice that without slow sockets"] : []),
    ...(rss > mostGrowth ? ["memory grew by more than 20 MiB"] : []),
  ];
}

/** The kernel must keep every connection until the server runs again. */
async function stalled({ cli, url }: Server): Promise<string[]> {
  const seconds = Number(values.stall);
  if (seconds === 0) return [];
  cli.signal("SIGSTOP");
  const slow = openSlowSockets(url, Number(values.slow));
  const waiting = load(url, { clients: Number(values.clients), seconds: 1, think: 1000 });
  await sleep(1000 * seconds);
  cli.signal("SIGCONT");
  const measured = await waiting;
  slow.stop();
  say(shown("stalled", measured));
  return measured.errors.size > 0 ? ["connections were lost while the server did not run"] : [];
}

function shown(name: string, { requests, errors, p50, p99 }: Measured): string {
  const failed = [...errors].map(([what, count]) => `${count} × ${what}`).join(", ") || "no errors";
  return `${name.padEnd(8)}${requests} requests, ${failed}, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`;
}

async function load(
  url: string,
  { clients, seconds, think = Number(values.think) }: { clients: number; seconds: number; think?: number },
): Promise<Measured> {
  const agent = new Agent({ connections: clients, pipelining: 1 });
  const until = performance.now() + 1000 * seconds;
  const times: number[] = [];
  const errors = new Map<string, number>();
  const failed = (what: string) => void errors.set(what, (errors.get(what) ?? 0) + 1);
  const client = async (number: number) => {
    await sleep((think * number) / clients); // not all at the same moment
    for (let i = number; performance.now() < until; i++) {
      const began = performance.now();
      try {
        const { statusCode, body } = await request(`${url}/retrieve`, {
          dispatcher: agent,
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ queries: [queries[i % queries.length]], topk: 3, return_scores: true }),
        });
        const { result } = (await body.json()) as { result?: unknown[][] };
        if (statusCode !== 200) failed(`status ${statusCode}`);
        else if (result?.[0]?.length === 0) failed("nothing found");
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        failed(code ?? message);
      }
      const took = performance.now() - began;
      times.push(took);
      await sleep(Math.max(0, think - took));
    }
  };
  await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
  await agent.close();
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * (times.length - 1))]!;
  return { requests: times.length, errors, p50: at(0.5), p99: at(0.99) };
}

/** Each sends a header's beginning and then nothing; one that the server cuts is opened again. */
function openSlowSockets(url: string, count: number): { opened: () => number; stop: () => void } {
  const { hostname, port } = new URL(url);
  const sockets = new Set<Socket>();
  let [opened, stopped] = [0, false];
  const open = () => {
    if (stopped) return;
    const socket = connect(Number(port), hostname, () =>
      socket.write("POST /retrieve HTTP/1.1\r\nHost: localhost\r\nX-"),
    );
    opened++;
    sockets.add(socket);
    socket.on("data", () => {}).on("error", () => {});
    socket.on("close", () => {
      sockets.delete(socket);
      open();
    });
  };
  for (let i = 0; i < count; i++) open();
  return {
    opened: () => opened,
    stop: () => {
      stopped = true;
      for (const socket of sockets) socket.destroy();
    },
  };
}

await main();
