/**
 * @file Fetches pages from untrusted addresses. At every redirect the IP address is checked at the moment of
 * connecting; size, time, headers and redirects are bounded. A failure is returned as a value with its kind, so that it
 * can be counted.
 */
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { Agent, buildConnector, request } from "undici";
import { messageOf } from "../errors.ts";
import { BodyTooLarge, type ReplyBody, readBody } from "./bounded-body.ts";
import { shownUrl } from "./json-client.ts";
import { addressList, closedAddress } from "./public-address.ts";

/** Why there is no page: refused here, a fault of the server, or a limit exceeded. */
export type FetchFailure = "refused" | "unreachable" | "status" | "redirects" | "time" | "size" | "encoding" | "type";

export type FetchResult =
  | {
      readonly ok: true;
      /** The URL after redirects. */
      readonly url: string;
      /** From the header, in lower case; "" if there is none. */
      readonly contentType: string;
      readonly bytes: Uint8Array<ArrayBuffer>;
    }
  | { readonly ok: false; readonly why: FetchFailure; readonly message: string };

/** Where to connect: an IP address, not a name. */
export interface Dial {
  readonly address: string;
  readonly port: number;
  readonly secure: boolean;
  /** The name for the TLS certificate. */
  readonly hostname: string;
}
type Connected = Parameters<buildConnector.connector>[1];

export interface GuardedFetchOptions {
  /** Addresses that may be connected to although they are not public, at any port: "127.0.0.1", "10.1.0.0/16". */
  readonly allowed?: readonly string[];
  readonly timeoutMs?: number;
  /** Limit on the bytes as sent. */
  readonly maxWireBytes?: number;
  /** Limit on the decompressed bytes. */
  readonly maxBytes?: number;
  readonly maxRedirects?: number;
  readonly userAgent?: string;
  /** Resolves a name to all its addresses. */
  readonly resolve?: (hostname: string) => Promise<readonly string[]>;
  readonly dial?: (to: Dial, connected: Connected) => void;
}

export interface FetchOptions {
  /** Accepted content types; for others the body is not read. */
  readonly types: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export type GuardedFetch = (url: string, options: FetchOptions) => Promise<FetchResult>;

const ports = [80, 443];
const longestUrl = 2048;
const nameOfProgram = "r1-searcher (reads pages to answer questions)";

export function guardedFetch(options: GuardedFetchOptions = {}): GuardedFetch {
  const { timeoutMs = 10_000, maxRedirects = 3, userAgent = nameOfProgram } = options;
  const isAllowed = addressList(options.allowed ?? []);
  const connect = guardedConnector(options, isAllowed);
  return async (start, { types, signal }) => {
    const deadline = AbortSignal.timeout(timeoutMs);
    // a separate agent per page: no socket is kept for later or reused for another name
    const agent = new Agent({
      connect,
      pipelining: 1,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      maxHeaderSize: 16 << 10,
    });
    try {
      let url = start;
      for (let hop = 0; hop <= maxRedirects; hop++) {
        const because = refusedUrl(url, isAllowed);
        if (because !== undefined) return failed("refused", `${shownUrl(url).slice(0, 200)}: ${because}`);
        const reply = await request(url, {
          dispatcher: agent,
          signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
          headers: { accept: types.join(", "), "accept-encoding": "gzip, br", "user-agent": userAgent },
        });
        const onwards = redirectOf(url, reply.statusCode, reply.headers.location);
        if (onwards === undefined) return await readReply(url, reply, types, options);
        drop(reply);
        url = onwards;
      }
      return failed("redirects", `${shownUrl(start)}: more than ${maxRedirects} redirects`);
    } catch (cause) {
      signal?.throwIfAborted();
      if (deadline.aborted) return failed("time", `${shownUrl(start)}: not read within ${timeoutMs} ms`);
      return failed(...failureOf(cause, shownUrl(start)));
    } finally {
      void agent.destroy();
    }
  };
}

/** Aborts the request and ignores the socket's resulting error. */
function drop({ body }: Pick<ReplyBody, "body">): void {
  body.on("error", () => {});
  body.destroy();
}

class RefusedAddress extends Error {}

const failed = (why: FetchFailure, message: string): FetchResult => ({ ok: false, why, message });

function failureOf(cause: unknown, url: string): [FetchFailure, string] {
  if (cause instanceof RefusedAddress) return ["refused", `${url}: ${cause.message}`];
  if (cause instanceof BodyTooLarge) return ["size", `${url}: ${cause.message}`];
  const { code } = cause as { code?: unknown };
  if (code === "UND_ERR_HEADERS_OVERFLOW" || code === "HPE_HEADER_OVERFLOW") return ["size", `${url}: endless headers`];
  if (typeof code === "string" && /^(Z_|ERR_BROTLI|ERR__ERROR|ERR_PADDING)/.test(code))
    return ["encoding", `${url}: it cannot be decompressed (${code})`];
  return ["unreachable", `${url}: ${messageOf(cause) || String(code ?? "connection failed")}`];
}

/** What is wrong with a URL, found before its name is resolved. */
function refusedUrl(text: string, isAllowed: (address: string) => boolean): string | undefined {
  if (text.length > longestUrl) return `an address of ${text.length} characters`;
  if (!URL.canParse(text)) return "not an address";
  const { protocol, username, password, port, hostname } = new URL(text);
  if (protocol !== "http:" && protocol !== "https:") return `${protocol} is neither http: nor https:`;
  if (username !== "" || password !== "") return "a user or password in the address";
  const host = hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) > 0) {
    if (isAllowed(host)) return undefined;
    const closed = closedAddress(host);
    if (closed !== undefined) return `${host} is ${closed}`;
  } else if (!isPublicName(host)) return `${host} is not a public name`;
  if (port !== "" && !ports.includes(Number(port))) return `port ${port} is not one of ${ports.join(", ")}`;
  return undefined;
}

