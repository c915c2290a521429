import { expect, test } from "vitest";
import { type Random, randomOf } from "../../../base/random.ts";
import type { Tensor } from "../../../runtime/onnx.ts";
import type { SampleRequest } from "../../engine.ts";
import { type ModelConfig, packs, parseModelConfig } from "../../huggingface/model-config.ts";
import { LearnerCore } from "../learner-core.ts";
import type { WrittenSample } from "./cached-sequence.ts";
import { Decoder } from "./decoder.ts";

interface Tiny {
  readonly heads: readonly [number, number];
  readonly tied?: boolean;
  /** Over a Llama's config.json. */
  readonly changes?: object;
}

const llama3 = {
  rope_type: "llama3",
  factor: 4,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 64,
};
const models: Record<string, Tiny> = {
  "one key head per query head": { heads: [4, 4], tied: true },
  "grouped queries": { heads: [4, 2] },
  "heads of 24, stretched positions": { heads: [4, 2], changes: { head_dim: 24, rope_scaling: llama3 } },
  "Qwen2, biased projections": { heads: [4, 2], tied: true, changes: { model_type: "qwen2" } },
  "Qwen3, normalised heads of their own size": { heads: [4, 2], changes: { model_type: "qwen3", head_dim: 32 } },
};

function tinyModel({ heads: [heads, kvHeads], tied = false, changes }: Tiny) {
  const config = parseModelConfig(
    {
      model_type: "llama",
      vocab_size: 97,
      hidden_size: 64,
      intermediate_size: 80,
      num_hidden_layers: 2,
      num_attention_heads: heads,
      num_key_value_heads: kvHeads,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: tied,
      ...changes,
    },
    "the test",
  );
  const random = randomOf("tiny", heads, kvHeads);
  const weights = new Map<string, Tensor>();
  for (const { pack, shape, members } of packs(config)) {
    const length = shape.reduce((a, b) => a * b, 1);
    const mean = members[0]!.role === "norm" ? 1 : 0;
    weights.set(pack, {
      data: Float32Array.from({ length }, () => mean + 0.15 * random.normal()),
      shape,
    });
  }
  return { config, weights };
}

function makeDecoder(model: { config: ModelConfig; weights: Map<string, Tensor> }, maxSequences: number) {
  const bytesOf = (id: number) => Uint8Array.of(id);
  return Decoder.create({ ...model, bytesOf, threads: 1, maxSequences, contextLength: 96, prefillChunk: 8 });
}

/** Two of three questions are asked with these before them: two and a half prefill chunks. */
const instructions = Int32Array.from({ length: 20 }, (_, i) => (7 * i) % 97);

function request(random: Random, question: number, sibling: number, extra: Partial<SampleRequest> = {}): SampleRequest {
  const prompt = randomOf("prompt", question);
  return {
    tokens: Int32Array.of(
      ...instructions.subarray(0, question % 3 === 0 ? 0 : instructions.length),
      ...Array.from({ length: 3 + prompt.int(20) }, () => prompt.int(97)),
    ),
    maxTokens: 1 + random.int(12),
    temperature: 1,
    topP: 1,
    topK: 0,
    stop: { tokens: [5], text: [] },
    key: { seed: 1, step: 0, question, sibling, turn: 0 },
    ...extra,
  };
}

/** Two turns of one attempt: sample, let the world add tokens, sample again. */
async function attempt(
  sample: (r: SampleRequest) => Promise<WrittenSample>,
  first: SampleRequest,
): Promise<WrittenSample[]> {
  const one = await sample(first);
  const added = randomOf("world", first.key.question, first.key.sibling);
  const tokens = Int32Array.of(
    ...first.tokens,
    ...one.tokens,
    ...Array.from({ length: added.int(9) }, () => added.int(97)),
  );
  const two = await sample({ ...first, tokens, key: { ...first.key, turn: 1 } });
  return [one, two];
}

