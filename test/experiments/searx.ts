/**
 * @file Search of the web through a real searx, whose one engine lies on this machine: snippets and pages as a provider of
 * the world gives them, results in the engine's order, and its death a failure that may pass. Nothing but loopback is dialled.
 *   apt-get install searx
 *   npm run experiment -- searx [--program searx-run]
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { type AddressInfo, createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programOptions } from "../../scripts/program-options.ts";
import { makeWorld } from "../../src/data/world/world.ts";
import type { Passage } from "../../src/protocol/passage.ts";
import { openSearch } from "../../src/run/search/open-search.ts";
import { memorySearcher } from "../../src/search/bm25/searcher.ts";
import type { QueryResult, Searcher } from "../../src/search/searcher.ts";
import { sleep } from "../support/cli-process.ts";

const help = `Searches the web through a real searx whose only engine runs on this machine, and demands the results and pages
of that engine, in its order. Needs searx: apt-get install searx.

usage: npm run experiment -- searx [options]
  --program <file>     starts searx (default: searx-run)
  --help
`;
const { values } = programOptions(help, { program: { type: "string", default: "searx-run" } });
const say = (line: string) => void process.stdout.write(`${line}\n`);
const { passages } = makeWorld({ seed: 0, split: "train", size: "train" });
const near = memorySearcher(passages);
const K = 3;

async function listening(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** Its answers as JSON, and a page of HTML for each passage. */
function startEngine(): Server {
  return createServer(async (request, response) => {
    const { pathname, searchParams, origin } = new URL(request.url!, `http://${request.headers.host}`);
    if (pathname === "/find") {
      const results = (await hitsOf(near, searchParams.get("q")!)).map(({ id, title, text }) => ({
        url: `${origin}/page/${encodeURIComponent(id)}`,
        title,
        content: text.slice(0, 40),
      }));
      return void response.setHeader("content-type", "application/json").end(JSON.stringify({ results }));
    }
    const passage = passages.find(({ id }) => pathname === `/page/${encodeURIComponent(id)}`);
    if (passage === undefined) return void response.writeHead(404).end();
    const html = `<!doctype html><title>${passage.title}</title><nav>Menu</nav><article><p>${passage.text}</p></article>`;
    response.setHeader("content-type", "text/html; charset=utf-8").end(html);
  });
}

async function hitsOf(searcher: Searcher, query: string): Promise<readonly Passage[]> {
  const [result] = await searcher.search([query], { k: K });
  if (!result?.ok) throw new Error(`"${query}": ${result?.error.message}`);
  return result.hits;
}

async function freePort(): Promise<number> {
  const server = createSocketServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** YAML reads JSON. */
function writeSettings(file: string, engine: string, port: number): void {
  const resources = "/usr/share/python3-searx";
  const settings = {
    general: { debug: false, instance_name: "searx", enable_stats: false },
    brand: {},
    search: { safe_search: 0, autocomplete: "", default_lang: "", formats: ["html", "json"] },
    server: { port, bind_address: "127.0.0.1", secret_key: randomBytes(16).toString("hex"), base_url: false },
    ui: {
      static_path: `${resources}/static`,
      templates_path: `${resources}/templates`,
      default_theme: "oscar",
      theme_args: {},
    },
    outgoing: { request_timeout: 20 },
    engines: [
      {
        ...{
          name: "here",
          engine: "json_engine",
          shortcut: "h",
          categories: "general",
          enable_http: true,
          timeout: 20,
        },
        ...{ search_url: `${engine}/find?q={query}`, results_query: "results" },
        ...{ url_query: "url", title_query: "title", content_query: "content" },
      },
    ],
    locales: { en: "English" },
    doi_resolvers: { none: "http://127.0.0.1/" },
    default_doi_resolver: "none",
  };
  writeFileSync(file, JSON.stringify(settings));
}

async function startSearx(folder: string, engine: string): Promise<{ child: ChildProcess; url: string }> {
  const port = await freePort();
  const file = join(folder, "settings.yml");
  writeSettings(file, engine, port);
  const child = spawn(values.program, [], {
    env: { ...process.env, SEARX_SETTINGS_PATH: file, NO_PROXY: "127.0.0.1" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let said = "";
  child.stderr!.on("data", (piece) => {
    said = `${said}${piece}`.slice(-4000);
  });
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; i < 600; i++) {
    if (child.exitCode !== null) throw new Error(`searx ended with ${child.exitCode}:\n${said}`);
    if (
      await fetch(url).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return { child, url };
    await sleep(200);
  }
  child.kill("SIGKILL");
  throw new Error(`searx does not answer:\n${said}`);
}

async function check(url: string): Promise<string[]> {
  const faults: string[] = [];
  const queries = passages.slice(0, 40).map(({ title, text }) => `${title} ${text.split(" ").slice(-4).join(" ")}`);
  for (const mode of ["snippets", "pages"] as const) {
    const allowAddresses = mode === "pages" ? { allowAddresses: ["127.0.0.1"] } : {};
    const { searcher } = await openSearch({ source: "web", provider: "searxng", url, mode, ...allowAddresses });
    const results = await searcher.search([...queries, "zzzunheardof"], { k: K });
    let [same, whole] = [0, 0];
    for (const [i, query] of queries.entries()) {
      const [found, expected] = [hits(results[i]!), await hitsOf(near, query)];
      if (found.map(({ title }) => title).join("\n") === expected.map(({ title }) => title).join("\n")) same++;
      if (
        found.every(
          ({ text }, at) => text === (mode === "pages" ? expected[at]?.text : expected[at]?.text.slice(0, 40).trim()),
        )
      )
        whole++;
    }
    say(
      `${mode.padEnd(9)}${same} of ${queries.length} queries with the engine's results in its order, ${whole} with their texts`,
    );
    if (same < queries.length || whole < queries.length) faults.push(`${mode}: other results`);
    if (hits(results.at(-1)!).length > 0) faults.push(`${mode}: something found for a word that is nowhere`);
    await searcher.close();
  }
  return faults;
}

function hits(result: QueryResult): readonly Passage[] {
  if (!result.ok) throw new Error(result.error.message);
  return result.hits;
}

async function main(): Promise<void> {
  if (spawnSync("sh", ["-c", 'command -v "$0"', values.program]).status !== 0) {
    say(`${values.program} is not installed: apt-get install searx`);
    process.exitCode = 2;
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), "searx-"));
  const engine = startEngine();
  const { child, url } = await startSearx(folder, await listening(engine));
  try {
    const faults = await check(url);
    const { searcher } = await openSearch({ source: "web", provider: "searxng", url, mode: "snippets", attempts: 1 });
    child.kill("SIGKILL");
    await new Promise((resolve) => child.once("exit", resolve));
    const [gone] = await searcher.search(["anything"], { k: 1 });
    await searcher.close();
    say(`searx killed: ${gone!.ok ? "an answer" : `${gone!.error.message} (retryable: ${gone!.error.retryable})`}`);
    if (gone!.ok || !gone!.error.retryable) faults.push("its death is no failure that may pass");
    for (const fault of faults) say(`FAILED ${fault}`);
    process.exitCode = faults.length === 0 ? 0 : 1;
  } finally {
    child.kill("SIGKILL");
    engine.close();
    engine.closeAllConnections();
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
