/** @file SearXNG (and searx): a self-hosted metasearch server; its settings must list json under search.formats. */

import { z } from "zod";
import { withoutSlashes } from "../../../base/without-slashes.ts";
import { plain, type WebProvider, withSite } from "../provider.ts";

const Text = z
  .string()
  .nullish()
  .transform((text) => text ?? "");
const Reply = z.object({ results: z.array(z.object({ url: z.string(), title: Text, content: Text })) });

export const searxng: WebProvider = {
  name: "searxng",
  address: undefined,
  request({ query, site, address }) {
    const url = new URL(/\/search\/?$/.test(address) ? address : `${withoutSlashes(address)}/search`);
    url.searchParams.set("q", withSite(query, site));
    url.searchParams.set("format", "json");
    return { url: url.href };
  },
  read: (reply) =>
    Reply.parse(reply).results.map(({ url, title, content }) => ({ url, title, snippet: plain(content) })),
};
