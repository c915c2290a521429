/** @file Hostile replies for tests: too deep, too large, too slow, too many, or not what they claim to be. */
import type { RequestListener, ServerResponse } from "node:http";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

export interface Attack {
  readonly name: string;
  readonly reply: RequestListener;
  /** "ok", or the acceptable reasons for refusing it. */
  readonly outcomes: readonly string[];
  /** Words that must be found if it is read nevertheless. */
  readonly says?: string;
}

const words = "<p>The harbour of Tervane was mapped in winter by Ada Quill.</p>";
const html = (body: string | Buffer, headers: Record<string, string> = {}): RequestListener => {
  const bytes = typeof body === "string" ? Buffer.from(body) : body;
  return (_, response) => void response.writeHead(200, { "content-type": "text/html", ...headers }).end(bytes);
};
const as = (type: string, body: string | Buffer) => html(body, { "content-type": type });
const packed = (encoding: string, body: Buffer) => html(body, { "content-encoding": encoding });
const every = (response: ServerResponse, milliseconds: number, work: () => void) => {
  const timer = setInterval(work, milliseconds);
  response.on("close", () => clearInterval(timer));
};

/** Deeply nested or very long HTML, served normally. */
const pages: Readonly<Record<string, string>> = {
  "20,000 nested elements": `${"<div>".repeat(20_000)}${words}${"</div>".repeat(20_000)}`,
  "300,000 nested elements, none closed": `${words}${"<div>".repeat(300_000)}`,
  "80,000 formats left open": `${words}${"<b><i>".repeat(80_000)}`,
  "tables in tables": `${words}${"<table><tr><td>".repeat(30_000)}`,
  "150,000 siblings": words + "<p>x".repeat(150_000),
  "100,000 attributes": `${words}<p ${Array.from({ length: 100_000 }, (_, i) => `a${i}=1`).join(" ")}>x</p>`,
  "one word of 1.9 MB": `${words}<p>${"x".repeat(1_900_000)}</p>`,
  "a comment that never ends": `${words}<!--${"<!--".repeat(200_000)}`,
  "tags that never end": words + "<a ".repeat(300_000),
  "300,000 ends of nothing": words + "</p>".repeat(300_000),
  "ends that look for a start": `${words}${"<b>".repeat(400)}${"</i>".repeat(300_000)}`,
  "300,000 entities": `${words}<p>${"&amp;".repeat(300_000)}</p>`,
  "a script that never ends": `${words}<script>${"if(1<2)".repeat(200_000)}`,
  "a title of 1 MB": `<title>${"long ".repeat(200_000)}</title>${words}`,
  "forms and lists in turn": `${words}${"<ul><li><form>".repeat(20_000)}`,
  "svg in html in svg": `${words}${"<svg><foreignObject><div>".repeat(10_000)}`,
};

