import { afterEach, describe, expect, test } from "vitest";
import type { Passage } from "../protocol/passage.ts";
import { memorySearcher } from "../search/bm25/searcher.ts";
import type { Reranker } from "../search/rerank/reranker.ts";
import { type SearchServer, type SearchServerOptions, serveSearch } from "./search-server.ts";
import { passages, post, until } from "./testing/asked-server.ts";

let server: SearchServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(options: Partial<SearchServerOptions> = {}): Promise<string> {
  server = await serveSearch({ searcher: memorySearcher(passages), port: 0, version: "9", ...options });
  return server.url;
}

describe("with a reranker", () => {
  /** Prefers passages with more letters. */
  const reranker: Reranker = {
    identity: { source: "letters", fingerprint: "0123456789abcdef0123" },
    score: async (_, texts) => texts.map((text) => text.length),
    close: async () => {},
  };
  const many: readonly Passage[] = Array.from({ length: 20 }, (_, i) => ({
    id: String(i),
    title: "bread",
    text: "x".repeat(i + 1),
  }));
  const ids = (documents: readonly { readonly id: string }[]) => documents.map(({ id }) => id);

  test("every dialect gets its order, and /retrieve says how many are read", async () => {
    const url = await start({ searcher: memorySearcher(many), reranker, rerankDepth: 5 });
    const { answers } = (await (await post(`${url}/queries`, { queries: ["bread"], k: 2 })).json()) as {
      answers: string[][];
    };
    expect(answers[0]!.map((line) => line.split("\t")[0])).toEqual(["4", "3"]); // of the first five
    const retrieved = async (more: object) => {
      const reply = await post(`${url}/retrieve`, { queries: ["bread"], ...more });
      return ids(((await reply.json()) as { result: { id: string }[][] }).result[0]!);
    };
    expect(await retrieved({ topk: 2 })).toEqual(["4", "3"]);
    expect(await retrieved({ topk_retrieval: 8, topk_rerank: 3 })).toEqual(["7", "6", "5"]);
    expect(await retrieved({ topk_rerank: 7 })).toEqual(["6", "5", "4", "3", "2", "1", "0"]);
    const health = (await (await fetch(`${url}/health`)).json()) as { searcher: { settings: object; hash: string } };
    expect(health.searcher.settings).toMatchObject({ reranker: "0123456789abcdef", rerankDepth: 5 });
    expect(await (await fetch(`${url}/metrics`)).text()).toContain("\nsearch_reranked_total 25\n");
  });

  test("/rerank orders documents as /retrieve gives them, or bare, and hands them back as they came", async () => {
    const url = await start({ reranker });
    const document = { id: 7, contents: '"T"\nlong text' };
    const documents = [[{ contents: '"T"\nx' }, { document, score: 0.5 }], []];
    const reply = await post(`${url}/rerank`, { queries: ["a", "b"], documents, rerank_topk: 2, return_scores: true });
    expect(await reply.json()).toEqual({
      result: [
        [
          { document, score: "T long text".length },
          { document: { contents: '"T"\nx' }, score: "T x".length },
        ],
        [],
      ],
    });
    const bare = await post(`${url}/rerank`, { queries: ["a", "b"], documents, rerank_topk: 1 });
    expect(await bare.json()).toEqual({ result: [[document], []] });
    const wide = Array.from({ length: 5000 }, () => ({ contents: "x" }));
    expect((await post(`${url}/rerank`, { queries: ["a"], documents: [wide] })).status).toBe(400);
  });

  test("too many passages at once are sent away", async () => {
    let open = () => {};
    const gate = new Promise<void>((resolve) => {
      open = resolve;
    });
    const slow: Reranker = {
      ...reranker,
      score: async (_, texts) => {
        await gate;
        return texts.map(() => 0);
      },
    };
    const url = await start({ reranker: slow });
    const ask = (count: number) =>
      post(`${url}/rerank`, { queries: ["a"], documents: [Array.from({ length: count }, () => ({ contents: "x" }))] });
    const first = ask(4000);
    await until(async () => (await (await fetch(`${url}/metrics`)).text()).includes("search_reranked_total 4000"));
    const refused = await ask(200);
    expect([refused.status, refused.headers.get("retry-after")]).toEqual([503, "1"]);
    open();
    expect((await first).status).toBe(200);
    expect((await ask(200)).status).toBe(200);
  });
});
