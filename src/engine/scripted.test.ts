import { expect, test } from "vitest";
import { EngineError } from "../base/errors.ts";
import type { SampleRequest } from "./engine.ts";
import { ScriptedSampler } from "./scripted.ts";

const bytesOf = (id: number) => Uint8Array.of(id);
const ids = (text: string) => [...new TextEncoder().encode(text)];
const request = (change: Partial<SampleRequest> = {}): SampleRequest => ({
  tokens: new Int32Array(3),
  maxTokens: 100,
  temperature: 1,
  topP: 1,
  topK: 0,
  stop: { tokens: [0], text: ["</a>"] },
  key: { seed: 1, step: 0, question: 0, sibling: 0, turn: 0 },
  ...change,
});
const sampler = new ScriptedSampler({ replies: [ids("one</a>more"), ids("two")], bytesOf });
const said = async (given: SampleRequest, by = sampler) => {
  const { tokens, ended } = await by.sample(given);
  return [String.fromCharCode(...tokens), ended];
};

test("a reply ends at a stop text, at a stop token or where tokens run out", async () => {
  const second = { ...request().key, turn: 1 };
  expect(await said(request())).toEqual(["one</a>", "stop"]);
  expect(await said(request({ maxTokens: 5 }))).toEqual(["one</", "length"]);
  expect(await said(request({ key: second }))).toEqual(["two\0", "stop"]);
  expect(await said(request({ key: second, maxTokens: 3 }))).toEqual(["two", "length"]);
  expect(await said(request({ stop: { tokens: [110], text: [] } }))).toEqual(["on", "stop"]);
});

test("an engine that looks late can be played", async () => {
  expect(await said(request(), new ScriptedSampler({ replies: [ids("one</a>more")], bytesOf, overshoot: 2 }))).toEqual([
    "one</a>mo",
    "stop",
  ]);
});

test("equal requests get equal samples; log-probabilities belong to places on the tape", async () => {
  const [first, again] = [await sampler.sample(request()), await sampler.sample(request())];
  expect(again).toEqual(first);
  expect(first.logprobs).toHaveLength(first.tokens.length);
  const later = await sampler.sample(request({ tokens: new Int32Array(4) }));
  expect([...later.logprobs.subarray(0, 3)]).toEqual([...first.logprobs.subarray(1, 4)]);
});

test("an abort and an empty script are errors", async () => {
  await expect(sampler.sample(request(), AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  const silent = new ScriptedSampler({ replies: [], bytesOf });
  await expect(silent.sample(request({ stop: { tokens: [], text: [] } }))).rejects.toThrow(EngineError);
});
