/** @file Wikipedia's own search: needs no key and finds only its own pages. `&address=` names another MediaWiki. */
import { z } from "zod";
import { plain, shortened, type WebProvider } from "../provider.ts";

const Found = z.object({
  title: z.string(),
  fullurl: z.string(),
  /** Its position among the results. */
  index: z.int(),
  extract: z.string().optional(),
});
/** Without `query` nothing was found. An error has status 200, too, and neither field. */
const Reply = z.union([
  z.object({ query: z.object({ pages: z.array(Found) }) }),
  z.object({ batchcomplete: z.literal(true) }).transform(() => ({ query: { pages: [] } })),
]);

export const wikipedia: WebProvider = {
  name: "wikipedia",
  address: "https://en.wikipedia.org/w/api.php",
  request({ query, count, address }) {
    const url = new URL(address);
    const asked = {
      ...{ action: "query", format: "json", formatversion: "2", redirects: "1" },
      ...{ generator: "search", gsrsearch: shortened(query, 300), gsrlimit: String(Math.min(20, count)) },
      ...{ prop: "info|extracts", inprop: "url", exintro: "1", explaintext: "1", exlimit: "max", exchars: "600" },
    };
    for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
    return { url: url.href, headers: { "user-agent": "r1-searcher (searches to answer questions)" } };
  },
  read: (reply) =>
    Reply.parse(reply)
      .query.pages.toSorted((a, b) => a.index - b.index)
      .map(({ fullurl, title, extract = "" }) => ({ url: fullurl, title, snippet: plain(extract) })),
};
