import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { guardedFetch } from "../../base/http/guarded-fetch.ts";
import { type PageReader, pageReader } from "./page-reader.ts";
import { pageWorkers } from "./page-workers.ts";
import { type Attack, attacks } from "./testing/attacks.ts";

const routes = new Map<string, RequestListener>();
let server: Server;
let base: string;
let reader: PageReader;
const [fetchMs, extractMs] = [1_500, 2_000];

beforeAll(async () => {
  server = createServer((request, response) => routes.get(request.url!.split("?")[0]!)!(request, response));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  reader = pageReader({
    fetch: guardedFetch({ allowed: ["127.0.0.1"], timeoutMs: fetchMs }),
    workers: pageWorkers({ timeoutMs: extractMs }),
    wikipediaApi: (host) => `${base}/${host}/w/api.php`,
  });
});
afterAll(async () => {
  await reader.close();
  server.close();
  server.closeAllConnections();
});

function page(path: string, type: string, body: string | Buffer): string {
  routes.set(path, (_, response) => void response.writeHead(200, { "content-type": type }).end(body));
  return `${base}${path}`;
}

const article = `<html><head><title>Tervane &amp; its harbour</title><style>.x{color:red}</style></head><body>
<nav><a href="/">Home</a> <a href="/about">About</a></nav><div class="sidebar">Buy lanterns now</div>
<article><h1>Tervane</h1>${"<p>Tervane is a harbour town of the north, known for its glacier and its copper, and for little else.</p>".repeat(5)}
<p>Ada Quill mapped the glacier in 1871.</p></article>
<script>var secret = "<p>not to be read</p>";</script><footer>Copyright</footer></body></html>`;

/** A PDF of one page, with the offsets that its table needs. */
function pdfOf(text: string): Buffer {
  const content = `BT /F1 12 Tf 72 700 Td (${text}) Tj ET`;
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
  ];
  let file = "%PDF-1.4\n";
  const offsets = objects.map((object, i) => {
    const at = file.length;
    file += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const table = offsets.map((at) => `${String(at).padStart(10, "0")} 00000 n \n`).join("");
  const trailer = `trailer << /Size 6 /Root 1 0 R >>\nstartxref\n${file.length}\n%%EOF`;
  return Buffer.from(`${file}xref\n0 6\n0000000000 65535 f \n${table}${trailer}`);
}

/** A machine that is busy may need a second try; a page that is read is read right. */
async function patiently(url: string, as: "article" | "lines" = "article") {
  for (let tries = 0; ; tries++) {
    const result = await reader.read(url, as);
    if (result.ok) return result.page;
    if (result.why !== "time" || tries === 20) throw new Error(`${result.why}: ${result.message}`);
  }
}

test("an article without what stands around it", async () => {
  const { title, text } = await patiently(page("/article", "text/html; charset=utf-8", article));
  expect(title).toContain("Tervane");
  expect(text).toContain("Ada Quill mapped the glacier in 1871.");
  for (const noise of ["secret", "not to be read", "color", "Home"]) expect(text).not.toContain(noise);
});

test("lines of three words and more, as the original reads a page", async () => {
  const html =
    "<title>T</title><ul><li>Home</li><li>About us</li></ul><p>Three <b>words</b> here</p>two words<p>And these are four";
  expect((await patiently(page("/lines", "text/html", html), "lines")).text).toBe(
    "Three words here\nAnd these are four",
  );
});

test("text in its charset, and PDF", async () => {
  const latin = Buffer.from("Zo\xeb Quill mapped the glacier of Tervane in the winter", "latin1");
  expect((await patiently(page("/latin", "text/plain; charset=iso-8859-1", latin))).text).toContain("Zoë Quill");
  const japanese = Buffer.concat([Buffer.from("<meta charset=shift_jis><p>"), Buffer.from([0x93, 0x8c, 0x8b, 0x9e])]);
  expect((await patiently(page("/sjis", "text/html", japanese))).text).toContain("東京");
  const pdf = page("/pdf", "application/pdf", pdfOf("Ada Quill mapped the glacier"));
  expect((await patiently(pdf)).text).toContain("Ada Quill mapped the glacier");
});

test("Wikipedia by its API, up to its references", async () => {
  const asked: string[] = [];
  routes.set("/en.wikipedia.org/w/api.php", (request, response) => {
    asked.push(new URL(request.url!, base).searchParams.get("titles")!);
    const extract = "Ada Quill was a surveyor.\n\n== Life ==\nBorn in Tervane.\n\n== References ==\nnoise";
    const pages = asked.at(-1) === "Nobody" ? [{ title: "Nobody", missing: true }] : [{ title: "Ada Quill", extract }];
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ query: { pages } }));
  });
  const read = await patiently("https://en.m.wikipedia.org/wiki/Ada_Quill%3F");
  expect(asked).toEqual(["Ada Quill?"]);
  expect(read).toMatchObject({ title: "Ada Quill", text: "Ada Quill was a surveyor.\n\n== Life ==\nBorn in Tervane." });
  expect(await reader.read("https://en.wikipedia.org/wiki/Nobody", "lines")).toMatchObject({ why: "unreadable" });
});

test("links to this machine's network are refused and counted", async () => {
  reader.take();
  for (const url of ["http://10.0.0.1/", "http://[::1]/", "file:///etc/passwd", "http://169.254.169.254/latest"])
    expect(await reader.read(url, "article")).toMatchObject({ ok: false, why: "refused" });
  expect(reader.take()).toEqual({ pages_failed_refused: 4 });
  expect(reader.take()).toEqual({});
});

test("there are enough attacks", () => {
  expect(attacks.length).toBeGreaterThanOrEqual(40);
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
});

test("every attack ends in time and memory, with a reason", async () => {
  for (const [i, { reply }] of attacks.entries()) routes.set(`/attack/${i}`, reply);
  const before = process.memoryUsage.rss();
  const outcomes = await Promise.all(attacks.map((attack, i) => outcomeOf(attack, `${base}/attack/${i}`)));
  expect(outcomes.filter((outcome) => outcome !== undefined)).toEqual([]);
  expect((process.memoryUsage.rss() - before) / 2 ** 20).toBeLessThan(900);
  const counted = Object.values(reader.take()).reduce((sum, count) => sum + count, 0);
  expect(counted).toBeGreaterThanOrEqual(attacks.length);
});

/** What went otherwise than it should; a machine that is busy gets more tries, as long as it is only late. */
async function outcomeOf({ name, outcomes, says }: Attack, url: string): Promise<string | undefined> {
  for (let tries = 1; ; tries++) {
    const result = await reader.read(url, "article");
    const outcome = result.ok ? "ok" : result.why;
    if (outcome === "time" && !outcomes.includes("time") && tries < 10) continue;
    if (!outcomes.includes(outcome)) return `${name}: ${outcome}${result.ok ? "" : ` (${result.message})`}`;
    const isWrong = result.ok && says !== undefined && !result.page.text.includes(says);
    return isWrong ? `${name}: read as ${result.page.text.slice(0, 100)}` : undefined;
  }
}
