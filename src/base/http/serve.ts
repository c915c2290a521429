/**
 * @file An HTTP server with limits on everything: who may call it, how much it reads, how long it waits, how it stops.
 */
import { type AddressInfo, isIP } from "node:net";
import { createAdaptorServer } from "@hono/node-server";
import type { MiddlewareHandler } from "hono";
import { bearerAuth } from "hono/bearer-auth";
import { ConfigError, messageOf } from "../errors.ts";

export interface ServeOptions {
  readonly fetch: (request: Request) => Response | Promise<Response>;
  readonly host?: string;
  /** 0 uses a free port. */
  readonly port: number;
  /** Maximum number of sockets; more are refused. */
  readonly maxConnections?: number;
  /** Time limit for the whole request; its headers have 5 s. */
  readonly requestTimeoutMs?: number;
  /** Time for replies in progress to finish when the server is closed. */
  readonly drainMs?: number;
}

export interface HttpServer {
  /** http://host:port */
  readonly url: string;
  readonly port: number;
  /** Refuses new connections, lets replies in progress finish, then closes the remaining sockets. */
  close(): Promise<void>;
}

const headersTimeoutMs = 5_000;
/** A shorter token could be guessed. */
const leastToken = 16;

/** @throws ConfigError if the address is in use or not of this machine */
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
    // connections that arrive while this process is busy wait in the kernel, which drops those beyond the backlog
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

/** Checks where a server may listen: other machines need a token. @throws ConfigError */
export function checkBind(host: string, token: string | undefined): void {
  if (token !== undefined && token.length < leastToken) {
    throw new ConfigError(`--token has ${token.length} characters: expected at least ${leastToken}`, {
      hint: "make one with `openssl rand -hex 16`",
    });
  }
  if (token !== undefined && !/^[A-Za-z0-9._~+/-]+=*$/.test(token)) {
    throw new ConfigError("--token holds characters that an Authorization header cannot carry", {
      hint: "use letters, digits and . _ ~ + / - only; make one with `openssl rand -hex 16`",
    });
  }
  if (token === undefined && !loopback.test(host)) {
    throw new ConfigError(`--host ${host} lets other machines in, and there is no --token`, {
      hint: "add --token (at least 16 characters), or omit --host: the server then answers this machine only",
    });
  }
}

/**
 * Checks the token if there is one. Otherwise only programs on this machine may call: a request from a web page is
 * refused by its Origin header, and DNS rebinding by the Host header.
 */
export function guard(token: string | undefined): MiddlewareHandler {
  if (token !== undefined) return bearerAuth({ token });
  return async (context, next) => {
    const host = hostnameOf(`http://${context.req.header("host") ?? ""}`);
    const origin = context.req.header("origin");
    // some clients use 0.0.0.0, the address that the server listens on, as its host name
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
