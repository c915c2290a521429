import { expect, test } from "vitest";
import { randomOf } from "../../../base/random.ts";
import type { Tensor } from "../../../runtime/onnx.ts";
import type { SampleRequest } from "../../engine.ts";
import { packs, parseModelConfig } from "../../huggingface/model-config.ts";
import type { WrittenSample } from "./cached-sequence.ts";
import { Decoder } from "./decoder.ts";

async function makeDecoder(maxSequences: number): Promise<Decoder> {
  const config = parseModelConfig(
    {
      model_type: "llama",
      vocab_size: 40,
      hidden_size: 32,
      intermediate_size: 48,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 128,
    },
    "the test",
  );
  const weights = new Map<string, Tensor>();
  for (const { pack, shape } of packs(config)) {
    const random = randomOf("tiny", pack);
    const data = Float32Array.from(
      { length: shape.reduce((a, b) => a * b, 1) },
      () => 0.5 + 0.15 * random.normal() * shape.length,
    );
    weights.set(pack, { data, shape });
  }
  const bytesOf = (id: number) => Uint8Array.of(id);
  return Decoder.create({ config, weights, bytesOf, threads: 1, maxSequences, contextLength: 128 });
}

const request = (sibling: number, maxTokens: number): SampleRequest => ({
  tokens: Int32Array.of(3, 1, 4, 1, 5),
  maxTokens,
  temperature: 1,
  topP: 1,
  topK: 0,
  stop: { tokens: [], text: [] },
  key: { seed: 1, step: 0, question: 0, sibling, turn: 0 },
});

test("cancelled requests, live and waiting, end before the next token and leave their slots to others", async () => {
  const decoder = await makeDecoder(2);
  const results = new Map<SampleRequest, WrittenSample | Error>();
  const submit = (job: SampleRequest) => decoder.submit(job, (result) => results.set(job, result));
  const long = [0, 1, 2, 3].map((sibling) => request(sibling, 100));
  const short = request(4, 3);
  for (const job of [...long, short]) submit(job);
  for (let i = 0; i < 5; i++) await decoder.step();
  expect(results.size).toBe(0);
  expect(decoder.stats.decodedTokens).toBe(10);

  for (const job of long.slice(1)) decoder.cancel(job);
  await decoder.step();
  expect(long.slice(1).map((job) => String(results.get(job)))).toEqual(
    Array(3).fill("EngineError: the request was aborted"),
  );
  await decoder.step();
  await decoder.step();
  expect((results.get(short) as WrittenSample).tokens).toHaveLength(3);
  expect(results.has(long[0]!)).toBe(false);
  while (await decoder.step());
  expect((results.get(long[0]!) as WrittenSample).tokens).toHaveLength(100);

  const again = await makeDecoder(2);
  for (const job of [long[0]!, short]) {
    let alone: WrittenSample | Error | undefined;
    again.submit(job, (result) => {
      alone = result;
    });
    while (await again.step());
    expect(results.get(job)).toEqual(alone);
  }
});

test("cancelling what has ended already changes nothing", async () => {
  const decoder = await makeDecoder(2);
  const job = request(0, 2);
  const results: (WrittenSample | Error)[] = [];
  decoder.submit(job, (result) => results.push(result));
  while (await decoder.step());
  decoder.cancel(job);
  decoder.submit(request(1, 2), (result) => results.push(result));
  while (await decoder.step());
  expect(results.map((result) => result instanceof Error)).toEqual([false, false]);
});
