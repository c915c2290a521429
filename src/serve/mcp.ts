/** @file Search, and a policy that searches, as tools of the Model Context Protocol (MCP). */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { Hono } from "hono";
import { z } from "zod";
import { guard } from "../base/http/serve.ts";
import type { Searcher } from "../search/searcher.ts";
import { limits } from "./search-routes.ts";

/** What the tools are made of. */
export interface McpParts {
  readonly searcher: Searcher;
  /** If absent, there is no tool `ask`. */
  readonly ask?: (
    question: string,
    signal: AbortSignal,
  ) => Promise<{ readonly answer: string | undefined; readonly queries: readonly string[]; readonly stop: string }>;
  readonly version: string;
}

const Passages = {
  passages: z.array(z.object({ id: z.string(), title: z.string(), text: z.string(), score: z.number() })),
};

export function mcpServer({ searcher, ask, version }: McpParts): McpServer {
  const server = new McpServer({ name: "r1-searcher", version });
  server.registerTool(
    "search",
    {
      description: "Passages of the corpus that match the query, best first.",
      inputSchema: { query: z.string().min(1), k: z.int().min(1).max(limits.k).default(5) },
      outputSchema: Passages,
      annotations: { readOnlyHint: true },
    },
    async ({ query, k }, { signal }) => {
      const [result] = await searcher.search([query], { k, signal });
      if (!result?.ok) return failure(result?.error.message ?? "search gave no result");
      const passages = result.hits.map(({ id, title, text, score }) => ({ id, title, text, score }));
      const shown = passages.map(({ title, text }, i) => `(${i + 1}) ${title}\n${text}`).join("\n\n");
      return { content: [{ type: "text", text: shown || "nothing found" }], structuredContent: { passages } };
    },
  );
  if (ask) addAsk(server, ask);
  return server;
}

function addAsk(server: McpServer, ask: NonNullable<McpParts["ask"]>): void {
  server.registerTool(
    "ask",
    {
      description: "Lets the policy find out a question: it thinks, searches as often as it needs to, and answers.",
      inputSchema: { question: z.string().min(1) },
      outputSchema: { answer: z.string().nullable(), queries: z.array(z.string()), stop: z.string() },
      annotations: { readOnlyHint: true },
    },
    async ({ question }, { signal }) => {
      const { answer = null, queries, stop } = await ask(question, signal);
      const found = { answer, queries: [...queries], stop };
      return { content: [{ type: "text", text: answer ?? `no answer (${stop})` }], structuredContent: found };
    },
  );
}

const failure = (text: string) => ({ content: [{ type: "text" as const, text }], isError: true });

/** Communicates over stdin and stdout until the client disconnects or the signal is raised. */
export async function serveMcpStdio(parts: McpParts, signal: AbortSignal): Promise<void> {
  const server = mcpServer(parts);
  const ended = new Promise<void>((resolve) => {
    process.stdin.once("end", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  await server.connect(new StdioServerTransport());
  if (!signal.aborted) await ended;
  await server.close();
}

/** Streamable HTTP at /mcp without sessions: every request is independent. */
export function mcpApp(parts: McpParts, token: string | undefined): Hono {
  const app = new Hono();
  app.use(guard(token));
  app.post("/mcp", async (context) => {
    const transport = new WebStandardStreamableHTTPServerTransport({
      enableJsonResponse: true,
      maxRequestBodySize: limits.bodyBytes,
    });
    const server = mcpServer(parts);
    await server.connect(transport);
    try {
      return await transport.handleRequest(context.req.raw); // a single reply, not an event stream
    } finally {
      await server.close();
    }
  });
  // without sessions there is no event stream to open and no session to end
  app.all("/mcp", (context) => context.json({ error: "expected POST" }, 405, { allow: "POST" }));
  return app;
}
