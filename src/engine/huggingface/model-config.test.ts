import { mkdtempSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { packs, parseModelConfig, readModelConfig, writeModelConfig } from "./model-config.ts";
import { qwen2, qwen3, smollm2 } from "./testing/published-configs.ts";

const parse = (changes: object = {}) => parseModelConfig({ ...smollm2, ...changes }, "some/config.json");
const llama3 = {
  rope_type: "llama3",
  factor: 8,
  low_freq_factor: 1,
  high_freq_factor: 4,
  original_max_position_embeddings: 8192,
};
const folder = () => mkdtempSync(join(tmpdir(), "r1-config-"));

test("a published config is read, head_dim by default", () => {
  const { raw, ...config } = parse();
  expect(config).toEqual({
    family: "llama",
    architecture: "LlamaForCausalLM",
    qkvBias: false,
    qkNorm: false,
    vocabSize: 49_152,
    width: 576,
    layers: 30,
    heads: 9,
    kvHeads: 3,
    headDim: 64,
    ffnWidth: 1536,
    contextLength: 8192,
    rmsEpsilon: 1e-5,
    ropeTheta: 100_000,
    tied: true,
    bosId: 1,
    eosIds: [2],
    padId: 2,
  });
  expect(raw).toEqual(smollm2);
});

test("the spelling of transformers 5 means the same", () => {
  const { rope_theta, rope_scaling, torch_dtype, ...rest } = smollm2;
  const five = { ...rest, dtype: torch_dtype, rope_parameters: { rope_theta, rope_type: "default" } };
  const { raw: _, ...read } = parseModelConfig(five, "config.json");
  const { raw: __, ...expected } = parse();
  expect(read).toEqual(expected);
});

test("scaled positions mean the same in both spellings", () => {
  const { rope_theta, rope_scaling: _, ...rest } = smollm2;
  for (const scaling of [llama3, { type: "linear", factor: 2 }]) {
    const four = parse({ rope_scaling: scaling });
    const { type, rope_type = type, ...numbers } = scaling as Record<string, unknown>;
    const five = parseModelConfig({ ...rest, rope_parameters: { rope_theta, rope_type, ...numbers } }, "config.json");
    expect(four.ropeScaling).toBeDefined();
    expect(five.ropeScaling).toEqual(four.ropeScaling);
  }
});

const qwen = (changes: object) => parseModelConfig({ ...qwen2, ...changes }, "some/config.json");

test("Qwen's heads: a width of their own where the config or the family gives one", () => {
  expect(qwen({}).headDim).toBe(64);
  const { head_dim: __, ...rest } = qwen3;
  expect(parseModelConfig(rest, "config.json").headDim).toBe(128);
});

test("a sliding window is refused where a layer uses it, and only there", () => {
  const uses = { use_sliding_window: true, sliding_window: 4096 };
  expect(() => qwen({ ...uses, max_window_layers: 20 })).toThrow(/sliding_window 4096 is not supported/);
  expect(() => qwen({ ...uses, layer_types: ["full_attention", "sliding_attention"] })).toThrow(/sliding_window 4096/);
  expect(() => qwen({ layer_types: ["linear_attention"] })).toThrow(/layer_types "linear_attention"/);
  for (const changes of [
    { max_window_layers: 24 },
    { layer_types: ["full_attention"], max_window_layers: 0 },
    { max_window_layers: 0, sliding_window: 32_768 },
    { max_window_layers: 0, sliding_window: null },
    { max_window_layers: 0, use_sliding_window: false },
  ])
    expect(qwen({ ...uses, ...changes }).family).toBe("qwen2");
});

test("several ends of a reply, no pad, no beginning", () => {
  const config = parse({ eos_token_id: [7, 9], pad_token_id: -1, bos_token_id: null });
  expect(config.eosIds).toEqual([7, 9]);
  expect(config).not.toHaveProperty("padId");
  expect(config).not.toHaveProperty("bosId");
});

let deep: unknown = 0;
for (let i = 0; i < 20_000; i++) deep = [deep];

test.each<[string, object, RegExp]>([
  ["another family", { model_type: "mamba" }, /model_type "mamba"/],
  ["an architecture of another family", { model_type: "qwen2" }, /architectures \["LlamaForCausalLM"\]/],
  ["no family", { model_type: undefined }, /model_type missing/],
  ["another head", { architectures: ["LlamaForSequenceClassification"] }, /LlamaForSequenceClassification/],
  ["half a scaling", { rope_scaling: { rope_type: "llama3", factor: 8 } }, /"rope_scaling.low_freq_factor" is missing/],
  ["a scaling by nothing", { rope_scaling: { type: "linear", factor: 0 } }, /"rope_scaling.factor" is 0/],
  [
    "bands of frequency the wrong way round",
    { rope_scaling: { ...llama3, low_freq_factor: 4 } },
    /high_freq_factor 4 is not above low_freq_factor 4/,
  ],
  [
    "scaled positions beside plain ones",
    { rope_parameters: { rope_theta: 1e5 }, rope_scaling: { type: "linear", factor: 2 } },
    /rope_scaling .* and rope_parameters .* do not agree/,
  ],
  ["positions of another kind", { rope_scaling: { rope_type: "yarn", factor: 4 } }, /rope_scaling .*yarn/],
  ["positions of another kind, new spelling", { rope_parameters: { rope_type: "yarn" } }, /rope_parameters .*yarn/],
  ["two values of one thing", { rope_parameters: { rope_theta: 5 } }, /rope_theta is 100000, .* is 5/],
  ["half-turned heads", { partial_rotary_factor: 0.5 }, /partial_rotary_factor 0\.5/],
  ["biased attention", { attention_bias: true }, /"attention_bias": true/],
  ["biased layers", { mlp_bias: true }, /"mlp_bias": true/],
  ["a flag that is none", { tie_word_embeddings: "yes" }, /"tie_word_embeddings" is "yes"/],
  ["another activation", { hidden_act: "gelu" }, /hidden_act "gelu"/],
  ["quantised weights", { quantization_config: {} }, /quantization_config/],
  ["a missing size", { vocab_size: undefined }, /"vocab_size" is missing/],
  ["a size beyond reason", { num_hidden_layers: 1e9 }, /"num_hidden_layers" is 1000000000/],
  ["a size that is a text", { hidden_size: "576" }, /"hidden_size" is "576"/],
  ["heads that do not divide", { num_attention_heads: 7, num_key_value_heads: 7 }, /576 does not divide among 7/],
  ["heads that do not group", { num_key_value_heads: 2 }, /9 is not a multiple of num_key_value_heads 2/],
  ["an odd head", { head_dim: 63 }, /head_dim 63 is odd/],
  ["an end beyond the vocabulary", { eos_token_id: 49_152 }, /"eos_token_id" is 49152/],
  ["a value too deep to print", { hidden_size: deep }, /"hidden_size" is a value nested too deeply/],
])("%s is refused by name", (_, changes, message) => {
  expect(() => parse(changes)).toThrow(EngineError);
  expect(() => parse(changes)).toThrow(message);
  expect(() => parse(changes)).toThrow(/^some\/config\.json: /);
});

test("whatever a config says, it is refused or its numbers are usable", () => {
  const values = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.integer(),
    fc.constantFrom(true, "llama", 1e300, -0, 2 ** 53),
  );
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...Object.keys(smollm2), "head_dim", "rope_parameters"), values),
      (changes) => {
        let config: ReturnType<typeof parse>;
        try {
          config = parse(changes);
        } catch (error) {
          expect(error).toBeInstanceOf(EngineError);
          return;
        }
        for (const { shape } of packs({ ...config, layers: 1 })) {
          expect(shape.every((n) => Number.isSafeInteger(n) && n > 0)).toBe(true);
        }
      },
    ),
    { numRuns: 1000 },
  );
});

