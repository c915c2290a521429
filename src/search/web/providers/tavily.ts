/** @file Tavily (tavily.com): a search API for language models; a limited number of queries works without a key. */
import { z } from "zod";
import { plain, shortened, type WebProvider } from "../provider.ts";

const Reply = z.object({
  results: z.array(z.object({ url: z.string(), title: z.string().default(""), content: z.string().default("") })),
});

export const tavily: WebProvider = {
  name: "tavily",
  address: "https://api.tavily.com/search",
  keyName: "TAVILY_API_KEY",
  isKeyOptional: true,
  request: ({ query, count, site, address, key }) => ({
    url: address,
    headers: key === undefined ? { "x-tavily-access-mode": "keyless" } : { authorization: `Bearer ${key}` },
    body: {
      query: shortened(query, 400),
      max_results: Math.min(20, count),
      search_depth: "basic",
      ...(site === undefined ? {} : { include_domains: [site] }),
    },
  }),
  read: (reply) =>
    Reply.parse(reply).results.map(({ url, title, content }) => ({ url, title, snippet: plain(content) })),
};
