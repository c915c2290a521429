/** @file A JSON client over HTTP with limits on everything. One call is one try; retries are in `base/retry.ts`. */
import { Agent, request } from "undici";
import { messageOf } from "../errors.ts";
import { HttpError } from "./http-error.ts";

export interface JsonRequest {
  readonly url: string;
  /** If absent, the request is a GET. */
  readonly body?: unknown;
  /** Sent as JSON lines, instead of `body`. */
  readonly lines?: readonly unknown[];
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

export interface JsonClient {
  /** @throws HttpError; the signal's reason if it is raised */
  json(request: JsonRequest): Promise<unknown>;
  close(): Promise<void>;
}

export interface JsonClientOptions {
  /** Time limit of one request, including the connection. */
  readonly timeoutMs?: number;
  readonly maxReplyBytes?: number;
  /** Sockets per server. */
  readonly connections?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

export function jsonClient(options: JsonClientOptions = {}): JsonClient {
  const { timeoutMs = 30_000, maxReplyBytes = 64 << 20, connections = 64, headers = {} } = options;
  const agent = new Agent({
    connections,
    connect: { timeout: Math.min(timeoutMs, 10_000) },
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    maxResponseSize: maxReplyBytes,
    maxHeaderSize: 16 << 10,
  });
  return {
    async json({ url, body, lines, headers: own, signal }) {
      signal?.throwIfAborted();
      const content = lines
        ? { type: "application/x-ndjson", text: lines.map((line) => `${JSON.stringify(line)}\n`).join("") }
        : body === undefined
          ? undefined
          : { type: "application/json", text: JSON.stringify(body) };
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        const {
          statusCode,
          headers: replied,
          body: stream,
        } = await request(url, {
          dispatcher: agent,
          signal: signal ? AbortSignal.any([signal, deadline]) : deadline,
          method: content ? "POST" : "GET",
          headers: {
            accept: "application/json",
            ...(content ? { "content-type": content.type } : {}),
            ...headers,
            ...own,
          },
          ...(content ? { body: content.text } : {}),
        });
        return read(shownUrl(url), statusCode, replied["retry-after"], await stream.text());
      } catch (cause) {
        signal?.throwIfAborted();
        if (cause instanceof HttpError) throw cause;
        const why = deadline.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(cause);
        throw new HttpError(`${shownUrl(url)}: ${why}`, { retryable: !isTooLarge(cause), cause });
      }
    },
    close: () => agent.destroy(),
  };
}

const transientStatuses = [408, 425, 429, 500, 502, 503, 504];

function read(url: string, status: number, retryAfter: string | string[] | undefined, text: string): unknown {
  if (status < 200 || status >= 300) throw refusal({ url, status, retryAfter, text });
  try {
    return JSON.parse(text);
  } catch (cause) {
    // the reply was cut off, or is the HTML page of a proxy
    throw new HttpError(`${url}: the reply is not JSON: ${messageOf(cause)}`, { status, retryable: true, cause });
  }
}

/** The error for a status other than success. @param reply.url as shown to users, without secrets */
export function refusal(reply: {
  readonly url: string;
  readonly status: number;
  readonly retryAfter: string | string[] | undefined;
  readonly text: string;
}): HttpError {
  const reason = reply.text.replace(/\s+/g, " ").trim().slice(0, 200);
  return new HttpError(`${reply.url}: status ${reply.status}${reason === "" ? "" : `: ${reason}`}`, {
    status: reply.status,
    retryable: transientStatuses.includes(reply.status),
    retryAfterMs: retryAfterMs(String(reply.retryAfter ?? "")),
  });
}

/** Seconds or a date; undefined for anything else. */
function retryAfterMs(text: string): number | undefined {
  if (/^\d+(\.\d+)?$/.test(text.trim())) return Number(text) * 1000;
  const date = /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function isTooLarge(cause: unknown): boolean {
  return (cause as { code?: unknown }).code === "UND_ERR_RES_EXCEEDED_MAX_SIZE";
}

/** If Node tried several addresses and all refused, the messages are only in `errors`. */
export function reasonOf(cause: unknown): string {
  const { code, errors } = cause as { code?: unknown; errors?: readonly unknown[] };
  return messageOf(cause) || (errors?.length ? messageOf(errors[0]) : "") || String(code ?? "connection failed");
}

/** Without user, password and query, which may contain secrets. */
export function shownUrl(url: string): string {
  if (!URL.canParse(url)) return url;
  const { protocol, host, pathname } = new URL(url);
  return `${protocol}//${host}${pathname}`;
}
