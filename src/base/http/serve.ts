/** @file An HTTP server with every limit set: who may call it, how much it reads, how long it waits, how it ends. */
import { type AddressInfo, isIP } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { ConfigError, messageOf } from "../errors.ts";

export interface ServeOptions {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly host?: string;
  /** 0 takes a free one. */
  readonly port: number;
  /** Sockets at once; more are refused. */
  readonly maxConnections?: number;
  /** For the whole request; its headers have 5 s. */
  readonly requestTimeoutMs?: number;
  /** For replies in progress, once the server is asked to close. */
  readonly drainMs?: number;
}

export interface HttpServer {
  /** http://host:port */
  readonly url: string;
  readonly port: number;
  /** Takes no more connections, lets replies in progress end, then cuts what is left. */
  close(): Promise<void>;
}

const headersTimeoutMs = 5_000;
/** A token below this is guessed. */
const leastToken = 16;

/** @throws ConfigError where the address is taken or not this machine's */
export async function serveHttp(options: ServeOptions): Promise<HttpServer> {
  const {
    fetch,
    host = "127.0.0.1",
    port,
    maxConnections = 2048,
    requestTimeoutMs = 30_000,
    drainMs = 5_000,
  } = options;
  const server = createAdaptorServer({
    fetch,
    serverOptions: {
      maxHeaderSize: 16 << 10,
      headersTimeout: headersTimeoutMs,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: 1_000,
      keepAliveTimeout: 65_000,
    },
  });
  if (!("closeIdleConnections" in server)) throw new Error("expected an HTTP/1 server");
  server.maxConnections = maxConnections;
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) =>
      reject(
        new ConfigError(`cannot listen on ${host}:${port}: ${messageOf(cause)}`, {
          hint: "give another --port (0 takes a free one) or --host",
          cause,
        }),
      ),
    );
    // connections that come while this program does not get to run wait in the kernel, which drops what has no room
    server.listen({ port, host, backlog: maxConnections }, resolve);
  });
  const address = server.address() as AddressInfo;
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    const sweep = setInterval(() => server.closeIdleConnections(), 20);
    const cut = setTimeout(() => server.closeAllConnections(), drainMs);
    await closed;
    clearInterval(sweep);
    clearTimeout(cut);
  };
  let closing: Promise<void> | undefined;
  return {
    url: `http://${isIP(address.address) === 6 ? `[${address.address}]` : address.address}:${address.port}`,
    port: address.port,
    close: () => (closing ??= close()),
  };
}

const loopback = /^(127(\.\d{1,3}){3}|::1|localhost)$/;

/** Where a server may listen: beyond this machine only with a token. @throws ConfigError */
export function checkBind(host: string, token: string | undefined): void {
  if (token !== undefined && token.length < leastToken) {
    throw new ConfigError(`--token has ${token.length} characters: expected at least ${leastToken}`, {
      hint: "make one with `openssl rand -hex 16`",
    });
  }
  if (token === undefined && !loopback.test(host)) {
    throw new ConfigError(`--host ${host} lets other machines in, and there is no --token`, {
      hint: "add --token (at least 16 characters), or leave --host out: the server then answers this machine only",
    });
  }
}

/**
 * Asks for the token where there is one. Otherwise only programs of this machine may call: a web page that found the
 * port is refused by its Origin, and a name that was bent to point here by its Host.
 */
export function guard(token: string | undefined): MiddlewareHandler {
  if (token !== undefined) return bearerAuth({ token });
  return async (context, next) => {
    const host = hostnameOf(`http://${context.req.header("host") ?? ""}`);
    const origin = context.req.header("origin");
    // some clients write the address that a server listens on, 0.0.0.0, for the one that it is reached by
    if (host === undefined || !(loopback.test(host) || host === "0.0.0.0")) {
      return context.json({ error: "this server answers to localhost only" }, 403);
    }
    if (origin !== undefined && !loopback.test(hostnameOf(origin) ?? "")) {
      return context.json({ error: "this server answers no web pages" }, 403);
    }
    return next();
  };
}

function hostnameOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, "") : undefined;
}
