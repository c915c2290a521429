/** @file Serper (serper.dev): results of Google. R1-Searcher's online evaluation uses it. */
import { z } from "zod";
import { plain, type WebProvider, withSite } from "../provider.ts";

const Reply = z.object({
  organic: z.array(z.object({ link: z.string(), title: z.string().default(""), snippet: z.string().default("") })),
});

export const serper: WebProvider = {
  name: "serper",
  address: "https://google.serper.dev/search",
  keyName: "SERPER_API_KEY",
  request: ({ query, count, site, address, key }) => ({
    url: address,
    headers: { "x-api-key": key! },
    // more than 10 results cost twice as much
    body: { q: withSite(query, site), num: Math.max(10, count) },
  }),
  read: (reply) =>
    Reply.parse(reply).organic.map(({ link, title, snippet }) => ({ url: link, title, snippet: plain(snippet) })),
};
