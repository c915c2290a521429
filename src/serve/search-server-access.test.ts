/** @file Who may ask the search server, and who is cut off. */
import { connect } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { memorySearcher } from "../search/bm25/searcher.ts";
import { type SearchServer, type SearchServerOptions, serveSearch } from "./search-server.ts";
import { passages, post } from "./testing/asked-server.ts";

let server: SearchServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(options: Partial<SearchServerOptions> = {}): Promise<string> {
  server = await serveSearch({ searcher: memorySearcher(passages), port: 0, version: "9", ...options });
  return server.url;
}

describe("who may ask", () => {
  const token = "0123456789abcdef";

  test("programs of this machine, by any of its names", async () => {
    const url = await start();
    const status = async (headers: Record<string, string>) => rawStatus(url, headers);
    for (const host of ["localhost", "127.0.0.1:99", "127.9.9.9", "[::1]:80", "0.0.0.0:5003"]) {
      expect([host, await status({ host })]).toEqual([host, 200]);
    }
    for (const host of [
      "evil.com",
      "evil.com:80",
      "127.0.0.1.evil.com",
      "localhost.evil.com",
      "10.0.0.1",
      "169.254.169.254",
    ]) {
      expect([host, await status({ host })]).toEqual([host, 403]);
    }
    for (const origin of ["http://evil.com", "null", "https://127.0.0.1.evil.com", "file://"]) {
      expect([origin, await status({ host: "localhost", origin })]).toEqual([origin, 403]);
    }
    expect(await status({ host: "localhost", origin: "http://localhost:3000" })).toBe(200);
  });

  test("with a token: nobody without it, on any route", async () => {
    const url = await start({ token });
    for (const path of ["/health", "/metrics", "/openapi.json", "/nothing"]) {
      expect((await fetch(`${url}${path}`)).status).toBe(401);
      expect((await fetch(`${url}${path}`, { headers: { authorization: "Bearer wrong" } })).status).toBe(401);
    }
    const headers = { authorization: `Bearer ${token}` };
    expect((await fetch(`${url}/health`, { headers })).status).toBe(200);
    expect((await post(`${url}/queries`, { queries: ["x"] }, headers)).status).toBe(200);
  });

  test("another bind without a token, or with a short one, does not start", async () => {
    await expect(start({ host: "0.0.0.0" })).rejects.toThrow("--token");
    await expect(start({ host: "0.0.0.0", token: "short" })).rejects.toThrow("5 characters");
    const taken = new URL(await start()).port;
    await expect(start({ port: Number(taken) })).rejects.toMatchObject({ name: "ConfigError" });
  });
});

test("headers that never end are cut off", async () => {
  const url = new URL(await start());
  const socket = connect(Number(url.port), url.hostname);
  socket.write("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ");
  const began = performance.now();
  await new Promise<void>((resolve) => socket.once("close", () => resolve()).on("data", () => {}));
  expect(performance.now() - began).toBeLessThan(8_000);
});

/** fetch sets its own Host. */
function rawStatus(url: string, headers: Record<string, string>): Promise<number> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.once("error", reject);
    socket.once("data", (data) => {
      socket.destroy();
      resolve(Number(/^HTTP\/1.1 (\d+)/.exec(data.toString())?.[1]));
    });
    socket.write(`GET /health HTTP/1.1\r\n${lines.join("")}\r\n`);
  });
}
