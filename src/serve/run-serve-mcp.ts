import { checkBind, serveHttp } from "../base/http/serve.ts";
import { packageVersion } from "../base/package.ts";
import { type Asker, openAsker } from "../run/evaluate/run-ask.ts";
import type { SearchConfig } from "../run/recipe/search-settings.ts";
import { openSearch } from "../run/search/open-search.ts";
import { findLocalPolicy } from "../run/store/find-policy.ts";
import { type McpParts, mcpApp, serveMcpStdio } from "./mcp.ts";

export interface ServeMcpOptions {
  readonly search: Partial<SearchConfig>;
  /** The policy of the tool `ask`, a model folder or a run folder; if absent, there is no such tool. */
  readonly model?: string | undefined;
  /** If absent, stdin and stdout are used. */
  readonly port?: number | undefined;
  readonly host: string;
  readonly token?: string | undefined;
  readonly signal: AbortSignal;
  /** Receives one line once it serves over HTTP. */
  readonly say: (text: string) => void;
}

export async function runServeMcp(options: ServeMcpOptions): Promise<void> {
  const { search, model, port, host, token, signal, say } = options;
  if (port !== undefined) checkBind(host, token);
  if (model !== undefined) await findLocalPolicy(model, { warn: say });
  const { searcher } = await openSearch(search);
  let asker: Promise<Asker> | undefined; // the policy is loaded when the first question is asked
  const ask: McpParts["ask"] = async (text, asked) => {
    const { ask: run } = await (asker ??= openAsker(searcher, model === undefined ? {} : { model }));
    const question = { id: "asked", text, gold: [] };
    const { trajectory, answer } = await run(question, { decode: "greedy", seed: 1, signal: asked });
    return { answer, queries: trajectory.searches.map(({ query }) => query), stop: trajectory.stop };
  };
  const parts: McpParts = { searcher, version: packageVersion(), ...(model === undefined ? {} : { ask }) };
  try {
    if (port === undefined) return await serveMcpStdio(parts, signal);
    const server = await serveHttp({ fetch: mcpApp(parts, token).fetch, host, port });
    say(`r1-searcher mcp listens on ${server.url}/mcp`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await server.close();
  } finally {
    await (await asker?.catch(() => undefined))?.close();
    await searcher.close();
  }
}
