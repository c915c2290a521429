/** @file Each provider against a request and a reply written after its documentation; none is asked. */
import { expect, test } from "vitest";
import { plain } from "./provider.ts";
import { webProviderOf, webProviders } from "./providers.ts";

const question = { query: "who mapped Tervane", count: 5, site: "en.wikipedia.org", key: "the-key" };
const found = { url: "https://a.example/1", title: "Ada Quill", snippet: "mapped the glacier & more" };

/** A reply, what is asked for it, and a reply that found nothing. */
const examples: Readonly<Record<string, { reply: unknown; empty: unknown; asks: object }>> = {
  serper: {
    reply: {
      searchParameters: { q: "x" },
      organic: [{ title: found.title, link: found.url, snippet: "mapped the <b>glacier</b> &amp; more", position: 1 }],
    },
    empty: { organic: [] },
    asks: {
      url: "https://google.serper.dev/search",
      headers: { "x-api-key": "the-key" },
      body: { q: "who mapped Tervane site:en.wikipedia.org", num: 10 },
    },
  },
  tavily: {
    reply: { query: "x", results: [{ ...found, content: found.snippet, score: 0.9, raw_content: null }] },
    empty: { results: [] },
    asks: {
      headers: { authorization: "Bearer the-key" },
      body: {
        query: "who mapped Tervane",
        max_results: 5,
        search_depth: "basic",
        include_domains: ["en.wikipedia.org"],
      },
    },
  },
  brave: {
    reply: { type: "search", web: { results: [{ ...found, description: found.snippet, age: "1 day" }] } },
    empty: { type: "search" },
    asks: {
      url: "https://api.search.brave.com/res/v1/web/search?q=who+mapped+Tervane+site%3Aen.wikipedia.org&count=5&text_decorations=false",
      headers: { "x-subscription-token": "the-key" },
    },
  },
  searxng: {
    reply: { query: "x", results: [{ ...found, content: found.snippet, engine: "e" }], unresponsive_engines: [] },
    empty: { results: [] },
    asks: { url: "http://127.0.0.1:1/search?q=who+mapped+Tervane+site%3Aen.wikipedia.org&format=json" },
  },
  wikipedia: {
    reply: {
      query: {
        pages: [
          { pageid: 2, title: "Second", index: 2, fullurl: "https://a.example/2" },
          { pageid: 1, title: found.title, index: 1, fullurl: found.url, extract: found.snippet },
        ],
      },
    },
    empty: { batchcomplete: true },
    asks: { headers: { "user-agent": expect.stringContaining("r1-searcher") } },
  },
};

test("every provider has its example", () => {
  expect(Object.keys(examples).sort()).toEqual(webProviders.map(({ name }) => name).sort());
});

test.each(Object.entries(examples))(
  "%s is asked and read as its documentation says",
  (name, { reply, empty, asks }) => {
    const provider = webProviderOf(name)!;
    const request = provider.request({ ...question, address: provider.address ?? "http://127.0.0.1:1/" });
    expect(request).toMatchObject(asks);
    expect(request.url).not.toContain("the-key");
    expect(provider.read(reply)[0]).toEqual(found);
    expect(provider.read(empty)).toEqual([]);
    for (const other of [{ message: "quota" }, null, "busy", { results: 3, organic: 3, web: 3, query: 3 }]) {
      expect(() => provider.read(other)).toThrow();
    }
  },
);

test("Tavily does without a key", () => {
  const provider = webProviderOf("tavily")!;
  const { headers } = provider.request({ ...question, address: provider.address!, key: undefined });
  expect(headers).toEqual({ "x-tavily-access-mode": "keyless" });
});

test("a query is shortened between characters, never within one", () => {
  const query = `a${"😀".repeat(400)}`;
  for (const provider of webProviders) {
    const { url, body } = provider.request({ ...question, query, address: provider.address ?? "http://127.0.0.1:1/" });
    expect(
      (body === undefined ? decodeURIComponent(url) : String(Object.values(body as object)[0])).isWellFormed(),
    ).toBe(true);
  }
});

test("snippets lose their marks", () => {
  expect(plain("<strong>Zo&euml;</strong>  &lt;3 &#233;&#x20AC; &nbsp;x &#0; &#99999999;")).toBe(
    "Zo&euml; <3 é€ x &#0; &#99999999;",
  );
});