const wire: readonly Attack[] = [
  { name: "gzip of 40 MB", reply: packed("gzip", gzipSync(Buffer.alloc(4e7))), outcomes: ["size"] },
  { name: "brotli of 40 MB", reply: packed("br", brotliCompressSync(Buffer.alloc(4e7, 32))), outcomes: ["size"] },
  { name: "deflate of 40 MB", reply: packed("deflate", deflateSync(Buffer.alloc(4e7))), outcomes: ["size"] },
  { name: "packed twice", reply: packed("gzip, gzip", gzipSync(gzipSync(words))), outcomes: ["encoding"] },
  { name: "an unknown packing", reply: packed("zstd", Buffer.from(words)), outcomes: ["encoding"] },
  { name: "gzip cut short", reply: packed("gzip", gzipSync(words.repeat(99)).subarray(0, 40)), outcomes: ["encoding"] },
  { name: "gzip that is none", reply: packed("gzip", Buffer.from(words)), outcomes: ["encoding"] },
  { name: "3 MB", reply: html(words.repeat(50_000)), outcomes: ["size"] },
  {
    name: "a body without end",
    reply: (_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      every(response, 1, () => response.write(words.repeat(500)));
    },
    outcomes: ["size", "time"],
  },
  {
    name: "a byte at a time",
    reply: (_, response) => {
      response.writeHead(200, { "content-type": "text/html" });
      every(response, 20, () => response.write("<"));
    },
    outcomes: ["time"],
  },
  {
    name: "headers a byte at a time",
    reply: ({ socket }, response) => {
      socket.write("HTTP/1.1 200 OK\r\nx: ");
      every(response, 20, () => socket.write("y"));
    },
    outcomes: ["time"],
  },
  {
    name: "headers without end",
    reply: ({ socket }, response) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      socket.on("error", () => {});
      every(response, 1, () => socket.write(`x-${"y".repeat(500)}: z\r\n`));
    },
    outcomes: ["size", "unreachable", "time"],
  },
  { name: "no answer", reply: () => {}, outcomes: ["time"] },
  { name: "a connection cut at once", reply: ({ socket }) => void socket.destroy(), outcomes: ["unreachable"] },
  {
    name: "less than its length says",
    reply: ({ socket }) =>
      void socket.end(`HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 900\r\n\r\n${words}`),
    outcomes: ["unreachable"],
  },
  {
    name: "no HTTP at all",
    reply: ({ socket }) => void socket.end("SSH-2.0-OpenSSH_9\r\n"),
    outcomes: ["unreachable"],
  },
  {
    name: "itself again",
    reply: (_, response) => void response.writeHead(301, { location: "?" }).end(),
    outcomes: ["redirects"],
  },
  { name: "an error", reply: (_, response) => void response.writeHead(500).end(words), outcomes: ["status"] },
];

const lies: readonly Attack[] = [
  {
    name: "UTF-16 that is ASCII",
    reply: as("text/html; charset=utf-16le", words),
    outcomes: ["ok"],
    says: "Ada Quill",
  },
  {
    name: "windows-1251 that is UTF-8",
    reply: as("text/html; charset=windows-1251", `${words}<p>Zoë Ōkami</p>`),
    outcomes: ["ok"],
    says: "Zoë Ōkami",
  },
  {
    name: "a charset that nobody knows",
    reply: as("text/html; charset=x-evil", words),
    outcomes: ["ok"],
    says: "Ada Quill",
  },
  {
    name: "two charsets",
    reply: as("text/html; charset=utf-8", `<meta charset=utf-16be>${words}<p>Zoë</p>`),
    outcomes: ["ok"],
    says: "Zoë",
  },
  {
    name: "halves of characters",
    reply: html(Buffer.concat([Buffer.from(words), Buffer.from([0xf0, 0x9f, 0x98])])),
    outcomes: ["ok"],
    says: "Ada Quill",
  },
  {
    name: "noise",
    reply: html(Buffer.from(Uint8Array.from({ length: 50_000 }, (_, i) => (i * i * 31 + i) % 256))),
    outcomes: ["unreadable"],
  },
  { name: "a PDF said to be HTML", reply: html("%PDF-1.7 x"), outcomes: ["unreadable"] },
  { name: "HTML said to be a PDF", reply: as("application/pdf", words), outcomes: ["unreadable"] },
  {
    name: "a PDF that is none",
    reply: as("application/pdf", `%PDF-1.7\n${"x".repeat(9999)}`),
    outcomes: ["unreadable", "time"],
  },
  { name: "a PDF with a bomb inside", reply: as("application/pdf", pdfBomb()), outcomes: ["unreadable", "memory"] },
  { name: "a picture", reply: as("image/png", "x"), outcomes: ["type"] },
  { name: "an empty page", reply: html(""), outcomes: ["unreadable"] },
];

function pdfBomb(): Buffer {
  const stream = deflateSync(Buffer.alloc(1e8, 32));
  const head = `%PDF-1.4\n1 0 obj\n<< /Length ${stream.length} /Filter /FlateDecode >>\nstream\n`;
  return Buffer.concat([Buffer.from(head), stream, Buffer.from("\nendstream\nendobj\n%%EOF")]);
}

/** A page may be read, or refused for one of these reasons. */
const bounded = ["ok", "time", "memory", "size"];

export const attacks: readonly Attack[] = [
  ...Object.entries(pages).map(([name, page]) => ({ name, reply: html(page), outcomes: bounded })),
  ...wire,
  ...lies,
];
