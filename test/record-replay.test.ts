/** @file An evaluation over the live web through the real program: recorded, replayed with the provider gone, ended by its budget. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { worldQuestions } from "../src/data/world/questions.ts";
import { bundled, exampleWorld } from "../src/run/engines/open-policy.ts";
import { worldSearcher } from "../src/run/search/open-search.ts";
import { startCli } from "./support/cli-process.ts";

const folder = mkdtempSync(join(tmpdir(), "record-replay-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const world = exampleWorld();
const asked = worldQuestions([world], 24, { seed: 5, mix: { "1-hop": 1, "2-hop": 2, comparison: 1 } });
const benchmark = join(folder, "questions.jsonl");
writeFileSync(
  benchmark,
  asked.map(({ id, text, gold }) => `${JSON.stringify({ id, question: text, answer: gold })}\n`).join(""),
);

interface Provider {
  readonly url: string;
  readonly queries: string[];
  readonly close: () => Promise<void>;
}

/** SearXNG's shape over the passages of a fictional world. */
async function startProvider(): Promise<Provider> {
  const searcher = worldSearcher(world);
  const queries: string[] = [];
  const server: Server = createServer(async (request, response) => {
    const query = new URL(request.url!, "http://127.0.0.1").searchParams.get("q")!;
    queries.push(query);
    const [found] = await searcher.search([query], { k: 5 });
    const hits = found?.ok ? found.hits : [];
    const results = hits.map(({ id, title, text }) => ({ url: `http://127.0.0.1/${id}`, title, content: text }));
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ results }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    queries,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function evaluate(out: string, ...more: string[]) {
  const directory = join(folder, out);
  const args = ["eval", bundled("nano-searcher"), "--benchmark", benchmark, "--out", directory, "--json", ...more];
  const { code, stdout, stderr } = await startCli(args).ended;
  const kept = (name: string) => readFileSync(join(directory, name), "utf8");
  return { code, stderr, last: stdout.trimEnd().split("\n").at(-1), kept };
}

const webAt = ({ url }: Provider) => `web:searxng?mode=snippets&url=${encodeURIComponent(url)}`;

test("recorded once, an evaluation is repeated byte by byte without the provider; a recording is finished, not begun anew", async () => {
  const provider = await startProvider();
  const whole = join(folder, "whole.jsonl");
  const first = await evaluate("first", "--search", webAt(provider), "--record", whole);
  expect(first.code, first.stderr).toBe(0);
  const { n, failed } = JSON.parse(first.last!) as { n: number; failed: number };
  expect([n, failed]).toEqual([asked.length, 0]);
  const needed = provider.queries.length;
  expect(needed).toBeGreaterThan(asked.length); // two hops are two searches
  expect(new Set(provider.queries).size).toBe(needed); // none was paid twice

  // a budget that ends it in the middle
  const part = join(folder, "part.jsonl");
  provider.queries.length = 0;
  const ended = await evaluate("ended", "--search", webAt(provider), "--record", part, "--search-budget", "9");
  expect(ended.code).toBe(1);
  expect(ended.stderr).toMatch(/the search budget is spent: 9 queries; \d+ of 24 questions could not be measured/);
  expect(ended.stderr).toContain("what was measured lies in");
  expect(provider.queries).toHaveLength(9);
  const summary = JSON.parse(ended.kept("summary.json")) as { n: number; failed: number };
  expect(summary.n + summary.failed).toBe(asked.length);
  expect(summary.failed).toBeGreaterThan(0);
  expect(ended.kept("results.jsonl").trimEnd().split("\n")).toHaveLength(asked.length);

  // the rest, by another budget: what is recorded is not asked again
  provider.queries.length = 0;
  const rest = await evaluate("rest", "--search", webAt(provider), "--record", part, "--search-budget", `${needed}`);
  expect([rest.code, rest.last]).toEqual([0, first.last]);
  expect(provider.queries).toHaveLength(needed - 9);
  await provider.close();

  for (const [out, recording] of [
    ["again", whole],
    ["from-parts", part],
  ] as const) {
    const again = await evaluate(out, "--replay", recording);
    expect([again.code, again.last]).toEqual([0, first.last]);
    for (const name of ["results.jsonl", "summary.json"]) expect(again.kept(name)).toBe(first.kept(name));
  }
});