test("files that cannot be a config are refused by name", () => {
  const directory = folder();
  const file = join(directory, "config.json");
  const refused = (message: RegExp) => {
    expect(() => readModelConfig(directory)).toThrow(EngineError);
    expect(() => readModelConfig(directory)).toThrow(message);
    expect(() => readModelConfig(directory)).toThrow(file);
  };
  refused(/no such file/);
  for (const [text, message] of [
    ["", /JSON/],
    ["[]", /not a JSON object/],
    ['{"vocab_size": 1, "vocab_\\u0073ize": 2}', /gives "vocab_size" twice/],
    [`{"a": ${"[".repeat(1e6)}`, /nested deeper than 64/],
  ] as const) {
    writeFileSync(file, text);
    refused(message);
  }
  writeFileSync(file, Uint8Array.of(0x7b, 0xff, 0x7d));
  refused(/cannot be read/);
  truncateSync(file, 11 * 2 ** 20);
  refused(/11534336 bytes/);
});

test("a config that is written is read again, and says that its weights are f32", () => {
  for (const changes of [{}, { torch_dtype: undefined, dtype: "bfloat16" }, { torch_dtype: undefined }]) {
    const directory = folder();
    const config = parse(changes);
    writeModelConfig(directory, config);
    const { raw, ...again } = readModelConfig(directory);
    const { raw: _, ...before } = config;
    expect(again).toEqual(before);
    expect(raw["dtype"] ?? raw["torch_dtype"]).toBe("float32");
    expect(readFileSync(join(directory, "config.json"), "utf8")).not.toContain("bfloat16");
  }
});
