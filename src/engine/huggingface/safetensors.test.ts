import { mkdirSync, mkdtempSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { bfloat16ToFloat32, float16ToFloat32 } from "./half.ts";
import { parameterSpecs, parseModelConfig } from "./model-config.ts";
import { type NamedTensor, openWeights, writeSafetensors } from "./safetensors.ts";
import { type TensorSource, writeWeights } from "./weights-writer.ts";

const folder = () => mkdtempSync(join(tmpdir(), "r1-safetensors-"));
const sourcesOf = (tensors: readonly NamedTensor[]): TensorSource[] =>
  tensors.map(({ name, shape, data }) => ({ name, shape, read: (into) => into.set(data) }));
const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);

const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 5,
    hidden_size: 4,
    intermediate_size: 6,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    num_key_value_heads: 1,
    tie_word_embeddings: true,
  },
  "config.json",
);
const model: NamedTensor[] = parameterSpecs(config).map(({ name, shape }, t) => ({
  name,
  shape,
  data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => Math.sin(t * 100 + i)),
}));

async function readAll(path: string, expected?: typeof config): Promise<NamedTensor[]> {
  const file = await openWeights(path, expected);
  try {
    const tensors: NamedTensor[] = [];
    for (const name of file.names) {
      const shape = file.shape(name);
      const data = new Float32Array(sizeOf(shape));
      await file.read(name, data);
      tensors.push({ name, shape, data });
    }
    return tensors;
  } finally {
    await file.close();
  }
}

/** A file whose header and data may contradict each other. */
function crafted(header: string | object, data: Uint8Array = new Uint8Array(8), claimed?: bigint): string {
  const text = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(claimed ?? BigInt(text.length));
  const file = join(folder(), "x.safetensors");
  writeFileSync(file, Buffer.concat([prefix, text, data]));
  return file;
}

const f32 = (shape: readonly number[], from: number, to: number) => ({ dtype: "F32", shape, data_offsets: [from, to] });

test("what is written is read, bit for bit", async () => {
  const shapes = fc.array(fc.array(fc.nat({ max: 4 }), { maxLength: 3 }), { maxLength: 6 });
  const words = fc.infiniteStream(fc.integer());
  const names = ["", "__proto__", "a.weight", "é", "0"];
  const metadatas = fc.dictionary(fc.oneof(fc.string(), fc.constant("__proto__")), fc.string());
  await fc.assert(
    fc.asyncProperty(shapes, words, metadatas, async (all, bits, metadata) => {
      const tensors = all.map((shape, i) => {
        const data = new Float32Array(Int32Array.from({ length: sizeOf(shape) }, () => bits.next().value).buffer);
        return { name: names[i] ?? `t${i}`, shape, data };
      });
      const file = join(folder(), "x.safetensors");
      writeSafetensors(file, tensors, metadata);
      const opened = await openWeights(file);
      await opened.close();
      expect(Object.entries(opened.metadata).sort()).toEqual(Object.entries(metadata).sort());
      const read = new Map((await readAll(file)).map((tensor) => [tensor.name, tensor]));
      expect(read.size).toBe(tensors.length);
      for (const { name, shape, data } of tensors) {
        expect(read.get(name)!.shape).toEqual(shape);
        expect(Buffer.from(read.get(name)!.data.buffer)).toEqual(Buffer.from(data.buffer));
      }
    }),
    { numRuns: 200 },
  );
});

test("tensors larger than one read buffer are read completely", async () => {
  const length = 3 * 2 ** 20 + 5;
  const bits = Uint16Array.from({ length }, (_, i) => (i * 7919) & 0x7f7f);
  const file = crafted(
    { a: { dtype: "BF16", shape: [length], data_offsets: [0, 2 * length] } },
    new Uint8Array(bits.buffer),
  );
  const [tensor] = await readAll(file);
  expect(new Uint32Array(tensor!.data.buffer).every((word, i) => word === bits[i]! << 16)).toBe(true);
  const again = join(folder(), "f32.safetensors");
  writeSafetensors(again, [tensor!]);
  expect(Buffer.compare(Buffer.from((await readAll(again))[0]!.data.buffer), Buffer.from(tensor!.data.buffer))).toBe(0);
});

