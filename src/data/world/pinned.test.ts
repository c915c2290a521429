/** @file What the shipped models were made from stays as it was, to the character: whoever trains again gets the same. */
import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { rankPassages } from "../../search/bm25/rank.ts";
import { pretrainingDocument } from "./pretrain.ts";
import { probes } from "./probes.ts";
import { evaluationMix, worldQuestions } from "./questions.ts";
import { makeWorld } from "./world.ts";

function checksum(values: readonly unknown[]): string {
  const hash = createHash("sha256");
  for (const value of values) hash.update(`${JSON.stringify(value)}\n`);
  return hash.digest("hex");
}

const documentsOf = (phase: 1 | 2, seed: number) =>
  Array.from({ length: 250 }, (_, index) => pretrainingDocument({ index, seed, phase, makeSearch: rankPassages }));

test("pretraining reads the same 500 documents", () => {
  expect(checksum(documentsOf(1, 0))).toBe("f01688d2a55a8fea17795b753a61f9be740f26ca413537d9da23dc287f678d7c");
  expect(checksum(documentsOf(2, 7))).toBe("03f4ad2b8e0e05301717a221c99401c6ed79ffc28e86450599ee271bba1bd793");
  expect(checksum(probes(0, 40))).toBe("c95c8df18ae89aaca1a59b0f4897de68a71268e427ed5f95fc438b959b4e9ef5");
});

test.each([
  ["train", "train", 0, "020bbc8250f42c36a542a6fa34eafbc3a9f3b0c421f1f59172b82fcd63c9df17"],
  ["test", "test", 2, "d4eb82b711483b94e7f039f04836df6b97617401568f51ed07732a74cc8e10ed"],
  ["test", "test", 3, "7211187a74d578d7ce6430c24b9282b18915c4e19809218aff22f043d748d2d2"],
] as const)("the %s world of size %s and seed %i has the same passages and questions", (split, size, seed, sum) => {
  const world = makeWorld({ seed, split, size });
  const questions = worldQuestions([world], 500, { seed: 1, mix: evaluationMix });
  expect(checksum([...world.passages, ...questions])).toBe(sum);
});
