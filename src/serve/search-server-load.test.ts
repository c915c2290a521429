/** @file Many requests at once: batches, a full queue, clients that leave, and an end in the middle. */
import { afterEach, expect, test } from "vitest";
import { memorySearcher } from "../search/bm25/searcher.ts";
import { type SearchServer, type SearchServerOptions, serveSearch } from "./search-server.ts";
import { heldSearcher, passages, post, sleep, until } from "./testing/asked-server.ts";

let server: SearchServer | undefined;
afterEach(async () => {
  await server?.close();
  server = undefined;
});

async function start(options: Partial<SearchServerOptions> = {}): Promise<string> {
  server = await serveSearch({ searcher: memorySearcher(passages), port: 0, version: "9", ...options });
  return server.url;
}

test("queries of many requests are searched together", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher });
  const replies = Array.from({ length: 40 }, () => post(`${url}/queries`, { queries: ["x"] }));
  await until(() => server!.totals().queries === 40);
  release();
  for (const reply of await Promise.all(replies)) expect(reply.status).toBe(200);
  expect(batches.reduce((sum, size) => sum + size, 0)).toBe(40);
  expect(batches.length).toBeLessThan(30);
  expect(Math.max(...batches)).toBeLessThanOrEqual(32);
});

test("a full queue sends requests away, and takes them again once it is empty", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher, maxWaiting: 50 });
  const held = Array.from({ length: 6 }, () =>
    post(`${url}/queries`, { queries: Array.from({ length: 32 }, () => "x") }),
  );
  await until(() => server!.totals().queries === 6 * 32);
  const answered: Response[] = [];
  for (const reply of held)
    reply.then(
      (response) => answered.push(response),
      () => {},
    );
  await until(() => answered.length > 0);
  const refused = [...answered];
  for (const reply of refused) {
    expect([reply.status, reply.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await reply.json()).toMatchObject({ error: expect.stringContaining("are waiting already") });
  }
  expect(batches.length).toBeLessThanOrEqual(4);
  release();
  const began = performance.now();
  expect((await post(`${url}/queries`, { queries: ["x"] })).status).toBe(200);
  expect(performance.now() - began).toBeLessThan(2000);
  await Promise.all(held);
  expect(server!.totals().rejected).toBe(refused.length);
});

test("it ends its replies before it closes, and takes no new request", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher });
  const reply = post(`${url}/queries`, { queries: ["x"] });
  await until(() => batches.length > 0);
  const closed = server!.close();
  await expect(fetch(`${url}/health`)).rejects.toThrow();
  setTimeout(release, 100);
  expect((await reply).status).toBe(200);
  await closed;
});

test("a client that has gone frees its place in the queue", async () => {
  const { searcher, batches, release } = heldSearcher();
  const url = await start({ searcher, maxWaiting: 40 });
  const queries = Array.from({ length: 32 }, () => "x");
  const running = Array.from({ length: 4 }, () => post(`${url}/queries`, { queries }));
  await until(() => batches.length === 4);
  const controller = new AbortController();
  const gone = fetch(`${url}/queries`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ queries }),
    signal: controller.signal,
  });
  await until(() => server!.totals().queries === 5 * 32);
  controller.abort();
  await expect(gone).rejects.toThrow();
  await sleep(200);
  release();
  await Promise.all(running);
  await sleep(100);
  expect(batches).toHaveLength(4); // what it asked was never searched
});
