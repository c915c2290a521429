import fc from "fast-check";
import { expect, test } from "vitest";
import { byteTokenizer } from "./byte-tokenizer.ts";
import { documentBlock } from "./documents.ts";
import { parseTape, policyBytes, TranscriptParser } from "./parse.ts";
import { customProtocol, type Protocol, protocols, protocolTags, stopTexts } from "./protocol.ts";
import { TapeBuilder } from "./tape.ts";
import type { Part } from "./transcript.ts";

const protocol = protocols["r1-searcher"];
const encoder = new TextEncoder();

/** Parses policy text cut into the given tokens. */
function parse(tokens: readonly (string | Uint8Array)[], by: Protocol = protocol): readonly Part[] {
  const parser = new TranscriptParser(by);
  for (const [index, token] of tokens.entries())
    parser.policyToken(index, typeof token === "string" ? encoder.encode(token) : token);
  return parser.finish();
}
const bare = (parts: readonly Part[]) => parts.map(({ from: _from, to: _to, ...part }) => part);
const brief = (text: string) =>
  parse([text]).map(({ kind, text, closed, tag }) =>
    [kind, text, ...(closed ? ["closed"] : []), ...(tag ? ["tag"] : [])].join("|"),
  );

test("a well-formed reply reads as thought, query, thought, answer", () => {
  expect(brief(" hm<|begin_of_query|> Ada <|end_of_query|> so</think>\n\n<answer> London </answer>\n")).toEqual([
    "thought| hm",
    "query| Ada |closed",
    "thought| so|closed",
    "answer| London |closed",
  ]);
});

test.each([
  ["a<think>b</think><answer>c</answer>", ["thought|a", "stray|<think>|tag", "thought|b|closed", "answer|c|closed"]],
  ["</think></think><answer>c</answer>", ["thought||closed", "stray|</think>|tag", "answer|c|closed"]],
  ["a</think>b<answer>c</answer>d", ["thought|a|closed", "stray|b", "answer|c|closed", "stray|d"]],
  ["a<answer>c</answer>", ["thought|a", "answer|c|closed"]],
  ["a</think><answer>c", ["thought|a|closed", "answer|c"]],
  ["a</answer>b", ["thought|a", "stray|</answer>|tag", "thought|b"]],
  ["a<|begin_of_query|>b</think><answer>c</answer>", ["thought|a", "query|b", "thought||closed", "answer|c|closed"]],
  ["<|begin_of_query|>b<|begin_of_query|>c<|end_of_query|>", ["query|b", "query|c|closed"]],
  ["</think><answer>a<answer>b</answer>", ["thought||closed", "answer|a", "answer|b|closed"]],
  ["</think><|begin_of_query|>b<|end_of_query|>", ["thought||closed", "query|b|closed"]],
  [
    "</think><answer>b</answer><answer>c</answer>",
    ["thought||closed", "answer|b|closed", "stray|<answer>|tag", "stray|c", "stray|</answer>|tag"],
  ],
  [
    "<|begin_of_documents|>x<|end_of_documents|>",
    ["stray|<|begin_of_documents|>|tag", "thought|x", "stray|<|end_of_documents|>|tag"],
  ],
  ["a <answ", ["thought|a <answ"]],
  ["<<answer>x", ["thought|<", "answer|x"]],
  ["", []],
  [" \n", []],
])("%j reads as what it is", (text, parts) => {
  expect(brief(text)).toEqual(parts);
});

test("a closing tag is seen when its last piece carries further characters", () => {
  const parser = new TranscriptParser(protocol);
  const tokens = ["x", "<|begin", "_of_query|>", " a", "<|end_of_query", "|>\n\n"];
  const events = tokens.map((token, index) => parser.policyToken(10 + index, encoder.encode(token)));
  expect(events.slice(0, 5)).toEqual([undefined, undefined, undefined, undefined, undefined]);
  expect(events[5]).toEqual({ kind: "query", text: " a", part: 1 });
  expect(parser.finish().map(({ kind, from, to }) => [kind, from, to])).toEqual([
    ["thought", 10, 11],
    ["query", 11, 16],
  ]);
});

const shard = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...protocolTags(protocol), ...protocolTags(protocols["search-r1"])) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "<",
      "</",
      "<|",
      "<answer",
      "|>",
      ">\n\n",
      " ",
      "\n",
      "é",
      "漢字",
      "😀",
      "<\u200bthink>",
    ),
  },
  { weight: 2, arbitrary: fc.string({ unit: "binary", maxLength: 5 }) },
);
const policyText = fc.array(shard, { maxLength: 14 }).map((shards) => shards.join("").toWellFormed());

