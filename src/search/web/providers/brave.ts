/** @file Brave Search, which has its own index. */
import { z } from "zod";
import { plain, shortened, type WebProvider, withSite } from "../provider.ts";

const Found = z.object({ url: z.string(), title: z.string().default(""), description: z.string().default("") });
/** `web` is missing if nothing was found. */
const Reply = z.object({ type: z.literal("search"), web: z.object({ results: z.array(Found) }).optional() });

export const brave: WebProvider = {
  name: "brave",
  address: "https://api.search.brave.com/res/v1/web/search",
  keyName: "BRAVE_API_KEY",
  request({ query, count, site, address, key }) {
    const url = new URL(address);
    url.searchParams.set("q", withSite(shortened(query, 350), site)); // the API accepts at most 400 characters
    url.searchParams.set("count", String(Math.min(20, count)));
    url.searchParams.set("text_decorations", "false");
    return { url: url.href, headers: { "x-subscription-token": key! } };
  },
  read: (reply) =>
    (Reply.parse(reply).web?.results ?? []).map(({ url, title, description }) => ({
      url,
      title: plain(title),
      snippet: plain(description),
    })),
};
