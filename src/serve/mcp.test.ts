import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js";
import { expect, test } from "vitest";
import { serveHttp } from "../base/http/serve.ts";
import { memorySearcher } from "../search/bm25/searcher.ts";
import { type McpParts, mcpApp, mcpServer } from "./mcp.ts";

const parts: McpParts = {
  searcher: memorySearcher([
    { id: "1", title: "Ada", text: "wrote the first program" },
    { id: "2", title: "Bob", text: "baked bread" },
  ]),
  ask: async (question) => ({
    answer: question.includes("bread") ? "Bob" : undefined,
    queries: ["bread"],
    stop: "answered",
  }),
  version: "9",
};

async function connected(given: McpParts): Promise<Client> {
  const [here, there] = InMemoryTransport.createLinkedPair();
  await mcpServer(given).connect(there);
  const client = new Client({ name: "test", version: "1" });
  await client.connect(here);
  return client;
}

test("the official client finds and calls both tools", async () => {
  const client = await connected(parts);
  const { tools } = await client.listTools();
  expect(tools.map(({ name }) => name)).toEqual(["search", "ask"]);
  expect(await client.callTool({ name: "search", arguments: { query: "bread", k: 1 } })).toMatchObject({
    content: [{ type: "text", text: "(1) Bob\nbaked bread" }],
    structuredContent: { passages: [{ id: "2", title: "Bob" }] },
  });
  expect(await client.callTool({ name: "search", arguments: { query: "zzz" } })).toMatchObject({
    content: [{ text: "nothing found" }],
  });
  expect(await client.callTool({ name: "ask", arguments: { question: "Who baked bread?" } })).toMatchObject({
    structuredContent: { answer: "Bob", queries: ["bread"], stop: "answered" },
  });
  expect(await client.callTool({ name: "search", arguments: { query: "x", k: 1000 } })).toMatchObject({
    isError: true,
  });
  await client.close();
});

test("without a policy there is no ask; a search that fails is an error, not an empty answer", async () => {
  const failing = {
    ...parts.searcher,
    search: async () => [{ ok: false as const, error: { message: "disk", retryable: false } }],
  };
  const client = await connected({ searcher: failing, version: "9" });
  expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["search"]);
  expect(await client.callTool({ name: "search", arguments: { query: "x" } })).toMatchObject({
    isError: true,
    content: [{ text: "disk" }],
  });
  await client.close();
});

test("over HTTP, with the token only", async () => {
  const token = "0123456789abcdef";
  const server = await serveHttp({ fetch: mcpApp(parts, token).fetch, port: 0 });
  const open = async (headers: Record<string, string>) => {
    const client = new Client({ name: "test", version: "1" });
    const transport = new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), { requestInit: { headers } });
    await client.connect(transport as Parameters<Client["connect"]>[0]);
    return client;
  };
  await expect(open({})).rejects.toThrow();
  const listening = await fetch(`${server.url}/mcp`, { headers: { authorization: `Bearer ${token}` } });
  expect([listening.status, listening.headers.get("allow")]).toEqual([405, "POST"]);
  const client = await open({ authorization: `Bearer ${token}` });
  expect(await client.callTool({ name: "search", arguments: { query: "program" } })).toMatchObject({
    structuredContent: { passages: [{ id: "1" }] },
  });
  await client.close();
  await server.close();
});
