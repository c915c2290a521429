/**
 * @file A model hub on the loopback, in a process of its own: the two requests that a load needs, and faults on demand.
 * Large files are redirected to a second origin, as a hub does with its storage.
 *   hub-server.ts FOLDER…      each folder is the model test/NAME-OF-FOLDER
 * Prints its address. POST /_faults sets what goes wrong; GET /_log says what was asked.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, join } from "node:path";

export interface Faults {
  /** Token that every request to the hub itself must carry. */
  readonly token?: string;
  /** The connection breaks after so many bytes of this file, the first `times` times. */
  readonly cut?: { readonly file: string; readonly bytes: number; times: number };
  /** This file comes with its first byte changed, so many times. */
  readonly corrupt?: { readonly file: string; times: number };
  /** These statuses, one after another, for files of that name ("api" for the description). */
  readonly refuse?: { readonly file: string; readonly statuses: number[] };
  /** Ranges are not heard. */
  readonly noRanges?: boolean;
  /** Milliseconds between pieces of 4 kB. */
  readonly slowMs?: number;
  /** What the branch "main" points to. */
  readonly commit?: string;
}

export interface LogLine {
  readonly host: "hub" | "storage";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

const LARGE = /\.safetensors$|tokenizer\.json$/;
const models = new Map(process.argv.slice(2).map((folder) => [`test/${basename(folder)}`, folder]));
const log: LogLine[] = [];
let faults: Faults = {};
const firstCommit = "1".repeat(40);

function describe(repo: string, folder: string): object {
  const siblings = readdirSync(folder)
    .filter((name) => statSync(join(folder, name)).isFile())
    .map((name) => {
      const content = readFileSync(join(folder, name));
      const sha256 = createHash("sha256").update(content).digest("hex");
      const blobId = createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
      const lfs = LARGE.test(name) ? { lfs: { sha256, size: content.length, pointerSize: 130 } } : {};
      return { rfilename: name, size: content.length, blobId, ...lfs };
    });
  return { id: repo, sha: faults.commit ?? firstCommit, cardData: { license: "apache-2.0" }, siblings };
}

function refusedWith(name: string, response: ServerResponse): boolean {
  const status = faults.refuse?.file === name ? faults.refuse.statuses.shift() : undefined;
  if (status === undefined) return false;
  response.writeHead(status, status === 429 ? { "retry-after": "0.2" } : {}).end(`status ${status} it is`);
  return true;
}

async function sendFile(file: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const name = basename(file);
  let content = readFileSync(file);
  if (faults.corrupt?.file === name && faults.corrupt.times-- > 0) {
    content = Buffer.from(content);
    content[0]! ^= 1;
  }
  const asked = faults.noRanges ? undefined : /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
  const start = Number(asked ?? 0);
  if (start >= content.length && asked !== undefined) {
    response.writeHead(416).end();
    return;
  }
  const headers = { "content-length": content.length - start };
  const ranged = { ...headers, "content-range": `bytes ${start}-${content.length - 1}/${content.length}` };
  response.writeHead(asked === undefined ? 200 : 206, asked === undefined ? headers : ranged);
  const isCut = faults.cut?.file === name && faults.cut.times-- > 0;
  const end = isCut ? Math.min(content.length, start + faults.cut!.bytes) : content.length;
  for (let at = start; at < end && !response.destroyed; at += 4096) {
    await new Promise((resolve) => response.write(content.subarray(at, Math.min(end, at + 4096)), resolve));
    if (faults.slowMs) await new Promise((resolve) => setTimeout(resolve, faults.slowMs));
  }
  if (isCut)
    setTimeout(() => response.destroy(), 300); // by then the other side has most of it
  else response.end();
}

const noted = (host: LogLine["host"], { url = "", headers }: IncomingMessage) => {
  if (!url.startsWith("/_")) log.push({ host, path: url, range: headers.range, authorization: headers.authorization });
};

const storage = createServer((request, response) => {
  noted("storage", request);
  const [, repo, name] = /^\/store\/(test\/[^/]+)\/([^/?]+)\?signature=secret$/.exec(request.url ?? "") ?? [];
  const folder = models.get(repo ?? "");
  if (!folder || !name) response.writeHead(403).end("no signature");
  else void sendFile(join(folder, name), request, response);
}).listen(0, "127.0.0.1");

const hub = createServer((request, response) => {
  noted("hub", request);
  const url = request.url ?? "";
  if (url === "/_log") return void response.end(JSON.stringify(log.splice(0)));
  if (url === "/_faults") {
    let text = "";
    request.on("data", (chunk) => (text += chunk));
    request.on("end", () => {
      faults = JSON.parse(text) as Faults;
      response.end();
    });
    return;
  }
  if (faults.token !== undefined && request.headers.authorization !== `Bearer ${faults.token}`)
    return void response.writeHead(401).end("Invalid username or password.");
  const [, described] = /^\/api\/models\/(test\/[^/]+)\/revision\/[^/]+\?blobs=true$/.exec(url) ?? [];
  const [, repo, name = ""] = /^\/(test\/[^/]+)\/resolve\/[0-9a-f]{40}\/([^/]+)$/.exec(url) ?? [];
  const folder = models.get(described ?? repo ?? "");
  if (!folder) return void response.writeHead(404).end("Repository not found");
  if (refusedWith(described ? "api" : name, response)) return;
  if (described) return void response.end(JSON.stringify(describe(described, folder)));
  if (!LARGE.test(name)) return void sendFile(join(folder, name), request, response);
  const { port } = storage.address() as AddressInfo;
  response.writeHead(302, { location: `http://127.0.0.1:${port}/store/${repo}/${name}?signature=secret` }).end();
}).listen(0, "127.0.0.1", () => process.stdout.write(`http://127.0.0.1:${(hub.address() as AddressInfo).port}\n`));
