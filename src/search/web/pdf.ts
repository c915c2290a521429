/** @file Extracts the text of a PDF's first pages. */
import { constants, inflateSync } from "node:zlib";

const mostPages = 30;
/** Limit on the decompressed size of one file's streams; that memory does not count towards the worker's heap limit. */
const mostUnpacked = 64 << 20;

export async function pdfText(bytes: Uint8Array<ArrayBuffer>): Promise<{ title: string; text: string }> {
  checkStreams(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length));
  const { getDocumentProxy } = await import("unpdf"); // loaded only when needed: it is large, and few pages are PDFs
  const document = await getDocumentProxy(bytes, { isEvalSupported: false, useSystemFonts: false, verbosity: 0 });
  try {
    const { info } = await document.getMetadata();
    const parts: string[] = [];
    for (let number = 1; number <= Math.min(document.numPages, mostPages); number++) {
      const { items } = await (await document.getPage(number)).getTextContent();
      for (const item of items) if ("str" in item) parts.push(item.str, item.hasEOL ? "\n" : "");
      parts.push("\n");
    }
    const { Title: title } = info as { Title?: unknown };
    return { title: typeof title === "string" ? title : "", text: parts.join("") };
  } finally {
    await document.destroy();
  }
}

/** @throws RangeError if a stream is a decompression bomb, or is compressed twice */
function checkStreams(file: Buffer): void {
  if (/\/Filter\s*\[\s*\/Fl\w*\s*\/Fl/.test(file.toString("latin1")))
    throw new RangeError("a stream is compressed twice");
  let unpacked = 0;
  for (let at = file.indexOf("stream"); at >= 0; at = file.indexOf("stream", at + 6)) {
    const from = at + 6 + (file[at + 6] === 13 ? 1 : 0) + 1;
    if ((file[from]! & 0x0f) !== 8) continue; // not compressed with zlib
    try {
      const whole = { maxOutputLength: mostUnpacked, finishFlush: constants.Z_SYNC_FLUSH };
      unpacked += inflateSync(file.subarray(from), whole).length;
    } catch (cause) {
      if (cause instanceof RangeError) throw cause;
    }
    if (unpacked > mostUnpacked) throw new RangeError("its streams decompress to too much data");
  }
}
