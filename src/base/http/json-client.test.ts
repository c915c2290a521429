import { createServer, type RequestListener, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, expect, test } from "vitest";
import { type JsonClient, jsonClient, shownUrl } from "./json-client.ts";

let server: Server | undefined;
let client: JsonClient | undefined;
afterEach(async () => {
  await client?.close();
  server?.close();
  server?.closeAllConnections();
});

async function serving(listener: RequestListener, options: Parameters<typeof jsonClient>[0] = {}): Promise<string> {
  server = createServer(listener);
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  client = jsonClient({ timeoutMs: 2_000, ...options });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
}

test("sends JSON or JSON lines, and its headers", async () => {
  const seen: unknown[] = [];
  const url = await serving(
    async (request, response) => {
      let text = "";
      for await (const chunk of request) text += chunk;
      seen.push([request.method, request.headers["content-type"], request.headers["x-a"], text]);
      response.end("[1]");
    },
    { headers: { "x-a": "1" } },
  );
  expect(await client!.json({ url })).toEqual([1]);
  await client!.json({ url, body: { a: "ü" } });
  await client!.json({ url, lines: [{}, { b: 1 }], headers: { "x-a": "2" } });
  expect(seen).toEqual([
    ["GET", undefined, "1", ""],
    ["POST", "application/json", "1", '{"a":"ü"}'],
    ["POST", "application/x-ndjson", "2", '{}\n{"b":1}\n'],
  ]);
});

test.each([
  ["2", 2000],
  ["0.5", 500],
  [new Date(Date.now() + 3_600_000).toUTCString(), 3_600_000],
  ["soon", undefined],
  ["-5", undefined],
])("retry-after %s", async (header, expected) => {
  const url = await serving((_, response) => void response.writeHead(503, { "retry-after": header }).end());
  const error = await client!.json({ url }).catch((cause: unknown) => cause);
  expect(error).toMatchObject({ name: "HttpError", status: 503, retryable: true });
  const { retryAfterMs } = error as { retryAfterMs: number | undefined };
  if (expected === undefined) expect(retryAfterMs).toBeUndefined();
  else expect(Math.abs(retryAfterMs! - expected)).toBeLessThan(20_000);
});

test("a reply that is too large, too slow or a redirect", async () => {
  const large = await serving((_, response) => void response.end(`"${"x".repeat(5000)}"`), { maxReplyBytes: 1000 });
  await expect(client!.json({ url: large })).rejects.toMatchObject({ retryable: false });
  const drip = await serving(
    (_, response) => {
      response.write("[");
      const timer = setInterval(() => response.write(" "), 20);
      response.on("close", () => clearInterval(timer));
    },
    { timeoutMs: 200 },
  );
  await expect(client!.json({ url: drip })).rejects.toThrow("no answer within 200 ms");
  const elsewhere = await serving(
    (_, response) => void response.writeHead(302, { location: "http://10.0.0.1/" }).end(),
  );
  await expect(client!.json({ url: elsewhere })).rejects.toMatchObject({ status: 302, retryable: false });
});

test("an abort is an abort, with its reason", async () => {
  const url = await serving(() => {});
  const controller = new AbortController();
  const asked = client!.json({ url, signal: controller.signal });
  setTimeout(() => controller.abort(new Error("enough")), 50);
  await expect(asked).rejects.toThrow("enough");
});

test("what it shows of an address holds no secret", async () => {
  expect(shownUrl("https://user:secret@host:1/a?key=secret#x")).toBe("https://host:1/a");
  const url = await serving((_, response) => void response.writeHead(500).end("no"));
  const error = await client!.json({ url: `${url}?api_key=secret` }).catch(String);
  expect(error).not.toContain("secret");
});
