import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { jsonClient } from "../../base/http/json-client.ts";
import { bestWindow, type Digest, windowDigest } from "./digest.ts";
import { modelDigest } from "./model-digest.ts";
import type { PageResult } from "./page.ts";
import type { PageReader } from "./page-reader.ts";
import { serper } from "./providers/serper.ts";
import type { WebMode } from "./web-modes.ts";
import { type WebSearcherOptions, webSearcher } from "./web-searcher.ts";

/** What the provider finds, and what each link holds: text, or a reason. */
let links: { link: string; title: string; snippet?: string }[] = [];
let pages: Record<string, string> = {};
let [asked, read, digested]: [unknown[], string[], string[]] = [[], [], []];
let said: (page: string) => string = () => "None";

let server: Server;
let base: string;
beforeAll(async () => {
  server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += chunk;
    const json = JSON.parse(body) as { messages?: { content: string }[] };
    if (request.url === "/v1/chat/completions") {
      const page = json.messages![1]!.content;
      digested.push(page);
      return void response.end(JSON.stringify({ choices: [{ message: { content: said(page) } }] }));
    }
    asked.push(json);
    if (request.headers["x-api-key"] !== "the-key") return void response.writeHead(403).end("no");
    response.end(JSON.stringify({ organic: links }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.close();
  server.closeAllConnections();
});
beforeEach(() => {
  [asked, read, digested] = [[], [], []];
  links = ["a", "b", "c", "d"].map((name) => ({ link: `https://${name}.example/`, title: name.toUpperCase() }));
});

const reader: PageReader = {
  async read(url, as): Promise<PageResult> {
    read.push(`${url} as ${as}`);
    const text = pages[url];
    if (text === undefined) return { ok: false, why: "time", message: `${url}: late` };
    if (text === "refused") return { ok: false, why: "refused", message: `${url}: private` };
    return { ok: true, page: { url, title: "", text } };
  },
  take: () => ({}),
  close: async () => {},
};

function open(mode: WebMode, digest: Digest = windowDigest, more: Partial<WebSearcherOptions> = {}) {
  return webSearcher({
    ...{ provider: serper, client: jsonClient({ timeoutMs: 20_000 }), address: `${base}/search`, key: "the-key" },
    ...{ secrets: ["the-key"], mode, reader, digest, digestName: "window", ...more },
  });
}
const model = () => modelDigest({ client: jsonClient({ timeoutMs: 20_000 }), url: `${base}/v1/`, model: "m" });
const ask = async (searcher: ReturnType<typeof open>, query: string, k = 3) =>
  (await searcher.search([query], { k }))[0]!;

test("snippets: what the provider shows, in its order, and no page is read", async () => {
  links = [{ link: "https://a.example/", title: "A", snippet: "one" }, ...links, { link: "no link", title: "x" }];
  links.push({ link: "https://z.example/", title: "Z", snippet: "two" });
  const result = await ask(open("snippets"), "glacier", 9);
  expect(result).toMatchObject({
    ok: true,
    hits: [{ id: "https://a.example/", rank: 1, text: "one" }, {}, {}, {}, { title: "Z" }],
  });
  expect(read).toEqual([]);
  expect(asked).toEqual([{ q: "glacier", num: 10 }]);
});

test("pages: the best stretch of each; the snippet where a page cannot be read or says nothing", async () => {
  const filler = "Nothing of interest stands here for anyone at all. ".repeat(40);
  pages = {
    "https://a.example/": `${filler}The glacier of Tervane was mapped by Ada Quill. ${filler}`,
    "https://b.example/": filler,
  };
  links = links.map((link, i) => ({ ...link, snippet: i < 3 ? `snippet ${i}` : "" }));
  const result = await ask(open("pages"), "who mapped the Tervane glacier", 4);
  if (!result.ok) throw new Error(result.error.message);
  expect(result.hits.map(({ title }) => title)).toEqual(["A", "B", "C"]); // D had neither
  expect(result.hits[0]!.text).toContain("mapped by Ada Quill");
  expect(result.hits[0]!.text.split(" ").length).toBeLessThanOrEqual(150);
  expect(result.hits.slice(1).map(({ text }) => text)).toEqual(["snippet 1", "snippet 2"]);
});

test("where no page can be read and there are no snippets the query fails: that is no empty result", async () => {
  pages = {};
  for (const mode of ["pages", "r1-searcher"] as const) {
    expect(await ask(open(mode), "glacier")).toMatchObject({
      ok: false,
      error: { retryable: true, message: expect.stringContaining("and 2 more") },
    });
  }
  pages = Object.fromEntries(links.map(({ link }) => [link, "refused"]));
  expect(await ask(open("pages"), "glacier")).toMatchObject({ ok: false, error: { retryable: false } });
  links = [];
  expect(await ask(open("pages"), "glacier")).toEqual({ ok: true, hits: [] });
});

test("r1-searcher: the site in the query, links in turn, the first digest that is something is the only document", async () => {
  pages = {
    "https://b.example/": "nothing of it",
    "https://c.example/": `${"x".repeat(34_998)}IN but not this`,
    "https://d.example/": "beyond the third",
  };
  said = (page) => (page.includes("IN") ? "Ada Quill mapped the glacier." : "None.");
  const result = await ask(open("r1-searcher", model()), 'who "mapped"\tit\'s ... glacier', 5);
  expect(asked).toEqual([{ q: "who mapped its  glacier site:en.wikipedia.org", num: 10 }]);
  expect(read).toEqual(["a", "b", "c"].map((name) => `https://${name}.example/ as lines`));
  expect(digested).toHaveLength(2);
  expect(digested[1]).toContain("xxIN");
  expect(digested[1]).not.toContain("but not this");
  expect(result).toMatchObject({
    ok: true,
    hits: [{ id: "https://c.example/", text: "Ada Quill mapped the glacier." }],
  });
  said = () => "none";
  expect(await ask(open("r1-searcher", model()), "glacier")).toEqual({ ok: true, hits: [] });
  await ask(open("r1-searcher", model(), { site: "other.example" }), "glacier");
  expect(asked.at(-1)).toMatchObject({ q: "glacier site:other.example" });
});

test("a model's thoughts are no part of what it writes", async () => {
  said = () => "<think>None of it?</think> Ada.";
  expect(await model()("q", "text")).toBe("Ada.");
  said = () => "Nonetheless it was Ada.";
  expect(await model()("q", "text")).toBe("Nonetheless it was Ada.");
  for (const none of ["None", " 'none.' ", "", "**None**"]) {
    said = () => none;
    expect(await model()("q", "text")).toBeUndefined();
  }
});

test("a refused key fails the query, and an answer's identity holds what decides it but no key", async () => {
  const searcher = open("snippets", windowDigest, { key: "wrong" });
  expect(await ask(searcher, "x")).toMatchObject({
    ok: false,
    error: { retryable: false, message: expect.stringContaining("403") },
  });
  const hashes = [open("snippets"), open("pages"), open("pages", windowDigest, { site: "a" })].map(
    (one) => one.info().hash,
  );
  expect(new Set(hashes).size).toBe(3);
  expect(JSON.stringify(searcher.info())).not.toContain("wrong");
});

test("the best stretch: rare words weigh more, and it stays within its bound", () => {
  const text = `${"The town has a town hall. ".repeat(50)}Ada Quill mapped it. ${"The town is old. ".repeat(50)}`;
  expect(bestWindow("Which town did Quill map?", text, 20)).toContain("Ada Quill");
  expect(bestWindow("zebra", text)).toBeUndefined();
  expect(bestWindow("the of", text)).toBeUndefined();
  expect(
    bestWindow("quill", `${"x ".repeat(10_000)}quill ${"y ".repeat(10_000)}`, 100)!.split(" ").length,
  ).toBeLessThanOrEqual(100);
});

test("text that is written without spaces is cut as well", () => {
  const page = `${"山".repeat(3000)}。${"「東京」は日本の首都である。".repeat(3)}${"川".repeat(50_000)}`;
  const window = bestWindow("東京", page, 20)!;
  expect(window).toContain("「東京」は日本の首都である。");
  expect(window.length).toBeLessThan(20 * 41);
  const address = `https://example.org/${"a".repeat(60)}`;
  expect(bestWindow("quill", `Quill wrote ${address} herself.`)).toContain(address);
});
