import { createServer, type RequestListener, type Server } from "node:http";
import { type AddressInfo, isIP } from "node:net";
import fc from "fast-check";
import { buildConnector } from "undici";
import { afterEach, expect, test } from "vitest";
import { type Dial, type GuardedFetchOptions, guardedFetch } from "./guarded-fetch.ts";
import { addressList, checkedList, closedAddress } from "./public-address.ts";
import { closedAddresses, closedUrls, publicAddresses } from "./testing/address-vectors.ts";

/** Whoever would be dialled; nobody is. */
function recording(resolve: GuardedFetchOptions["resolve"] = async () => ["8.8.8.8"]) {
  const dialled: Dial[] = [];
  const fetch = guardedFetch({
    resolve,
    dial: (to, connected) => {
      dialled.push(to);
      connected(new Error("no test dials"), null);
    },
  });
  return { dialled, get: (url: string) => fetch(url, { types: ["text/html"] }) };
}

let server: Server | undefined;
afterEach(() => {
  server?.close();
  server?.closeAllConnections();
  server = undefined;
});

/** A server on loopback that the names of the test lead to. */
async function serving(listener: RequestListener): Promise<number> {
  server = createServer(listener);
  await new Promise<void>((resolve) => server!.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

test("the vectors are as many as promised", () => {
  expect(closedUrls.length + closedAddresses.length * 2).toBeGreaterThanOrEqual(400);
});

test("no link to what is not public reaches a dial, in any spelling", async () => {
  const { dialled, get } = recording();
  for (const url of closedUrls) expect([url, await get(url)]).toMatchObject([url, { ok: false, why: "refused" }]);
  expect(dialled).toEqual([]);
});

test("no name that leads to such an address reaches one, alone or among good answers, first or last", async () => {
  for (const address of closedAddresses) {
    for (const answers of [[address], ["8.8.8.8", address], [address, "2606:4700:4700::1111"]]) {
      const { dialled, get } = recording(async () => answers);
      expect([answers, await get("http://news.example.org.uk/")]).toMatchObject([answers, { why: "refused" }]);
      expect(dialled).toEqual([]);
    }
  }
});

test("what a resolver says later does not matter: the address that was checked is the one dialled", async () => {
  let asked = 0;
  const { dialled, get } = recording(async () => (asked++ === 0 ? ["93.184.216.34"] : ["127.0.0.1"]));
  expect(await get("https://rebind.example.net/a")).toMatchObject({ why: "unreachable" });
  expect(asked).toBe(1);
  expect(dialled).toEqual([{ address: "93.184.216.34", port: 443, secure: true, hostname: "rebind.example.net" }]);
  expect(await get("https://rebind.example.net/a")).toMatchObject({ why: "refused" });
  expect(dialled).toHaveLength(1);
});

test("answers of a resolver that are no addresses, or none, or never come", async () => {
  for (const answer of ["", "localhost", "127.1", "0x7f000001", "8.8.8.8.8", "fe80::1%eth0", "[::1]", "8.8.8.8:80"]) {
    const { dialled, get } = recording(async () => [answer]);
    expect(await get("http://a.example.net/")).toMatchObject({ why: "refused" });
    expect(dialled).toEqual([]);
  }
  expect(await recording(async () => []).get("http://a.example.net/")).toMatchObject({ why: "unreachable" });
  const never = guardedFetch({ resolve: () => new Promise(() => {}), timeoutMs: 200 });
  expect(await never("http://a.example.net/", { types: [] })).toMatchObject({ ok: false });
});

test("100 public links are dialled, none refused", async () => {
  const { dialled, get } = recording();
  const names = Array.from(
    { length: 60 },
    (_, i) => `https://site-${i}.${["com", "org", "co.uk", "io", "de"][i % 5]}/a?b=${i}`,
  );
  const literals = publicAddresses.map((address) => `http://${isIP(address) === 6 ? `[${address}]` : address}/`);
  const odd = [
    "http://localhost.com/",
    "http://10.example.com/",
    "https://xn--bcher-kva.example.com/",
    "http://internal.example.com/",
  ];
  const more = [
    "https://bücher.example.com:443/",
    "http://a.example.com:80/",
    "http://1e100.net/",
    "https://127.0.0.1.nip.io/",
  ];
  const urls = [...names, ...literals, ...odd, ...more];
  expect(urls.length).toBeGreaterThanOrEqual(100);
  for (const url of urls)
    expect([url, await get(url)]).toMatchObject([
      url,
      { why: "unreachable", message: expect.stringContaining("no test dials") },
    ]);
  expect(dialled).toHaveLength(urls.length);
  for (const { address } of dialled) expect([...publicAddresses, "8.8.8.8"]).toContain(address);
});

test("every hop of a redirect is checked anew", async () => {
  let location = "";
  const header = () => Buffer.from(location, "utf8").toString("latin1"); // as a server sends what is not ASCII
  const port = await serving((_, response) => void response.writeHead(302, { location: header() }).end());
  const connect = buildConnector({});
  const dialled: string[] = [];
  const fetch = guardedFetch({
    resolve: async () => ["8.8.8.8"],
    // 8.8.8.8 is this test's server; whoever else is dialled was not to be
    dial: ({ address }, connected) => {
      if (address !== "8.8.8.8") dialled.push(address);
      connect({ hostname: "127.0.0.1", host: "127.0.0.1", protocol: "http:", port: String(port) }, connected);
    },
  });
  const get = (url: string) => fetch(url, { types: ["text/html"] });
  const hops = closedUrls.filter((url) => URL.canParse(url) && url.length < 2048);
  expect(hops.length).toBeGreaterThan(200);
  for (const url of hops) {
    location = url;
    expect([url, await get("http://start.example.net/")]).toMatchObject([url, { ok: false, why: "refused" }]);
  }
  expect(dialled).toEqual([]);
  location = "/again";
  expect(await get("http://start.example.net/")).toMatchObject({ why: "redirects" });
});

test("allowed addresses are allowed, and no others", async () => {
  const port = await serving(
    (_, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<p>here"),
  );
  const get = (allowed: string[], host = "127.0.0.1") =>
    guardedFetch({ allowed, resolve: async () => ["127.0.0.1"] })(`http://${host}:${port}/`, { types: ["text/html"] });
  expect(await get(["127.0.0.1"])).toMatchObject({ ok: true, contentType: "text/html" });
  expect(await get(["127.0.0.0/8"])).toMatchObject({ ok: true });
  expect(await get(["127.0.0.2", "10.0.0.0/8", "::1"])).toMatchObject({ why: "refused" });
  expect(await get([])).toMatchObject({ why: "refused" });
  const isAllowed = addressList(["127.0.0.1"]);
  expect(["127.0.0.1", "::ffff:127.0.0.1", "127.0.0.2", "127.1", ""].map(isAllowed)).toEqual([
    true,
    false,
    false,
    false,
    false,
  ]);
  for (const entry of ["127.1", "localhost", "10.0.0.0/33", "10.0.0.0/8/8", "", "fe80::1%lo"])
    expect(() => checkedList("search.allowAddresses", [entry])).toThrow(`search.allowAddresses has "${entry}"`);
});

test("an address is public only outside of every closed range: random ones agree with arithmetic", () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), (n) => {
      const [a, b, c] = [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255] as const;
      const isClosed =
        a === 0 ||
        a === 10 ||
        a === 127 ||
        a >= 224 ||
        (a === 100 && b >= 64 && b < 128) ||
        (a === 169 && b === 254) ||
        (a === 172 && b >= 16 && b < 32) ||
        (a === 192 && b === 168) ||
        (a === 198 && (b === 18 || b === 19)) ||
        n === 0xa83f8110 ||
        [0xc00000, 0xc00002, 0xc01fc4, 0xc034c1, 0xc05863, 0xc0af30, 0xc63364, 0xcb0071].includes(n >>> 8);
      return (closedAddress(`${a}.${b}.${c}.${n & 255}`) !== undefined) === isClosed;
    }),
    { numRuns: 5_000 },
  );
  expect(closedAddresses.filter((address) => closedAddress(address) === undefined)).toEqual([]);
  expect(publicAddresses.filter((address) => closedAddress(address) !== undefined)).toEqual([]);
});
