/**
 * @file The search server under load: 200 clients that keep their connection, first alone and then beside 500 sockets
 * that never finish their headers. No error, p99 at most twice that without those sockets, memory flat.
 */
import { mkdtempSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Agent, request } from "undici";
import { makeWorld } from "../../src/data/world/world.ts";
import { sleep, startCli } from "./cli-process.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string", default: "30" },
    clients: { type: "string", default: "200" },
    /** Milliseconds between two requests of a client: 200 clients then ask 400 times a second. */
    think: { type: "string", default: "500" },
    slow: { type: "string", default: "500" },
  },
});
const say = (line: string) => void process.stdout.write(`${line}\n`);
const queries = makeWorld({ seed: 0, split: "train", size: "train" }).passages.map(({ text }) => text.slice(0, 60));

interface Measured {
  readonly requests: number;
  readonly errors: number;
  readonly p50: number;
  readonly p99: number;
}

async function main(): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "load-search-"));
  const corpus = join(folder, "corpus.jsonl");
  const { passages } = makeWorld({ seed: 0, split: "train", size: "train" });
  writeFileSync(corpus, passages.map((passage) => `${JSON.stringify(passage)}\n`).join(""));
  const index = join(folder, "index");
  await startCli(["index", "build", corpus, "--out", index]).ended;
  const server = startCli(["serve", "search", "--index", index, "--port", "0"]);
  while (!/listens on/.test(server.output())) await sleep(20);
  const url = /http:\/\/[\d.:]+/.exec(server.output())![0];
  const clients = Number(values.clients);
  await load(url, { clients, seconds: 15, think: 50 }); // warm-up: code is compiled, memory has its size
  const one = await load(url, { clients: 1, seconds: 5, think: 20 });
  const before = await memory(url);
  const alone = await load(url, { clients, seconds: 10 });
  const between = await memory(url);
  const slow = openSlowSockets(url, Number(values.slow));
  const beside = await load(url, { clients, seconds: Number(values.seconds) });
  const growth = ((await memory(url)) - before) / 2 ** 20;
  slow.stop();
  server.signal("SIGTERM");
  const { code } = await server.ended;
  for (const [name, { requests, errors, p50, p99 }] of Object.entries({ one, alone, beside })) {
    say(`${name.padEnd(8)}${requests} requests, ${errors} errors, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  }
  say(
    `slow sockets opened: ${slow.opened()}; memory: ${(before / 2 ** 20).toFixed(0)} MiB warm, +${((between - before) / 2 ** 20).toFixed(1)} after 200 clients alone, +${growth.toFixed(1)} in all; the server ended with ${code}`,
  );
  const faults = [
    ...(alone.errors + beside.errors > 0 ? ["there were errors"] : []),
    ...(beside.p99 > 2 * alone.p99 ? ["p99 is more than twice that without slow sockets"] : []),
    ...(growth > 20 ? ["memory grew by more than 20 MiB"] : []),
    ...(code === 0 ? [] : ["the server did not end cleanly"]),
  ];
  for (const fault of faults) say(`FAILED ${fault}`);
  process.exitCode = faults.length === 0 ? 0 : 1;
}

async function load(
  url: string,
  { clients, seconds, think = Number(values.think) }: { clients: number; seconds: number; think?: number },
): Promise<Measured> {
  const agent = new Agent({ connections: clients, pipelining: 1 });
  const until = performance.now() + 1000 * seconds;
  const times: number[] = [];
  let errors = 0;
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
        const { result } = (await body.json()) as { result: unknown[][] };
        if (statusCode !== 200 || result[0]!.length === 0) errors++;
      } catch {
        errors++;
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

async function memory(url: string): Promise<number> {
  const { body } = await request(`${url}/metrics`);
  return Number(/process_resident_memory_bytes (\d+)/.exec(await body.text())![1]);
}

await main();
