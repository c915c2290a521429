/** @file A published model folder: `R1_SMOLLM2=folder npx vitest run real-model`. Without the variable it is skipped. */
import { join } from "node:path";
import { Tokenizer as RustTokenizer } from "tokenizers";
import { expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import { parameterSpecs, readModelConfig } from "./model-config.ts";
import { openWeights } from "./safetensors.ts";
import { checkTokenizer, loadTokenizer } from "./tokenizer.ts";

const directory = process.env["R1_SMOLLM2"];
const skipped = directory === undefined;
const why = skipped ? " (SKIPPED: R1_SMOLLM2 does not name a SmolLM2 folder)" : "";

test.skipIf(skipped)(`the tokenizer agrees with the reference on 200 texts${why}`, async () => {
  const tokenizer = await loadTokenizer(directory!);
  checkTokenizer(tokenizer, readModelConfig(directory!), directory!);
  const rust = RustTokenizer.fromFile(join(directory!, "tokenizer.json"));
  const random = randomOf(200, "texts");
  const parts = [
    "The capital of Peru is Lima.",
    " 1,234.5",
    "\n\n\t",
    "<|im_start|>",
    "user\n",
    "don't",
    "日本語",
    "🙂‍↔️",
    " naïve",
    "ﬁ",
    "  ",
    "<|endoftext|>",
    "Ünïcödé",
    "the",
    " x²",
    "\u200b",
    "العربية",
    "{}",
    "def f(x):\n    return x",
  ];
  for (let i = 0; i < 200; i++) {
    const text = Array.from({ length: 1 + random.int(12) }, () => random.pick(parts)).join(
      random.pick(["", " ", "\n"]),
    );
    const expected = await rust.encode(text, null, { addSpecialTokens: false });
    const ids = [...tokenizer.encodeTemplate(text)];
    expect(ids).toEqual([...expected.getIds()]);
    expect(tokenizer.decode(ids)).toBe(await rust.decode(ids, false));
    expect(tokenizer.decode(ids)).toBe(text);
    const plain = tokenizer.encodeText(text);
    expect([...plain].filter((id) => tokenizer.specialIds.has(id))).toEqual([]);
    expect(tokenizer.decode(plain)).toBe(text);
  }
});

test.skipIf(skipped)(`the chat template opens a reply${why}`, async () => {
  const tokenizer = await loadTokenizer(directory!);
  const text = tokenizer.chatTemplate!([{ role: "user", content: "Who?" }]);
  expect(text).toMatch(/<\|im_start\|>user\nWho\?<\|im_end\|>\n<\|im_start\|>assistant\n$/);
  expect(tokenizer.decode(tokenizer.eosIds)).toBe("<|im_end|>");
  expect(tokenizer.encodeTemplate(text)[0]).toBe(readModelConfig(directory!).bosId);
});

test.skipIf(skipped)(`every tensor is read, finite and not empty${why}`, async () => {
  const config = readModelConfig(directory!);
  const file = await openWeights(directory!, config);
  let parameters = 0;
  for (const { name, shape } of parameterSpecs(config)) {
    const data = new Float32Array(shape.reduce((product, n) => product * n, 1));
    await file.read(name, data);
    let squares = 0;
    for (let i = 0; i < data.length; i++) squares += data[i]! * data[i]!;
    expect(Number.isFinite(squares) && squares > 0, name).toBe(true);
    parameters += data.length;
  }
  await file.close();
  expect(parameters).toBe(134_515_008);
});
