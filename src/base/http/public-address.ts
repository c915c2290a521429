/**
 * @file Decides which addresses this program may connect to for an untrusted page: only addresses of the public
 * internet.
 */
import { BlockList, isIP, isIPv4 } from "node:net";
import { ConfigError } from "../errors.ts";

/** IPv4 ranges that are not public, from IANA's registry of special-purpose addresses. */
const closed4: readonly (readonly [net: string, prefix: number, what: string])[] = [
  ["0.0.0.0", 8, "this network"],
  ["10.0.0.0", 8, "private"],
  ["100.64.0.0", 10, "shared by a provider's customers"],
  ["127.0.0.0", 8, "loopback"],
  ["168.63.129.16", 32, "metadata of a cloud"], // looks public, answers inside Azure only
  ["169.254.0.0", 16, "link-local"],
  ["172.16.0.0", 12, "private"],
  ["192.0.0.0", 24, "protocol assignment"],
  ["192.0.2.0", 24, "documentation"],
  ["192.31.196.0", 24, "protocol assignment"],
  ["192.52.193.0", 24, "protocol assignment"],
  ["192.88.99.0", 24, "6to4 relay"],
  ["192.168.0.0", 16, "private"],
  ["192.175.48.0", 24, "protocol assignment"],
  ["198.18.0.0", 15, "benchmarking"],
  ["198.51.100.0", 24, "documentation"],
  ["203.0.113.0", 24, "documentation"],
  ["224.0.0.0", 4, "multicast"],
  ["240.0.0.0", 4, "reserved"],
];

/** In IPv6 only 2000::/3 is public, except parts that are assigned to protocols or contain an IPv4 address. */
const public6 = ["2000::", 3] as const;
const closed6: readonly (readonly [net: string, prefix: number, what: string])[] = [
  ["2001::", 23, "protocol assignment"], // Teredo, benchmarking, ORCHID …
  ["2001:db8::", 32, "documentation"],
  ["2002::", 16, "6to4"],
  ["2620:4f:8000::", 48, "protocol assignment"],
  ["3ffe::", 16, "returned test network"],
  ["3fff::", 20, "documentation"],
];

const lists4 = closed4.map(([net, prefix, what]) => ({ what, list: listOf(net, prefix, "ipv4") }));
const lists6 = closed6.map(([net, prefix, what]) => ({ what, list: listOf(net, prefix, "ipv6") }));
const open6 = listOf(...public6, "ipv6");

function listOf(net: string, prefix: number, family: "ipv4" | "ipv6"): BlockList {
  const list = new BlockList();
  list.addSubnet(net, prefix, family);
  return list;
}

/**
 * Why an address is not public; undefined if it is. It decides on the address's bytes, and refuses any text that is not
 * an address in standard notation.
 */
export function closedAddress(address: string): string | undefined {
  const version = isIP(address);
  if (version === 0) return "not an address";
  if (version === 4) return lists4.find(({ list }) => list.check(address, "ipv4"))?.what;
  if (address.includes("%")) return "bound to an interface";
  if (!open6.check(address, "ipv6")) return whatIs6(address);
  return lists6.find(({ list }) => list.check(address, "ipv6"))?.what;
}

function whatIs6(address: string): string {
  const [first = 0, ...rest] = groupsOf(address);
  if (first === 0 && rest.slice(0, 4).every((group) => group === 0)) return "loopback, or IPv4 inside IPv6";
  if (first === 0x64 && rest[0] === 0xff9b) return "IPv4 behind NAT64";
  if ((first & 0xffc0) === 0xfe80) return "link-local";
  if ((first & 0xfe00) === 0xfc00) return "private";
  if ((first & 0xff00) === 0xff00) return "multicast";
  return "not assigned to the public";
}

/** The eight groups of an IPv6 address, including those written as IPv4. */
function groupsOf(address: string): number[] {
  const hex = address.replace(/(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/, (_, a, b, c, d) => {
    const group = (high: string, low: string) => (Number(high) * 256 + Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
  const [head = "", tail] = hex.split("::");
  const read = (part: string) => part.split(":").flatMap((group) => (group === "" ? [] : Number.parseInt(group, 16)));
  const [before, after] = [read(head), read(tail ?? "")];
  if (tail === undefined) return before;
  return [...before, ...Array<number>(Math.max(0, 8 - before.length - after.length)).fill(0), ...after];
}

/** @throws ConfigError naming an entry that is neither an address nor a range */
export function checkedList(key: string, allowed: readonly string[]): void {
  for (const entry of allowed) {
    const [net = "", prefix, more] = entry.split("/");
    const bits = { 0: -1, 4: 32, 6: 128 }[isIP(net)]!;
    const isRange = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
    if (bits > 0 && isRange && more === undefined && !net.includes("%")) continue;
    throw new ConfigError(`${key} has "${entry}"`, { hint: "write an address or a range, as 10.1.2.3 or 10.1.0.0/16" });
  }
}

/** Addresses that the user allows although they are not public: "127.0.0.1" or "10.1.0.0/16". */
export function addressList(allowed: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of allowed) {
    const [net = "", prefix] = entry.split("/");
    const family = isIPv4(net) ? "ipv4" : "ipv6";
    list.addSubnet(net, prefix === undefined ? (family === "ipv4" ? 32 : 128) : Number(prefix), family);
  }
  const isPlain = (address: string) => isIP(address) > 0 && !/^::ffff:/i.test(address) && !address.includes("%");
  return (address) => isPlain(address) && list.check(address, isIPv4(address) ? "ipv4" : "ipv6");
}
