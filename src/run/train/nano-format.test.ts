/** @file The bundled policy is asked in the very tokens it was pretrained on; a space too many would cost it its skill. */
import { expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import { pretrainingDocument } from "../../data/world/pretrain.ts";
import { drawQuestion, evaluationMix } from "../../data/world/questions.ts";
import { prompt } from "../../data/world/transcript-text.ts";
import { makeWorld } from "../../data/world/world.ts";
import { loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import { promptTemplate, renderPrompt } from "../../protocol/prompt.ts";
import { protocols } from "../../protocol/protocol.ts";
import { rankPassages } from "../../search/bm25/rank.ts";
import { bundled } from "../engines/open-policy.ts";
import { encodeDocument } from "../pretrain/pretrain-batch.ts";

const protocol = protocols["r1-searcher"];

test("a prompt has the tokens of pretraining", async () => {
  const tokenizer = await loadTokenizer(bundled("nano"));
  const template = promptTemplate("nano", protocol);
  const world = makeWorld({ seed: 5, split: "test", size: "test" });
  const random = randomOf("prompts");
  for (let i = 0; i < 200; i++) {
    const { text } = drawQuestion(world, random, { mix: evaluationMix });
    const asked = renderPrompt({ protocol, tokenizer, question: text, template });
    expect([...asked]).toEqual([...tokenizer.encodeTemplate(prompt(text))]);
  }
});

test("pretraining documents are short enough, and every name takes few tokens", async () => {
  const tokenizer = await loadTokenizer(bundled("nano"));
  const lengths = Array.from({ length: 300 }, (_, index) => {
    const document = pretrainingDocument({ index, seed: 3, phase: 2, makeSearch: rankPassages });
    return encodeDocument(tokenizer, document, Number.POSITIVE_INFINITY).tokens.length;
  });
  expect(Math.max(...lengths)).toBeLessThan(512);
  const { entities } = makeWorld({ seed: 5, split: "test", size: "test" });
  const words = entities.flatMap(({ name }) => name.split(" ")).filter((word) => word.length <= 6);
  const tokens = words.map((word) => tokenizer.encodeText(` ${word}`).length);
  expect(tokens.reduce((sum, n) => sum + n, 0) / tokens.length).toBeLessThan(2.2);
});
