/**
 * @file Downloads over HTTP: redirects never carry a secret to another host, and an interrupted download can be
 * continued. One call is one try; retries are in `base/retry.ts`.
 */
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { Agent, request } from "undici";
import { HttpError } from "./http-error.ts";
import { reasonOf, refusal, shownUrl } from "./json-client.ts";

export interface GetRequest {
  readonly url: string;
  /** Sent only to the host of `url`, never after a redirect to another host. */
  readonly token?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadRequest extends GetRequest {
  /** The file to write; existing content is taken as the beginning of the download. */
  readonly into: string;
  /** Size of the whole file, if known. */
  readonly bytes?: number | undefined;
  /** Receives the number of bytes on disk. */
  readonly onBytes?: (bytes: number) => void;
}

export interface FileClient {
  /** Reads a small reply. @throws HttpError; the signal's reason if it is raised */
  text(request: GetRequest): Promise<string>;
  /** @throws HttpError, and the bytes received before are kept on disk; the signal's reason if it is raised */
  download(request: DownloadRequest): Promise<void>;
  close(): Promise<void>;
}

export interface FileClientOptions {
  /** A download that receives no byte for this long is aborted. */
  readonly stallMs?: number;
  readonly maxTextBytes?: number;
  readonly maxRedirects?: number;
}

type Reply = Awaited<ReturnType<typeof request>>;

export function fileClient(options: FileClientOptions = {}): FileClient {
  const { stallMs = 30_000, maxTextBytes = 32 << 20, maxRedirects = 5 } = options;
  const agent = new Agent({
    connect: { timeout: Math.min(stallMs, 10_000) },
    headersTimeout: stallMs,
    bodyTimeout: stallMs,
    maxHeaderSize: 64 << 10, // signed addresses are long
  });
  const get = (asked: GetRequest, range?: string) => follow(asked, { agent, maxRedirects, range });
  const saying = async <T>({ url, signal }: GetRequest, work: () => Promise<T>): Promise<T> => {
    signal?.throwIfAborted();
    try {
      return await work();
    } catch (cause) {
      signal?.throwIfAborted();
      if (cause instanceof HttpError || isOfTheDisk(cause)) throw cause;
      throw new HttpError(`${shownUrl(url)}: ${reasonOf(cause)}`, { retryable: true, cause });
    }
  };
  return {
    text: (asked) =>
      saying(asked, async () => {
        const reply = await get(asked);
        const text = await textOf(reply, maxTextBytes, asked.url);
        if (reply.statusCode === 200) return text;
        throw refused(asked.url, reply, text);
      }),
    download: (asked) => saying(asked, () => downloadOnce(asked, get)),
    close: () => agent.destroy(),
  };
}

async function follow(
  { url: first, token, signal }: GetRequest,
  { agent, maxRedirects, range }: { agent: Agent; maxRedirects: number; range: string | undefined },
): Promise<Reply> {
  let url = first;
  for (let hop = 0; hop <= maxRedirects; hop++) {
    const isSameOrigin = new URL(url).origin === new URL(first).origin;
    const reply = await request(url, {
      dispatcher: agent,
      headers: {
        "accept-encoding": "identity", // ranges count the file's own bytes
        ...(range === undefined ? {} : { range }),
        ...(token === undefined || !isSameOrigin ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(signal ? { signal } : {}),
    });
    const { location } = reply.headers;
    if (![301, 302, 303, 307, 308].includes(reply.statusCode) || typeof location !== "string") return reply;
    reply.body.on("error", () => {}).destroy();
    const next = URL.canParse(location, url) ? new URL(location, url) : undefined;
    const isSafe = next && (next.protocol === "https:" || next.protocol === new URL(url).protocol);
    if (!isSafe) throw new HttpError(`${shownUrl(url)} redirects to ${shownUrl(location)}`, { retryable: false });
    url = next.href;
  }
  throw new HttpError(`${shownUrl(first)}: more than ${maxRedirects} redirects`, { retryable: false });
}

async function downloadOnce(asked: DownloadRequest, get: (asked: GetRequest, range?: string) => Promise<Reply>) {
  const { url, into, bytes, onBytes } = asked;
  const had = await sizeOf(into);
  if (bytes !== undefined && had > bytes) await rm(into, { force: true });
  const from = bytes !== undefined && had > bytes ? 0 : had;
  onBytes?.(from);
  if (from > 0 && from === bytes) return;
  const reply = await get(asked, from > 0 ? `bytes=${from}-` : undefined);
  const { statusCode: status, headers, body } = reply;
  if (status !== 200 && status !== 206) {
    const text = await textOf(reply, 64 << 10, url);
    if (status === 416) await rm(into, { force: true }); // the existing file is not the beginning of that download
    throw status === 416
      ? new HttpError(`${shownUrl(url)} has no byte ${from}`, { status, retryable: true })
      : refused(url, reply, text);
  }
  const start = status === 206 ? Number(/^bytes (\d+)-/.exec(String(headers["content-range"]))?.[1]) : 0;
  if (start !== from && start !== 0) {
    body.on("error", () => {}).destroy();
    throw new HttpError(`${shownUrl(url)} sent bytes from ${start} where ${from} was asked for`, { retryable: true });
  }
  const handle = await open(into, start > 0 ? "r+" : "w");
  try {
    const end = await append(handle, start, { ...asked, body });
    await handle.sync();
    if (bytes !== undefined && end < bytes)
      throw new HttpError(`${shownUrl(url)} ended at byte ${end} of ${bytes}`, { retryable: true });
  } finally {
    await handle.close();
  }
}

/** Writes at explicit positions, so that two programs that download the same file do not damage it. */
async function append(
  handle: FileHandle,
  start: number,
  { body, bytes, onBytes, url }: DownloadRequest & Pick<Reply, "body">,
): Promise<number> {
  let at = start;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    if (bytes !== undefined && at + chunk.length > bytes)
      throw new HttpError(`${shownUrl(url)} sends more than the ${bytes} bytes that it should have`, {
        retryable: false,
      });
    for (let done = 0; done < chunk.length; )
      done += (await handle.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
    at += chunk.length;
    onBytes?.(at);
  }
  return at;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

async function textOf({ body }: Reply, most: number, url: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > most) throw new HttpError(`${shownUrl(url)} sends more than ${most} bytes`, { retryable: false });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function refused(url: string, { statusCode: status, headers }: Reply, text: string): HttpError {
  return refusal({ url: shownUrl(url), status, retryAfter: headers["retry-after"], text });
}

/** Errors of the disk have a path; network errors do not. */
function isOfTheDisk(cause: unknown): boolean {
  const { syscall, code } = cause as { syscall?: unknown; code?: unknown };
  return code === "ENOSPC" || code === "EDQUOT" || syscall === "open" || syscall === "write" || syscall === "fsync";
}