async function runAll(decoder: Decoder, jobs: readonly SampleRequest[], order: Random) {
  const sample = (r: SampleRequest) =>
    new Promise<WrittenSample>((resolve, reject) =>
      decoder.submit(r, (result) => (result instanceof Error ? reject(result) : resolve(result))),
    );
  const results = new Map<SampleRequest, WrittenSample[]>();
  const queue = order.shuffle(jobs);
  let running = 0;
  let failure: unknown;
  while (failure === undefined && (queue.length > 0 || running > 0)) {
    for (let joining = order.int(4); joining > 0 && queue.length > 0; joining--) {
      const job = queue.pop()!;
      running++;
      void attempt(sample, job).then(
        (result) => {
          results.set(job, result);
          decoder.finished(job.key);
          running--;
        },
        (cause) => {
          failure ??= cause;
        },
      );
    }
    await decoder.step();
  }
  if (failure !== undefined) throw failure;
  return jobs.map((job) => results.get(job)!);
}

test.each(Object.entries(models))("%s: equal bits in any batch and any order", async (_, tiny) => {
  const model = tinyModel(tiny);
  const random = randomOf("jobs");
  const jobs = Array.from({ length: 64 }, (_, i) => request(random, i >> 2, i & 3));
  const decoder = await makeDecoder(model, 2);
  const alone: WrittenSample[][] = [];
  for (const job of jobs) alone.push(...(await runAll(decoder, [job], randomOf("order", 0))));
  for (const [round, size] of [2, 7, 64, 64, 64].entries()) {
    expect(await runAll(await makeDecoder(model, size), jobs, randomOf("order", round + 1))).toEqual(alone);
  }
});

/** Largest difference of a log-probability of what is sampled, and of how many. */
async function learnerDifference(model: ReturnType<typeof tinyModel>, count: number, slots: number) {
  const random = randomOf("agree");
  const jobs = Array.from({ length: count }, (_, i) =>
    request(random, i >> 2, i & 3, { stop: { tokens: [], text: [] }, maxTokens: 10 }),
  );
  const samples = await runAll(await makeDecoder(model, slots), jobs, random);
  const gradients = new Map(
    [...model.weights].map(([pack, { shape, data }]) => [pack, { shape, data: new Float32Array(data.length) }]),
  );
  const learner = new LearnerCore({ ...model, gradients, threads: 1, limits: { tokens: 512, scored: 4096 } });
  const tapes = jobs.map((job, i) => {
    const added = randomOf("world", job.key.question, job.key.sibling);
    const [one, two] = samples[i] as [WrittenSample, WrittenSample];
    const middle = Array.from({ length: added.int(9) }, () => added.int(97));
    return { tokens: Int32Array.of(...job.tokens, ...one.tokens, ...middle, ...two.tokens), middle: middle.length };
  });
  const learnt = await learner.logprobs(tapes.map(({ tokens }) => tokens));
  let [worst, compared] = [0, 0];
  for (const [i, job] of jobs.entries()) {
    const [one, two] = samples[i] as [WrittenSample, WrittenSample];
    const starts = [job.tokens.length, job.tokens.length + one.tokens.length + tapes[i]!.middle];
    for (const [turn, sample] of [one, two].entries()) {
      for (const [t, logprob] of sample.logprobs.entries()) {
        worst = Math.max(worst, Math.abs(logprob - learnt[i]![starts[turn]! + t - 1]!));
        compared++;
      }
    }
  }
  return { worst, compared };
}

test.each(Object.entries(models))(
  "%s: log-probabilities agree with the learner's on 10,000 tokens",
  async (_, tiny) => {
    const { worst, compared } = await learnerDifference(tinyModel(tiny), 500, 64);
    expect(compared).toBe(10_000);
    expect(worst).toBeLessThanOrEqual(1e-4);
  },
);

test.each(Object.entries(models))(
  "%s: they agree with a single cache slot, which has its own kernel",
  async (_, tiny) => {
    const { worst, compared } = await learnerDifference(tinyModel(tiny), 50, 1);
    expect(compared).toBe(1000);
    expect(worst).toBeLessThanOrEqual(1e-4);
  },
);

