import { expect, test } from "vitest";
import { searchOption } from "./options.ts";

test("--search names a server, or a provider of the web with its settings", () => {
  expect(searchOption({})).toBeUndefined();
  expect(searchOption({ index: "dir" })).toEqual({ source: "index", path: "dir" });
  expect(searchOption({ search: "http://h:1/retrieve" })).toEqual({ source: "http", url: "http://h:1/retrieve" });
  expect(searchOption({ search: "web:tavily" })).toEqual({ source: "web", provider: "tavily" });
  expect(searchOption({ search: "web:searxng?url=http://127.0.0.1:8888/&mode=r1-searcher&site=a.org" })).toEqual({
    source: "web",
    provider: "searxng",
    url: "http://127.0.0.1:8888/",
    mode: "r1-searcher",
    site: "a.org",
  });
});

test("what is no provider, mode or setting is refused by name", () => {
  const refused = (search: string) => () => searchOption({ search });
  expect(refused("web:")).toThrow("names no provider");
  expect(refused("web:serper?key=secret")).toThrow("--search web: unknown option key");
  expect(refused("web:serper?key=secret")).not.toThrow("secret");
  expect(refused("web:serper?mode=fast")).toThrow('has mode "fast"');
  expect(() => searchOption({ index: "a", search: "web:serper" })).toThrow("both given");
});
