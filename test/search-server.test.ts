/** @file The search server as another program meets it: real processes that start, answer, drain, die and come back. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openSearch } from "../src/run/search/open-search.ts";
import { waitForSearch } from "../src/run/train/wait-out.ts";
import { buildIndex } from "../src/search/bm25/build.ts";
import { type CliProcess, sleep, startCli, usualProgram } from "./support/cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "search-server-"));
const index = join(folder, "index");
beforeAll(async () => {
  const passages = Array.from({ length: 200 }, (_, i) => ({
    id: `${i}`,
    title: `Town ${i}`,
    text: `a river, word${i}`,
  }));
  await buildIndex(
    (async function* () {
      yield* passages;
    })(),
    index,
  );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function start(port = 0, ...more: string[]): Promise<{ child: CliProcess; url: string; port: number }> {
  const child = startCli(["serve", "search", "--index", index, "--port", String(port), ...more]);
  while (!/listens on/.test(child.output())) {
    await Promise.race([sleep(20), child.ended.then(({ stderr }) => Promise.reject(new Error(stderr)))]);
  }
  const url = /http:\/\/[\d.:]+/.exec(child.output())![0];
  return { child, url, port: Number(new URL(url).port) };
}

const ask = (url: string, queries: readonly string[]) =>
  fetch(`${url}/queries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ queries, k: 3 }),
  });

test("it says where it listens, survives more than it can take, and ends its replies on SIGTERM", async () => {
  const { child, url } = await start(0, "--queue", "64", "--json");
  expect(child.output()).toMatch(/^r1-searcher search listens on http:\/\/127\.0\.0\.1:\d+ \(200 passages\)\n$/);

  const many = Array.from({ length: 500 }, (_, i) => `river word${i}`);
  const statuses = await Promise.all(
    Array.from({ length: 60 }, async () => {
      const reply = await ask(url, many);
      await reply.arrayBuffer();
      return reply.status === 503 ? Number(reply.headers.get("retry-after")) : reply.status;
    }),
  );
  expect(new Set(statuses)).toEqual(new Set([200, 1])); // some were served, some sent away for a second
  const began = performance.now();
  expect((await ask(url, ["word7"])).status).toBe(200);
  expect(performance.now() - began).toBeLessThan(2_000);

  const last = ask(url, many);
  while (!/search_queries_total \d*501\n/.test(await (await fetch(`${url}/metrics`)).text())) await sleep(1);
  child.signal("SIGTERM");
  expect((await last).status).toBe(200);
  const { code, stdout } = await child.ended;
  expect(code).toBe(0);
  expect(JSON.parse(stdout.trimEnd().split("\n").at(-1)!)).toMatchObject({ url, requests: expect.any(Number) });
});

test("a server that is killed is waited for, and searched again as soon as it is back", async () => {
  const first = await start();
  const search = await openSearch({ source: "http", url: `${first.url}/retrieve`, attempts: 2, timeoutMs: 2_000 });
  const hits = async () => (await search.searcher.search(["word7"], { k: 1 }))[0]!;
  const before = await hits();
  expect(before).toMatchObject({ ok: true, hits: [{ id: "7" }] });
  first.child.signal("SIGKILL");
  await first.child.ended;
  for (let i = 0; i < 12; i++) expect(await hits()).toMatchObject({ ok: false, error: { retryable: true } });
  const said: string[] = [];
  const outage = { step: 1, failed: 9, attempts: 9, times: 1, because: "away" };
  let backAt = 0;
  const waited = waitForSearch(search, (text) => said.push(text))!(outage, new AbortController().signal).then(() => {
    backAt = performance.now();
  });
  await sleep(1_500);
  expect(backAt).toBe(0);
  const again = await start(first.port);
  const listening = performance.now();
  await waited;
  expect(backAt - listening).toBeLessThan(5_000);
  expect(await hits()).toEqual(before);
  expect(said.at(-1)).toContain("search is back");
  await search.searcher.close();
  again.child.signal("SIGTERM");
  expect((await again.child.ended).code).toBe(0);
});

test("an MCP client that starts it gets passages, and stdout is the protocol's alone", async () => {
  const transport = new StdioClientTransport({
    command: process.execPath,
    args: [usualProgram, "serve", "mcp", "--index", index],
    stderr: "pipe",
  });
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport);
  expect(await client.callTool({ name: "search", arguments: { query: "word42", k: 1 } })).toMatchObject({
    structuredContent: { passages: [{ id: "42", title: "Town 42" }] },
  });
  await client.close();
});

test("bad starts say what to do", async () => {
  writeFileSync(join(folder, "none"), "");
  const taken = await start();
  const ends = await Promise.all(
    [
      ["--index", join(folder, "nowhere")],
      ["--index", index, "--host", "0.0.0.0"],
      ["--index", index, "--port", String(taken.port)],
    ].map((args) => startCli(["serve", "search", "--port", "0", ...args]).ended),
  );
  taken.child.signal("SIGTERM");
  await taken.child.ended;
  expect(ends.map(({ code }) => code)).toEqual([1, 2, 2]);
  for (const { stderr } of ends) {
    expect(stderr).toContain("hint:");
    expect(stderr).not.toContain("    at ");
  }
});
