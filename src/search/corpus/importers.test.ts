import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { parquetWriteFile } from "hyparquet-writer";
import { afterAll, expect, test } from "vitest";
import type { Passage } from "../../protocol/passage.ts";
import { type ReadOptions, readCorpus } from "../corpus.ts";

const root = mkdtempSync(join(tmpdir(), "importers-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function write(name: string, content: string | Uint8Array): string {
  const file = join(root, name);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
  return file;
}

async function read(path: string, options: ReadOptions = {}): Promise<Passage[]> {
  const passages: Passage[] = [];
  for await (const passage of readCorpus(path, options)) passages.push(passage);
  return passages;
}

const lines = (...rows: unknown[]) => rows.map((row) => `${JSON.stringify(row)}\n`).join("");
const numbered = (count: number) => Array.from({ length: count }, (_, i) => `w${i}`);

test("a page of KILT is cut into passages of 100 words, without its title and marks of sections", async () => {
  const page = {
    _id: "290",
    wikipedia_id: "290",
    wikipedia_title: "Glacier",
    text: ["Glacier\n", `${numbered(150).join(" ")}\n`, "Section::::History.\n", "BULLET::::- Ada mapped it.\n"],
  };
  const passages = await read(write("kilt.jsonl", lines(page)));
  expect(passages.map(({ id, title }) => [id, title])).toEqual([
    ["290-0", "Glacier"],
    ["290-1", "Glacier"],
  ]);
  expect(passages[0]!.text).toBe(numbered(100).join(" "));
  expect(passages[1]!.text).toBe(`${numbered(150).slice(100).join(" ")} Ada mapped it.`);
});

test("HotpotQA's abstracts are read with their sentences joined", async () => {
  const row = { id: "12", url: "https://example.org", title: "Ada", text: ["Ada mapped it.", " Then she left."] };
  expect(await read(write("abstracts.jsonl", lines(row)))).toEqual([
    { id: "12", title: "Ada", text: "Ada mapped it. Then she left." },
  ]);
});

test("Parquet is read column by column, whatever its other columns and its row groups", async () => {
  const file = join(root, "corpus.parquet");
  const count = 2500;
  const rows = Array.from({ length: count }, (_, i) => i);
  parquetWriteFile({
    filename: file,
    rowGroupSize: 700,
    columnData: [
      { name: "id", data: rows.map((i) => BigInt(i)), type: "INT64" },
      { name: "url", data: rows.map((i) => `https://example.org/${i}`), type: "STRING" },
      { name: "title", data: rows.map((i) => (i === 7 ? null : `Title ${i}`)), type: "STRING", nullable: true },
      { name: "text", data: rows.map((i) => `text number ${i}`), type: "STRING" },
    ],
  });
  const meter = { read: 0, total: 0 };
  const passages = await read(file, { meter });
  expect(passages).toHaveLength(count);
  expect(passages[7]).toEqual({ id: "7", title: "", text: "text number 7" });
  expect(passages[2499]).toEqual({ id: "2499", title: "Title 2499", text: "text number 2499" });
  expect(meter.read).toBe(meter.total);
});

test("Parquet with Search-R1's contents is read, and one that is cut or lacks the columns is named", async () => {
  const contents = join(root, "contents.parquet");
  parquetWriteFile({
    filename: contents,
    columnData: [
      { name: "id", data: ["a"], type: "STRING" },
      { name: "contents", data: ['"Ada"\nmapped it'], type: "STRING" },
    ],
  });
  expect(await read(contents)).toEqual([{ id: "a", title: "Ada", text: "mapped it" }]);
  const other = join(root, "other.parquet");
  parquetWriteFile({ filename: other, columnData: [{ name: "body", data: ["x"], type: "STRING" }] });
  await expect(read(other)).rejects.toThrow(/other\.parquet has the columns body/);
  truncateSync(contents, 40);
  await expect(read(contents)).rejects.toThrow(/contents\.parquet cannot be read as Parquet/);
  const whole = readFileSync(other);
  for (let at = 0; at < whole.length; at += 7) {
    const broken = Uint8Array.from(whole);
    broken[at]! ^= 0x55;
    const outcome = await read(write("broken.parquet", broken)).catch((error: unknown) => error);
    expect(outcome, `byte ${at}`).toMatchObject(Array.isArray(outcome) ? {} : { name: "DataError" });
  }
});

test("a folder of documents is one corpus, by name, titles from headings", async () => {
  write("docs/b.txt", "Plain words.");
  write("docs/a.md", `---\ndraft: true\n---\n# The glacier #\n\n${numbered(120).join("\n")}`);
  write("docs/.hidden/x.txt", "hidden");
  write("docs/image.png", "no text");
  write("docs/empty.txt", "  \n");
  write(
    "docs/sub/page.html",
    "<html><head><title>Copper &amp; guilds</title><style>p{}</style></head><body><nav>Home</nav><h1>Guild</h1>" +
      "<p>It met <b>tw</b>ice<br>a year.<script>var secret = 1;</script><p>Z&uuml;rich</body></html>",
  );
  const passages = await read(join(root, "docs"));
  expect(passages.map(({ id, title }) => [id, title])).toEqual([
    ["a.md#1", "The glacier"],
    ["a.md#2", "The glacier"],
    ["b.txt#1", "b"],
    ["sub/page.html#1", "Copper & guilds"],
  ]);
  expect(passages[3]!.text).toBe("Guild It met twice a year. Zürich");
});

test("shards in a folder are one corpus, and a bad row is named by its own file and line", async () => {
  write("shards/0.jsonl.gz", gzipSync(lines({ id: "a", text: "x" }, { id: "b", text: "y" })));
  write("shards/1.tsv", "id\ttitle\ttext\nc\tT\tz\n");
  expect((await read(join(root, "shards"))).map(({ id }) => id)).toEqual(["a", "b", "c"]);
  write("shards/2.tsv", "id\ttitle\ttext\nd\tT\tz\nb\tT\tz\n");
  await expect(read(join(root, "shards"))).rejects.toThrow(/2\.tsv:3: id "b" occurs twice, first at .*0\.jsonl\.gz:2$/);
  write("nothing/readme.pdf", "x");
  await expect(read(join(root, "nothing"))).rejects.toThrow(/nothing holds no corpus/);
});

test("bad rows are passed over and told one by one where that is asked for", async () => {
  const file = write(
    "bad.jsonl",
    `{"id":"a","text":"x"}\n{oops\n{"id":"a","text":"y"}\n{"id":"b"}\n{"id":"c","text":"z"}\n`,
  );
  const bad: string[] = [];
  const passages = await read(file, { onBadRow: ({ message }) => bad.push(message) });
  expect(passages.map(({ id }) => id)).toEqual(["a", "c"]);
  expect(bad).toEqual([
    expect.stringMatching(/bad\.jsonl:2: not JSON/),
    expect.stringMatching(/bad\.jsonl:3: id "a" occurs twice/),
    expect.stringMatching(/bad\.jsonl:4: neither text nor contents/),
  ]);
});

test("a page of 20,000 nested elements is read, a binary file and a packed dump are named", async () => {
  const bomb = write("bomb/deep.html", `${"<div>".repeat(20_000)}word${"</div>".repeat(20_000)}`);
  expect((await read(dirname(bomb)))[0]!.text).toBe("word");
  write("binary/x.txt", Buffer.from([0xff, 0xfe, 0x00]));
  await expect(read(join(root, "binary"))).rejects.toThrow(/x\.txt: it cannot be read as UTF-8/);
  await expect(read(write("dump.bz2", "x"))).rejects.toMatchObject({ hint: expect.stringContaining("bunzip2") });
});

test("a line without end is refused before it fills the memory", async () => {
  const file = write("long.jsonl", Buffer.alloc(65 << 20, 0x20));
  await expect(read(file)).rejects.toThrow(/long\.jsonl:1: the line is longer than 64 MiB/);
});
