import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { type Random, randomOf } from "../../base/random.ts";
import { parameterSpecs, parseModelConfig } from "./model-config.ts";
import { openWeights, writeSafetensors } from "./safetensors.ts";

const config = parseModelConfig(
  {
    model_type: "llama",
    vocab_size: 3,
    hidden_size: 4,
    intermediate_size: 2,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    tie_word_embeddings: true,
  },
  "config.json",
);
const specs = parameterSpecs(config);
const sizeOf = (shape: readonly number[]) => shape.reduce((product, n) => product * n, 1);
const file = join(mkdtempSync(join(tmpdir(), "r1-fuzz-")), "model.safetensors");

function original(): Buffer {
  writeSafetensors(
    file,
    specs.map(({ name, shape }, t) => ({
      name,
      shape,
      data: Float32Array.from({ length: sizeOf(shape) }, (_, i) => 1 + t + i / 64),
    })),
    { format: "pt" },
  );
  return readFileSync(file);
}

/**
 * Applies one to three faults: flipped bits, changed bytes, cuts, growth, moved ranges, other numbers or words in the
 * header.
 */
function mutate(bytes: Buffer, random: Random): Buffer {
  let out: Buffer = Buffer.from(bytes);
  const headerEnd = 8 + Number(bytes.readBigUInt64LE());
  for (let faults = 1 + random.int(3); faults > 0; faults--) {
    const at = random.int(out.length || 1);
    const inHeader = 8 + random.int(headerEnd - 8);
    const faultsOf: (() => void)[] = [
      () => (out[at] = (out[at] ?? 0) ^ (1 << random.int(8))),
      () => (out[inHeader] = random.int(128)),
      () => (out = out.subarray(0, at)),
      () => (out = Buffer.concat([out, Buffer.alloc(1 + random.int(40), random.int(256))])),
      () => (out = Buffer.concat([out.subarray(0, at), out.subarray(at + 1 + random.int(8))])),
      () => (out = Buffer.concat([out.subarray(0, at), out.subarray(random.int(out.length || 1))])),
      () => out.length >= 8 && out.writeBigUInt64LE(BigInt(random.int(2 ** 30)) ** BigInt(1 + random.int(2)), 0),
      () => (out = withHeader(out, (text) => replaceOne(text, /\d+/g, random, String(hostile(random))))),
      () => (out = withHeader(out, (text) => replaceOne(text, /"[^"]*"/g, random, random.pick(words)))),
      () => (out = withHeader(out, (text) => replaceOne(text, /[{}[\],:]/g, random, random.pick([..."{}[],: "])))),
    ];
    random.pick(faultsOf)();
  }
  return out;
}

const words = [
  '"F32"',
  '"F16"',
  '"BF16"',
  '"I64"',
  '"__metadata__"',
  '"__proto__"',
  '"model.norm.weight"',
  '"shape"',
  "null",
];
const hostile = (random: Random) =>
  random.pick<number | string>([
    0,
    1,
    3,
    4,
    12,
    16,
    2 ** 31,
    2 ** 32,
    2 ** 53,
    "9007199254740993",
    "1e9",
    "-4",
    "0.5",
    random.int(400),
  ]);

/** Changes the header and corrects its length field, so that the change is not refused for its length alone. */
function withHeader(bytes: Buffer, change: (text: string) => string): Buffer {
  if (bytes.length < 8) return bytes;
  const length = Number(bytes.readBigUInt64LE());
  if (length > bytes.length - 8) return bytes;
  const text = Buffer.from(change(bytes.subarray(8, 8 + length).toString("latin1")), "latin1");
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([prefix, text, bytes.subarray(8 + length)]);
}

function replaceOne(text: string, pattern: RegExp, random: Random, by: string): string {
  const found = [...text.matchAll(pattern)];
  if (found.length === 0) return text;
  const { index, 0: what } = random.pick(found);
  return text.slice(0, index) + by + text.slice(index + what.length);
}

/** A reader without any checks, which trusts the header. */
function believed(bytes: Buffer, name: string): number[] {
  const length = Number(bytes.readBigUInt64LE());
  const { dtype, data_offsets } = JSON.parse(bytes.subarray(8, 8 + length).toString())[name];
  const [from, to] = data_offsets.map((offset: number) => 8 + length + offset);
  const data = bytes.subarray(from, to);
  if (dtype === "F32") return Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i));
  return Array.from({ length: data.length / 2 }, (_, i) => halfOf(data.readUInt16LE(2 * i), dtype));
}

function halfOf(half: number, dtype: string): number {
  if (dtype === "BF16") return new Float32Array(Uint32Array.of(half << 16).buffer)[0]!;
  const magnitude = half & 0x7fff;
  const value =
    magnitude >= 0x7c00
      ? magnitude === 0x7c00
        ? Number.POSITIVE_INFINITY
        : Number.NaN
      : magnitude < 0x400
        ? magnitude * 2 ** -24
        : (1024 + (magnitude & 0x3ff)) * 2 ** ((magnitude >> 10) - 25);
  return half & 0x8000 ? -value : value;
}

async function load(): Promise<Map<string, number[]>> {
  const opened = await openWeights(file, config);
  try {
    const tensors = new Map<string, number[]>();
    for (const { name, shape } of specs) {
      const into = new Float32Array(sizeOf(shape));
      await opened.read(name, into);
      tensors.set(name, [...into]);
    }
    return tensors;
  } finally {
    await opened.close();
  }
}

test("2,000 damaged files: each is refused by name or read exactly as its bytes say, and none exhausts memory", async () => {
  const whole = original();
  const before = process.memoryUsage().arrayBuffers;
  const slowest = { milliseconds: 0, most: 0 };
  let refused = 0;
  let dataOnly = 0;
  for (let i = 0; i < 2000; i++) {
    const bytes = mutate(whole, randomOf(20_26, "safetensors", i));
    writeFileSync(file, bytes);
    const began = performance.now();
    const loaded = await load().catch((error: unknown) => {
      expect(error, `mutation ${i}`).toBeInstanceOf(EngineError);
      expect((error as EngineError).message, `mutation ${i}`).toContain(file);
      return undefined;
    });
    slowest.milliseconds = Math.max(slowest.milliseconds, performance.now() - began);
    slowest.most = Math.max(slowest.most, process.memoryUsage().arrayBuffers - before);
    if (!loaded) refused++;
    else {
      // the header was valid and described this very model: only values may differ, and only as the bytes do
      expect([...loaded.keys()]).toEqual(specs.map(({ name }) => name));
      for (const [name, values] of loaded) expect(values, `mutation ${i}: ${name}`).toEqual(believed(bytes, name));
      const headerEnd = 8 + Number(whole.readBigUInt64LE());
      if (bytes.length === whole.length && bytes.subarray(0, headerEnd).equals(whole.subarray(0, headerEnd)))
        dataOnly++;
      else expect(bytes.length - 8 - Number(bytes.readBigUInt64LE())).toBeGreaterThan(0);
    }
  }
  expect(Object.prototype).not.toHaveProperty("shape");
  expect(refused).toBeGreaterThan(1200);
  expect(dataOnly).toBeGreaterThan(20); // faults that no reader can detect: the hashes in a checkpoint's manifest do
  expect(slowest.milliseconds).toBeLessThan(1000);
  expect(slowest.most).toBeLessThan(64 * 2 ** 20);
});
