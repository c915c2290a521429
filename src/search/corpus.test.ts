import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import type { Passage } from "../protocol/passage.ts";
import { readCorpus } from "./corpus.ts";

const folder = mkdtempSync(join(tmpdir(), "corpus-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function read(name: string, content: string | Uint8Array): Promise<Passage[]> {
  const file = join(folder, name);
  writeFileSync(file, content);
  const passages: Passage[] = [];
  for await (const passage of readCorpus(file)) passages.push(passage);
  return passages;
}

const ada = { id: "a", title: "Ada", text: "mapped the glacier" };
const bo = { id: "b", title: "Bo", text: "sold copper" };

test("a TSV with a header may name its columns in any order", async () => {
  expect(await read("a.tsv", "id\ttitle\ttext\na\tAda\tmapped the glacier\n\nb\tBo\tsold copper")).toEqual([ada, bo]);
  expect(await read("b.tsv", '\uFEFFid\ttext\ttitle\r\na\t"mapped the ""glacier"""\tAda\r\n')).toEqual([
    { ...ada, text: 'mapped the "glacier"' },
  ]);
});

test("R1-Searcher's two line shapes are read", async () => {
  expect(await read("c.tsv", "a\tTitle: Ada Text:  mapped the glacier\nb\tBo   sold copper\n")).toEqual([ada, bo]);
});

test("JSONL with id, title and text or with Search-R1's contents is read, gzipped too", async () => {
  const rows = `${JSON.stringify(ada)}\n{"id":"b","contents":"\\"Bo\\"\\nsold copper"}\n`;
  expect(await read("d.jsonl", rows)).toEqual([ada, bo]);
  expect(await read("d.jsonl.gz", gzipSync(rows))).toEqual([ada, bo]);
  expect(await read("e.jsonl", '{"title":"Ada","text":"x"}\n{"id":7,"text":"y"}')).toEqual([
    { id: "0", title: "Ada", text: "x" },
    { id: "7", title: "", text: "y" },
  ]);
});

test("a JSON array of passages and an object from title to sentences are read", async () => {
  expect(await read("f.json", JSON.stringify([{ title: "Ada", text: "x" }, bo]))).toEqual([
    { id: "0", title: "Ada", text: "x" },
    bo,
  ]);
  expect(await read("g.json", JSON.stringify({ Ada: ["One.", " Two.", "Three."], Bo: "sold copper" }))).toEqual([
    { id: "Ada", title: "Ada", text: "One. Two. Three." },
    { id: "Bo", title: "Bo", text: "sold copper" },
  ]);
});

test("a bad row is named by file and line, with what was expected", async () => {
  const cases: [string, string, RegExp][] = [
    ["h.tsv", "id\ttitle\ttext\na\tAda\tx\nb\tBo\n", /h\.tsv:3: 2 columns where the header names 3/],
    ["i.tsv", "a\tBo   x\nno tab here\n", /i\.tsv:2: no tab in the line/],
    ["j.tsv", "a\tone space only\n", /j\.tsv:1: no title apart from the text/],
    ["k.jsonl", `${JSON.stringify(ada)}\n\n{"id":`, /k\.jsonl:3: not JSON/],
    ["l.jsonl", '{"id":"a","body":"x"}', /l\.jsonl:1: neither text nor contents/],
    ["m.jsonl", '{"id":"a","text":5}', /m\.jsonl:1: its text is not a string/],
    ["n.jsonl", "[]", /n\.jsonl:1: not an object/],
    ["o.jsonl", '{"id":"a","title":" ","text":""}', /o\.jsonl:1: title and text are both empty/],
    ["p.json", '[{"title":"x","text":"y"},{"title":"z"}]', /p\.json: item 2: neither text nor contents/],
    ["q.json", '{"Ada":[1]}', /q\.json: item 1: "Ada" has neither text nor sentences/],
    ["r.json", "3", /r\.json is a number/],
    ["s.json", "[", /s\.json cannot be read as JSON/],
    ["t.csv", "id,title,text", /t\.csv is not a known corpus format/],
    ["u.jsonl.gz", "not gzip", /u\.jsonl\.gz cannot be read/],
  ];
  for (const [name, content, message] of cases) {
    const reading = read(name, content);
    await expect(reading, name).rejects.toMatchObject({
      name: "DataError",
      message: expect.stringMatching(message),
      hint: expect.anything(),
    });
  }
});

test("an id that occurs twice is named with both lines", async () => {
  const rows = (ids: readonly string[]) => ids.map((id) => JSON.stringify({ ...ada, id })).join("\n");
  await expect(read("v.jsonl", rows(["x", "y", "x"]))).rejects.toThrow(
    /v\.jsonl:3: id "x" occurs twice, first at .*v\.jsonl:1/,
  );
  await expect(read("w.jsonl", rows(["0", "1", "2", "x", "1"]))).rejects.toThrow(
    /w\.jsonl:5: id "1" occurs twice, first at .*w\.jsonl:2/,
  );
  await expect(read("x.jsonl", rows(["5", "7", "6", "7"]))).rejects.toThrow(
    /x\.jsonl:4: id "7" occurs twice, first at .*x\.jsonl:2/,
  );
});

test("duplicates are found wherever ids count up or not", async () => {
  const id = fc.oneof(fc.integer({ min: 0, max: 12 }).map(String), fc.constantFrom("a", "01", "x"));
  await fc.assert(
    fc.asyncProperty(fc.array(id, { maxLength: 10 }), async (ids) => {
      const outcome = await read("y.jsonl", ids.map((id) => `${JSON.stringify({ id, text: "t" })}\n`).join("")).catch(
        (error: Error) => error.message,
      );
      const second = ids.findIndex((id, i) => ids.indexOf(id) < i);
      if (second < 0) expect(outcome).toHaveLength(ids.length);
      else
        expect(outcome).toContain(
          `y.jsonl:${second + 1}: id "${ids[second]}" occurs twice, first at ${join(folder, "y.jsonl")}:${ids.indexOf(ids[second]!) + 1}`,
        );
    }),
  );
});

test("line separators other than newlines stay inside a passage", async () => {
  const text = "one\u2028two\u0085three\rfour";
  expect(await read("z.tsv", `id\ttitle\ttext\na\tAda\t${text}\n`)).toEqual([{ ...ada, text }]);
  expect(await read("z.jsonl", `{"id":"a","title":"Ada","text":"one\u2028two"}\n`)).toEqual([
    { ...ada, text: "one\u2028two" },
  ]);
});

test("a file that is missing is a DataError that names it", async () => {
  await expect(readCorpus(join(folder, "missing.jsonl")).next()).rejects.toMatchObject({
    name: "DataError",
    message: expect.stringContaining("missing.jsonl"),
  });
  await expect(readCorpus(join(folder, "missing.json")).next()).rejects.toMatchObject({
    name: "DataError",
    message: expect.stringContaining("missing.json"),
  });
});

const data = "../shared/data";
const isMissing = !existsSync(data);
if (isMissing) process.stderr.write(`SKIPPED: real corpora are not at ${data}\n`);

async function passagesOf(file: string): Promise<Passage[]> {
  const passages: Passage[] = [];
  for await (const passage of readCorpus(`${data}/${file}`)) passages.push(passage);
  return passages;
}

test.skipIf(isMissing)("every real corpus file is read whole", async () => {
  const sizes = {
    "passages/wikipedia-sample.tsv": 14_372,
    "multihop/2wikimultihopqa_corpus.json": 6119,
    "multihop/hotpotqa_train_corpus.json": 994,
    "multihop/musique_train_corpus.json": (
      JSON.parse(readFileSync(`${data}/multihop/musique_train_corpus.json`, "utf8")) as unknown[]
    ).length,
  };
  for (const [file, size] of Object.entries(sizes)) {
    const passages = await passagesOf(file);
    expect(passages.length, file).toBe(size);
    expect(
      passages.every(({ title, text }) => title !== "" && text !== ""),
      file,
    ).toBe(true);
  }
});
