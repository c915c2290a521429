/** @file A Wikipedia article by the API: its text without navigation, up to the references. */
import { z } from "zod";
import type { PageResult } from "./page.ts";

const Reply = z.object({
  query: z.object({ pages: z.array(z.object({ title: z.string(), extract: z.string().optional() })).min(1) }),
});

/** Undefined if the link is not a Wikipedia article. @param apiOf the API of a host, if not its own */
export function wikipediaPage(
  link: string,
  apiOf = (host: string) => `https://${host}/w/api.php`,
): { readonly api: string; readonly read: (bytes: Uint8Array) => PageResult } | undefined {
  if (!URL.canParse(link)) return undefined;
  const { protocol, hostname, port, pathname, username } = new URL(link);
  const isWikipedia = /^[a-z-]{2,16}(\.m)?\.wikipedia\.org$/.test(hostname) && port === "" && username === "";
  const title = titleOf(pathname);
  if (!isWikipedia || !/^https?:$/.test(protocol) || title === undefined) return undefined;
  const api = new URL(apiOf(hostname.replace(/\.m\./, ".")));
  const asked = {
    action: "query",
    format: "json",
    formatversion: "2",
    prop: "extracts",
    explaintext: "1",
    redirects: "1",
  };
  for (const [name, value] of Object.entries({ ...asked, titles: title })) api.searchParams.set(name, value);
  return { api: api.href, read: (bytes) => readReply(link, bytes) };
}

function titleOf(pathname: string): string | undefined {
  const coded = /^\/wiki\/([^/].*)$/.exec(pathname)?.[1];
  if (coded === undefined) return undefined;
  try {
    return decodeURIComponent(coded).replaceAll("_", " ");
  } catch {
    return undefined;
  }
}

function readReply(url: string, bytes: Uint8Array): PageResult {
  const unreadable = (message: string): PageResult => ({ ok: false, why: "unreadable", message: `${url}: ${message}` });
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return unreadable("the reply is not JSON");
  }
  const reply = Reply.safeParse(json);
  if (!reply.success) return unreadable("the reply has another shape");
  const { title, extract = "" } = reply.data.query.pages[0]!;
  const text = upTo(upTo(extract, "== References =="), "== Notes ==").trim();
  return text === "" ? unreadable("there is no such article") : { ok: true, page: { url, title, text } };
}

function upTo(text: string, heading: string): string {
  const at = text.indexOf(heading);
  return at < 0 ? text : text.slice(0, at);
}