const localNames =
  /(^|\.)(localhost|local|internal|intranet|lan|home|corp|private|home\.arpa|onion|test|invalid|example)$/;

/** Names that exist only in local networks are refused. */
function isPublicName(host: string): boolean {
  const name = host.replace(/\.$/, "");
  return name.includes(".") && !localNames.test(name) && !/^[\d.]+$|(^|\.)0x[\da-f]*$/i.test(name);
}

function redirectOf(url: string, status: number, location: string | string[] | undefined): string | undefined {
  if (![301, 302, 303, 307, 308].includes(status) || typeof location !== "string") return undefined;
  const said = Buffer.from(location, "latin1").toString("utf8"); // header names are as sent, in any case
  return URL.canParse(said, url) ? new URL(said, url).href : said;
}

/** Resolves a name, checks all its addresses and connects to the first: a name is never resolved twice. */
function guardedConnector(
  { resolve = resolveAll, dial = dialAddress(), timeoutMs = 10_000 }: GuardedFetchOptions,
  isAllowed: (address: string) => boolean,
): buildConnector.connector {
  return (target, connected) => {
    const hostname = target.hostname.replace(/^\[|\]$/g, "");
    const secure = target.protocol === "https:";
    const find = isIP(hostname) > 0 ? Promise.resolve([hostname]) : within(resolve(hostname), timeoutMs);
    find
      .then((addresses) => {
        if (addresses.length === 0) throw new Error(`${hostname} has no address`);
        for (const address of addresses) {
          const closed = isAllowed(address) ? undefined : closedAddress(address);
          // a private address among public ones is an attack, not an accident
          if (closed !== undefined) throw new RefusedAddress(`${hostname} resolves to ${address}: ${closed}`);
        }
        return { address: addresses[0]!, port: Number(target.port) || (secure ? 443 : 80), secure, hostname };
      })
      .then(
        (to) => dial(to, connected),
        (cause: Error) => connected(cause, null),
      );
  };
}

async function within<T>(work: Promise<T>, milliseconds: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("its name was not resolved in time")), milliseconds);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
}

async function resolveAll(hostname: string): Promise<string[]> {
  return (await lookup(hostname, { all: true, verbatim: true })).map(({ address }) => address);
}

/** Connects, then checks the address of the connected socket again. */
function dialAddress(): NonNullable<GuardedFetchOptions["dial"]> {
  const connect = buildConnector({ timeout: 5_000, maxCachedSessions: 0 });
  return ({ address, port, secure, hostname }, connected) => {
    const target = {
      hostname: address,
      host: address,
      port: String(port),
      protocol: secure ? "https:" : "http:",
      ...(isIP(hostname) > 0 ? {} : { servername: hostname }),
    };
    connect(target, (...[cause, socket]: Parameters<Connected>) => {
      if (cause !== null) return connected(cause, null);
      if (socket.remoteAddress === undefined || sameAddress(socket.remoteAddress, address))
        return connected(null, socket);
      socket.destroy();
      return connected(new RefusedAddress(`connected to ${socket.remoteAddress} instead of ${address}`), null);
    });
  };
}

const sameAddress = (a: string, b: string) =>
  a === b ||
  new URL(`http://${isIP(a) === 6 ? `[${a}]` : a}`).host === new URL(`http://${isIP(b) === 6 ? `[${b}]` : b}`).host;

async function readReply(
  url: string,
  { statusCode, headers, body }: ReplyBody,
  types: readonly string[],
  { maxWireBytes = 2 << 20, maxBytes = 8 << 20 }: GuardedFetchOptions,
): Promise<FetchResult> {
  const where = shownUrl(url);
  const leave = (why: FetchFailure, message: string) => {
    drop({ body });
    return failed(why, `${where}: ${message}`);
  };
  if (statusCode < 200 || statusCode >= 300) return leave("status", `status ${statusCode}`);
  const contentType = String(headers["content-type"] ?? "").toLowerCase();
  const type = contentType.split(";")[0]!.trim();
  if (type !== "" && !types.includes(type)) return leave("type", `${type} is not read`);
  const encoding = String(headers["content-encoding"] ?? "identity")
    .trim()
    .toLowerCase();
  if (!["identity", "gzip", "x-gzip", "br", "deflate", ""].includes(encoding))
    return leave("encoding", `compressed as ${encoding}`);
  const bytes = await readBody(body, encoding, { maxWireBytes, maxBytes });
  return { ok: true, url, contentType, bytes };
}
