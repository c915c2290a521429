import { expect, test } from "vitest";
import { packs, parameterSpecs, parseModelConfig } from "./model-config.ts";
import { qwen2, qwen3, smollm2 } from "./testing/published-configs.ts";

const parse = (changes: object = {}) => parseModelConfig({ ...smollm2, ...changes }, "some/config.json");

test.each([
  ["Qwen2.5-0.5B", qwen2, 494_032_768],
  ["Qwen3-0.6B", qwen3, 596_049_920],
])("%s has as many parameters as its authors count", (_, config, expected) => {
  const size = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);
  const specs = parameterSpecs(parseModelConfig(config, "config.json"));
  expect(specs.reduce((sum, { shape }) => sum + size(shape), 0)).toBe(expected);
});

test("packs hold every tensor once, those that enter the graph together side by side", () => {
  const config = parse({ num_hidden_layers: 2, tie_word_embeddings: false });
  expect(packs(config).map(({ pack, shape }) => `${pack} ${shape.join("x")}`)).toEqual([
    "embedding 49152x576",
    ...[0, 1].flatMap((l) => [
      `l${l}.norm1 576`,
      `l${l}.qkv 960x576`,
      `l${l}.o 576x576`,
      `l${l}.norm2 576`,
      `l${l}.gate_up 3072x576`,
      `l${l}.down 576x1536`,
    ]),
    "norm 576",
    "head 49152x576",
  ]);
  expect(packs(config)[2]!.members.map(({ name, shape }) => `${name} ${shape.join("x")}`)).toEqual([
    "model.layers.0.self_attn.q_proj.weight 576x576",
    "model.layers.0.self_attn.k_proj.weight 192x576",
    "model.layers.0.self_attn.v_proj.weight 192x576",
  ]);
  const specs = parameterSpecs(config);
  expect(new Set(specs.map(({ name }) => name)).size).toBe(specs.length);
  for (const { pack, members } of packs(config)) expect(members.every((member) => member.pack === pack)).toBe(true);
});

test("biases and gains of heads are packs of their own", () => {
  const shapes = (config: object) =>
    packs(parseModelConfig({ ...config, num_hidden_layers: 1 }, "config.json"))
      .filter(({ shape }) => shape.length === 1)
      .map(({ pack, shape }) => `${pack} ${shape}`);
  expect(shapes(qwen2)).toEqual(["l0.norm1 896", "l0.qkv_bias 1152", "l0.norm2 896", "norm 896"]);
  expect(shapes(qwen3)).toEqual(["l0.norm1 1024", "l0.q_norm 128", "l0.k_norm 128", "l0.norm2 1024", "norm 1024"]);
});

test("SmolLM2-135M has as many parameters as its authors count", () => {
  const size = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);
  expect(parameterSpecs(parse()).reduce((sum, { shape }) => sum + size(shape), 0)).toBe(134_515_008);
});