test("16-bit floats are converted exactly", () => {
  const values = (convert: typeof float16ToFloat32, halves: number[]) => {
    const into = new Float32Array(halves.length);
    convert(Uint16Array.from(halves), into);
    return [...into];
  };
  const halves = [0x3c00, 0xc000, 0x0001, 0x03ff, 0x0400, 0x7bff, 0x3555, 0x8000, 0x7c00, 0xfc00, 0x7e00];
  expect(values(float16ToFloat32, halves)).toEqual([
    ...[1, -2, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65504, 0.333251953125, -0],
    ...[Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
  ]);
  const rising = values(
    float16ToFloat32,
    Array.from({ length: 0x7c01 }, (_, half) => half),
  );
  expect(rising.every((value, i) => i === 0 || value > rising[i - 1]!)).toBe(true);
  expect(values(bfloat16ToFloat32, [0x3f80, 0xc000, 0x7f80, 0x0001])).toEqual([
    ...[1, -2, Number.POSITIVE_INFINITY, 2 ** -133],
  ]);
});

test.each<[string, () => string, RegExp]>([
  [
    "an empty file",
    () => {
      const file = join(folder(), "empty.safetensors");
      writeFileSync(file, "");
      return file;
    },
    /0 bytes/,
  ],
  ["a header longer than the file", () => crafted({}, undefined, 1000n), /claims 1000 bytes/],
  ["a header of 2^63 bytes", () => crafted({}, undefined, 2n ** 63n), /claims 9223372036854775808 bytes/],
  ["a header that is not JSON", () => crafted("{nonsense"), /cannot be read/],
  ["a header that is a list", () => crafted("[]"), /not a JSON object/],
  ["a header that is not UTF-8", () => crafted("{}", Uint8Array.of(0xff), 3n), /cannot be read/],
  ["a header that is nested very deeply", () => crafted(`{"a":${"[".repeat(1e6)}`), /nested deeper/],
  [
    "two tensors of one name",
    () =>
      crafted(
        '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
      ),
    /"a" twice/,
  ],
  [
    "offsets beyond exact integers",
    () => crafted('{"a":{"dtype":"F32","shape":[2],"data_offsets":[9007199254740985,9007199254740993]}}'),
    /data_offsets/,
  ],
  ["offsets with a fraction", () => crafted('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8.0]}}'), /not whole/],
  ["negative offsets", () => crafted({ a: f32([2], -8, 0) }), /not whole/],
  ["offsets the wrong way round", () => crafted({ a: f32([2], 8, 0) }), /takes 8 bytes/],
  [
    "a product that overflows",
    () => crafted({ a: f32([2 ** 32, 2 ** 32, 2], 0, 8) }),
    /takes 147573952589676412928 bytes/,
  ],
  ["a shape that does not fit", () => crafted({ a: f32([3], 0, 8) }), /takes 12 bytes/],
  ["a shape of many dimensions", () => crafted({ a: f32(new Array(99).fill(1), 0, 8) }), /shape/],
  ["tensors that overlap", () => crafted({ a: f32([1], 0, 4), b: f32([2], 0, 8) }), /b begins at byte/],
  ["a hole between tensors", () => crafted({ a: f32([1], 4, 8) }), /a begins at byte/],
  ["bytes left over", () => crafted({ a: f32([1], 0, 4) }), /end at byte/],
  ["a tensor beyond the end", () => crafted({ a: f32([3], 0, 12) }), /a ends at byte/],
  ["a type we do not read", () => crafted({ a: { dtype: "I64", shape: [1], data_offsets: [0, 8] } }), /dtype "I64"/],
  ["an entry that is a number", () => crafted({ a: 1 }), /a is 1/],
  ["metadata that is no text", () => crafted({ __metadata__: { a: [1] }, a: f32([2], 0, 8) }), /__metadata__/],
  ["a file that is not there", () => join(folder(), "none.safetensors"), /cannot be opened/],
  ["a folder without weights", () => folder(), /neither model\.safetensors nor/],
])("%s is refused, and the message names it", async (_, make, message) => {
  const path = make();
  const opening = openWeights(path);
  await expect(opening).rejects.toBeInstanceOf(EngineError);
  await expect(opening).rejects.toThrow(message);
  await expect(opening).rejects.toThrow(path);
});

test("a set of tensors that does not match the model is refused with file, name and shapes", async () => {
  const attempt = async (tensors: NamedTensor[]) => {
    const directory = folder();
    await writeWeights(directory, sourcesOf(tensors));
    return openWeights(directory, config).then((file) => file.close());
  };
  await attempt(model);
  await attempt([...model, { ...model[0]!, name: "lm_head.weight" }]); // a tied head that is stored nevertheless
  await expect(attempt(model.slice(1))).rejects.toThrow(/lacks model\.embed_tokens\.weight \[5, 4\]/);
  const extra = { name: "extra", shape: [1], data: new Float32Array(1) };
  await expect(attempt([...model, extra])).rejects.toThrow(/holds extra \[1\]/);
  await expect(attempt([{ ...model[0]!, shape: [4, 5] }, ...model.slice(1)])).rejects.toThrow(
    /model\.embed_tokens\.weight is \[4, 5\]; config\.json asks for \[5, 4\]/,
  );
});

test("a sharded folder reads the same as a single file", async () => {
  const directory = folder();
  const names = await writeWeights(directory, sourcesOf(model), { maxShardBytes: 150 });
  expect(names.length).toBeGreaterThan(3);
  expect(readdirSync(directory).sort()).toEqual([...names].sort());
  expect(names[0]).toBe(`model-00001-of-0000${names.length - 1}.safetensors`);
  expect(await readAll(directory, config)).toEqual(model);
  await expect(writeWeights(directory, sourcesOf(model))).rejects.toThrow(
    /already exists and belongs to other weights/,
  );
});

test.each(["f16", "bf16"] as const)("weights written as %s are read back rounded to that format", async (format) => {
  const directory = folder();
  const data = Float32Array.of(0, -0, 1, -1.5, 0.1, 1e-7, 60_000, 1 / 3);
  await writeWeights(directory, sourcesOf([{ name: "a", shape: [8], data }]), { format });
  const file = await openWeights(directory);
  const read = new Float32Array(8);
  await file.read("a", read);
  await file.close();
  for (const [i, x] of data.entries())
    expect(Math.abs(read[i]! - x)).toBeLessThanOrEqual(
      Math.max(Math.abs(x) * 2 ** (format === "f16" ? -11 : -8), 2 ** -25),
    );
  expect(statSync(join(directory, "model.safetensors")).size % 8).toBe(0);
});

test("numbers that are not finite, or that the format cannot hold, are refused by the name of their tensor", async () => {
  const writing = (x: number, format: "f32" | "f16") =>
    writeWeights(folder(), sourcesOf([{ name: "a", shape: [2], data: Float32Array.of(0, x) }]), { format });
  await expect(writing(Number.NaN, "f32")).rejects.toThrow(/^a holds NaN at index 1: these weights are damaged/);
  await expect(writing(Number.POSITIVE_INFINITY, "f32")).rejects.toThrow(/^a holds Infinity/);
  await expect(writing(70_000, "f16")).rejects.toThrow(/^a holds 70000, which f16 cannot/);
  await writing(70_000, "f32");
});

test.each<[string, (map: Record<string, unknown>) => unknown, RegExp]>([
  ["no map", () => undefined, /names no shards/],
  ["a list for a map", () => ["a"], /names no shards/],
  [
    "a shard elsewhere",
    (map) => ({ ...map, "model.norm.weight": "../x.safetensors" }),
    /not the name of a safetensors file/,
  ],
  ["the folder above", (map) => ({ ...map, "model.norm.weight": ".." }), /not the name of a safetensors file/],
  ["a shard that is not there", (map) => ({ ...map, a: "b.safetensors" }), /cannot be opened/],
  ["a tensor that its shard lacks", (map) => ({ ...map, a: map["model.norm.weight"] }), /lacks a, which/],
  ["a tensor left out", ({ "model.norm.weight": _, ...map }) => map, /contains model\.norm\.weight, which/],
])("an index with %s is refused by name", async (_, change, message) => {
  const directory = folder();
  await writeWeights(directory, sourcesOf(model), { maxShardBytes: 150 });
  const index = join(directory, "model.safetensors.index.json");
  const { weight_map: map } = JSON.parse(readFileSync(index, "utf8"));
  writeFileSync(index, JSON.stringify({ weight_map: change(map) }));
  await expect(openWeights(directory)).rejects.toBeInstanceOf(EngineError);
  await expect(openWeights(directory)).rejects.toThrow(message);
  await expect(openWeights(directory)).rejects.toThrow(directory);
});

test("pickled weights are refused, with the reason", async () => {
  const directory = folder();
  writeFileSync(join(directory, "pytorch_model.bin"), "");
  const error = await openWeights(directory).catch((caught: unknown) => caught);
  expect((error as EngineError).hint).toMatch(/can contain programs/);
});

test("tensors that would give an invalid file are not written", async () => {
  const file = join(folder(), "x.safetensors");
  const a = { name: "a", shape: [2], data: new Float32Array(2) };
  expect(() => writeSafetensors(file, [a, a])).toThrow(/cannot hold two tensors named a/);
  expect(() => writeSafetensors(file, [{ ...a, shape: [3] }])).toThrow(/a \[3\] cannot hold 2 numbers/);
  await expect(writeWeights(folder(), sourcesOf([a, a]), { maxShardBytes: 8 })).rejects.toThrow(
    /cannot hold two tensors named a/,
  );
});

test("reading into memory of another size is refused, and a file that became shorter after opening is noticed", async () => {
  const directory = folder();
  mkdirSync(join(directory, "m"));
  await writeWeights(join(directory, "m"), sourcesOf(model));
  const file = await openWeights(join(directory, "m"));
  await expect(file.read("model.norm.weight", new Float32Array(3))).rejects.toThrow(/holds 4 numbers, 3 were expected/);
  await expect(file.read("none", new Float32Array(3))).rejects.toThrow(/no tensor none/);
  writeFileSync(join(directory, "m", "model.safetensors"), "short");
  await expect(file.read("model.norm.weight", new Float32Array(4))).rejects.toThrow(
    /before the end of its last tensor/,
  );
  await file.close();
});