/** Cuts bytes at the given places, in mid-letter too. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const at = [...new Set([0, ...places.map((place) => place % (bytes.length + 1)), bytes.length])].sort(
    (a, b) => a - b,
  );
  return at.slice(1).map((end, i) => bytes.slice(at[i], end));
}

test.each(Object.values(protocols))("the same text reads the same however it is cut into tokens ($name)", (by) => {
  fc.assert(
    fc.property(policyText, fc.array(fc.nat(200), { maxLength: 40 }), (text, places) => {
      const whole = bare(parse([text], by));
      const bytes = encoder.encode(text);
      expect(bare(parse(cut(bytes, places), by))).toEqual(whole);
      expect(
        bare(
          parse(
            [...bytes].map((byte) => Uint8Array.of(byte)),
            by,
          ),
        ),
      ).toEqual(whole);
    }),
    { numRuns: 1000 },
  );
});

test("parts lose no text: with their tags they say what the policy said, blanks aside", () => {
  const { think, query, answer } = protocol;
  const spell = ({ kind, text, closed }: Part) => {
    if (kind === "thought") return text + (closed ? think.close : "");
    if (kind === "stray") return text;
    const tags = kind === "query" ? query : answer;
    return tags.open + text + (closed ? tags.close : "");
  };
  fc.assert(
    fc.property(policyText, (text) => {
      const blanksOut = (some: string) => some.replace(/\s+/g, "");
      expect(blanksOut(parse([text]).map(spell).join(""))).toBe(blanksOut(text));
    }),
    { numRuns: 1000 },
  );
});

test("token ranges of parts are in order and leave out blank tokens at most", () => {
  fc.assert(
    fc.property(policyText, fc.array(fc.nat(200), { maxLength: 40 }), (text, places) => {
      const parts = parse(cut(encoder.encode(text), places));
      let covered = 0;
      for (const { from, to } of parts) {
        expect(from === covered || from === covered - 1).toBe(true);
        expect(to).toBeGreaterThan(from);
        covered = to;
      }
    }),
    { numRuns: 500 },
  );
});

test("reading a whole tape equals reading it while it grew", () => {
  const tokenizer = byteTokenizer([...protocolTags(protocol), "<|endoftext|>"], { eos: "<|endoftext|>" });
  const bytesOf = policyBytes(tokenizer);
  const turns = fc.array(fc.tuple(policyText, fc.string({ maxLength: 20 }), fc.boolean()), { maxLength: 4 });
  fc.assert(
    fc.property(turns, (all) => {
      const tape = new TapeBuilder();
      const parser = new TranscriptParser(protocol);
      tape.append("prompt", tokenizer.encodeTemplate("Q<think>"));
      for (const [said, found, special] of all) {
        const ids = special ? tokenizer.encodeTemplate(`${said}<|endoftext|>`) : tokenizer.encodeText(said);
        for (const [i, id] of ids.entries()) parser.policyToken(tape.length + i, bytesOf(id));
        tape.append("policy", ids);
        const block = documentBlock(protocol, [{ id: "1", title: "", text: found }], { titles: false, maxWords: 0 });
        const documents = tokenizer.encodeTemplate(block.map(({ text }) => text).join(""));
        parser.environmentRun("search", tape.length, tape.length + documents.length, tokenizer.decode(documents));
        tape.append("search", documents);
      }
      const streamed = parser.finish();
      expect(parseTape(protocol, tape.tape(), bytesOf)).toEqual(streamed);
      expect(streamed.filter(({ kind }) => kind === "documents")).toHaveLength(all.length);
      expect(streamed.filter(({ author }) => author === "search").every(({ kind }) => kind === "documents")).toBe(true);
    }),
    { numRuns: 300 },
  );
});

test("a tag is not made of pieces on two sides of documents", () => {
  const parser = new TranscriptParser(protocol);
  parser.policyToken(0, encoder.encode("a</thi"));
  parser.environmentRun("search", 1, 3, "documents");
  parser.policyToken(3, encoder.encode("nk>b"));
  expect(parser.finish().map(({ kind, text }) => [kind, text])).toEqual([
    ["thought", "a</thi"],
    ["documents", "documents"],
    ["thought", "nk>b"],
  ]);
});

test("a megabyte of beginnings of tags is read in linear time", () => {
  const started = performance.now();
  const parts = parse(["<|begin_of_quer".repeat(70_000)]);
  expect(parts).toHaveLength(1);
  expect(performance.now() - started).toBeLessThan(5000);
});

const tools = customProtocol({
  name: "tools",
  actions: [
    { kind: "add", open: "<add>", close: "</add>" },
    { kind: "list", open: "<list>", close: "</list>" },
  ],
});

test("an action reads as its kind, is closed by its own tag alone, and is told when it closes", () => {
  const parser = new TranscriptParser(tools);
  const events = ["a<add>1</list>", "b<add>2</add>", "<list>"].map((text, i) =>
    parser.policyToken(i, encoder.encode(text)),
  );
  expect(events).toEqual([undefined, { kind: "action", action: "add", text: "2", part: 4 }, undefined]);
  parser.environmentRun("tool", 3, 4, "3");
  expect(bare(parser.finish())).toEqual([
    { kind: "thought", author: "policy", text: "a" },
    { kind: "action", action: "add", author: "policy", text: "1" },
    { kind: "stray", author: "policy", text: "</list>", tag: true },
    { kind: "thought", author: "policy", text: "b" },
    { kind: "action", action: "add", author: "policy", text: "2", closed: true },
    { kind: "action", action: "list", author: "policy", text: "" },
    { kind: "observation", author: "tool", text: "3" },
  ]);
});

test("a turn ends at every action that the protocol has", () => {
  expect(stopTexts(tools)).toEqual(["<|end_of_query|>", "</answer>", "</add>", "</list>"]);
  expect(stopTexts(protocol)).toEqual(["<|end_of_query|>", "</answer>"]);
});

test.each([
  [[{ kind: "add", open: "<answer>", close: "</add>" }], 'has the tag "<answer>"'],
  [[{ kind: "add", open: "<add", close: "<add>" }], 'with which "<add>" begins'],
  [[{ kind: "add", open: "", close: "</add>" }], 'has the tag ""'],
  [[{ kind: "answer", open: "<add>", close: "</add>" }], 'two actions of kind "answer"'],
])("tags that cannot be told apart are refused (%#)", (actions, message) => {
  expect(() => customProtocol({ name: "tools", actions })).toThrow(message);
});