test("siblings share the prompt's cache, and a continued tape appends only what is new", async () => {
  const decoder = await makeDecoder(tinyModel({ heads: [4, 4] }), 8);
  const random = randomOf("shared");
  const jobs = Array.from({ length: 8 }, (_, i) =>
    request(random, 3, i, { stop: { tokens: [], text: [] }, maxTokens: 4 }),
  );
  await runAll(decoder, jobs, random);
  const promptTokens = jobs[0]!.tokens.length - 1;
  expect(decoder.stats.sharedTokens).toBeGreaterThanOrEqual(4 * promptTokens);
  expect(decoder.stats.appendedTokens).toBeLessThan(4 * promptTokens + 8 * 9);
});

test("prompts that begin alike share whole prefill chunks, whatever their ends", async () => {
  const decoder = await makeDecoder(tinyModel({ heads: [4, 4] }), 8);
  const random = randomOf("alike");
  const jobs = [1, 2, 4, 5].map((question) => request(random, question, 0));
  const results = jobs.map((job) => new Promise<WrittenSample | Error>((resolve) => decoder.submit(job, resolve)));
  while (await decoder.step());
  for (const result of await Promise.all(results)) expect(result).not.toBeInstanceOf(Error);
  expect(decoder.stats.sharedTokens).toBe(3 * 16); // of 20, two chunks of 8
});

test("a stop text ends a sample wherever tokens cut it, and the token that holds its end is kept", async () => {
  const model = tinyModel({ heads: [4, 4] });
  const decoder = await makeDecoder(model, 2);
  const [free] = (
    await runAll(
      decoder,
      [request(randomOf("stop"), 1, 0, { stop: { tokens: [], text: [] }, maxTokens: 12, temperature: 0 })],
      randomOf("x"),
    )
  )[0]!;
  const text = String.fromCharCode(...free!.tokens.subarray(4, 7));
  const again = await makeDecoder(model, 2);
  const [stopped] = (
    await runAll(
      again,
      [request(randomOf("stop"), 1, 0, { stop: { tokens: [], text: [text] }, maxTokens: 12, temperature: 0 })],
      randomOf("x"),
    )
  )[0]!;
  const end = free!.tokens.findIndex(
    (_, i) => i >= 2 && String.fromCharCode(...free!.tokens.subarray(i - 2, i + 1)) === text,
  );
  expect(stopped!.ended).toBe("stop");
  expect([...stopped!.tokens]).toEqual([...free!.tokens.subarray(0, end + 1)]);
});

test("a head size that the runtime cannot cache is refused before any token", async () => {
  await expect(makeDecoder(tinyModel({ heads: [4, 2], changes: { head_dim: 12 } }), 2)).rejects.toThrow(
    /head_dim 12 is not a multiple of 8/,
  );
});

test("requests that cannot be sampled are refused with the reason", async () => {
  const decoder = await makeDecoder(tinyModel({ heads: [4, 4] }), 2);
  const refused = (extra: Partial<SampleRequest>) =>
    new Promise<string>((resolve) =>
      decoder.submit(request(randomOf("bad"), 1, 0, extra), (result) =>
        resolve(result instanceof Error ? result.message : "sampled"),
      ),
    );
  expect(await refused({ tokens: new Int32Array() })).toMatch(/no tokens/);
  expect(await refused({ tokens: Int32Array.of(1, 97) })).toMatch(/token 97 is beyond/);
  expect(await refused({ tokens: new Int32Array(96) })).toMatch(/context of 96/);
  expect(await refused({ maxTokens: 0 })).toMatch(/maxTokens is 0/);
});

test("where one sample fails, so does the run that waits for all", async () => {
  const decoder = await makeDecoder(tinyModel({ heads: [4, 4] }), 2);
  const jobs = [request(randomOf("good"), 1, 0), request(randomOf("bad"), 2, 0, { tokens: new Int32Array() })];
  await expect(runAll(decoder, jobs, randomOf("order"))).rejects.toThrow(/no tokens/);
});
