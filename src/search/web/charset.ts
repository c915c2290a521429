/** @file Decodes the bytes of a page to text. The declared charset is used only if the bytes agree with it. */

const declared = /<meta[^<>]{0,500}?charset\s*=\s*["']?\s*([\w.:-]{2,40})/i;

/** @param contentType the reply's content type, with its charset if it names one */
export function decodeText(bytes: Uint8Array, contentType: string): string {
  const head = new TextDecoder("latin1").decode(bytes.subarray(0, 1024));
  const said =
    byMark(bytes) ?? /charset\s*=\s*["']?([\w.:-]{2,40})/i.exec(contentType)?.[1] ?? declared.exec(head)?.[1];
  const named = decoderOf(said);
  if (named === undefined || named.encoding === "utf-8") return new TextDecoder("utf-8").decode(bytes);
  const isWide = named.encoding.startsWith("utf-16");
  const asUtf8 = validUtf8(bytes);
  // non-ASCII bytes that form valid UTF-8 are almost certainly UTF-8; UTF-16 of any page contains zero bytes
  const isLie =
    asUtf8 !== undefined && (isWide ? !bytes.includes(0) && byMark(bytes) === undefined : /[^\0-\x7f]/.test(asUtf8));
  return isLie ? asUtf8 : named.decode(bytes);
}

/** A byte order mark takes precedence. */
function byMark([a, b, c]: Uint8Array): string | undefined {
  if (a === 0xef && b === 0xbb && c === 0xbf) return "utf-8";
  if (a === 0xfe && b === 0xff) return "utf-16be";
  if (a === 0xff && b === 0xfe) return "utf-16le";
  return undefined;
}

function decoderOf(label: string | undefined): InstanceType<typeof TextDecoder> | undefined {
  try {
    return label === undefined ? undefined : new TextDecoder(label);
  } catch {
    return undefined; // an unknown charset name, for browsers too
  }
}

function validUtf8(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}
