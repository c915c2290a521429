/** @file Reads and decompresses the body of a reply within limits that hold for every compression. */
import { type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import type { Dispatcher } from "undici";

export type ReplyBody = Pick<Dispatcher.ResponseData, "statusCode" | "headers" | "body">;

export class BodyTooLarge extends Error {}

/** Limit on the decompression ratio; text has 3 to 10, a bomb 1,000. */
const mostRatio = 50;
/** Bodies smaller than this are not checked for their ratio. */
const ratioFrom = 256 << 10;

/** @throws BodyTooLarge beyond a limit; zlib's errors if it cannot be decompressed */
export async function readBody(
  body: Readable,
  encoding: string,
  { maxWireBytes, maxBytes }: { readonly maxWireBytes: number; readonly maxBytes: number },
): Promise<Uint8Array<ArrayBuffer>> {
  let sent = 0;
  // pipeline() reports the error of whichever stream failed first
  let beyond: BodyTooLarge | undefined;
  const tooLarge = (message: string) => (beyond ??= new BodyTooLarge(message));
  const counted = new Transform({
    transform(chunk: Buffer, _, done) {
      sent += chunk.length;
      if (sent > maxWireBytes) done(tooLarge(`more than ${maxWireBytes} bytes`));
      else done(null, chunk);
    },
  });
  const chunks: Buffer[] = [];
  let size = 0;
  const keep = async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of source) {
      size += chunk.length;
      if (size > maxBytes) throw tooLarge(`more than ${maxBytes} bytes decompressed`);
      if (size > ratioFrom && size > sent * mostRatio) throw tooLarge(`${sent} bytes decompress to more than ${size}`);
      chunks.push(chunk);
    }
  };
  const unpack = unpackerOf(encoding);
  try {
    await (unpack ? pipeline(body, counted, unpack, keep) : pipeline(body, counted, keep));
  } catch (cause) {
    throw beyond ?? cause;
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

function unpackerOf(encoding: string) {
  if (encoding === "gzip" || encoding === "x-gzip") return createGunzip();
  if (encoding === "br") return createBrotliDecompress();
  if (encoding === "deflate") return createInflate();
  return undefined;
}
