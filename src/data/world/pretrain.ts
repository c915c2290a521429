/**
 * @file The pretraining data of the small policy: an endless mixture of short documents about fictional worlds. It
 * teaches to read, to copy names and to guess in the format of a transcript. Correct use of search is rare on purpose
 * (about one transcript in ten, one document in a hundred), so that reinforcement learning has to find and combine it.
 */
import { type Random, randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { directGuess } from "./pretrain-direct.ts";
import { encyclopaedia, notes, pairs, plan, reading } from "./pretrain-reading.ts";
import { ownWeight, type PretrainSegment, type Scene, type Search } from "./pretrain-scene.ts";
import { trace } from "./pretrain-trace.ts";
import { drawQuestion, type QuestionMix } from "./questions.ts";
import { makeWorld, type World } from "./world.ts";

export type DocumentKind = "direct" | "notes" | "reading" | "trace" | "encyclopaedia" | "plan" | "pairs";

/** Shares of the document kinds. The first phase is short reading; without it, copying is learnt late. */
export const mixtures: Readonly<Record<1 | 2, Readonly<Record<DocumentKind, number>>>> = {
  1: { reading: 0.45, pairs: 0.35, direct: 0.08, trace: 0.06, encyclopaedia: 0.04, plan: 0.02, notes: 0 },
  2: { direct: 0.35, notes: 0.22, reading: 0.2, trace: 0.09, encyclopaedia: 0.05, plan: 0.03, pairs: 0.06 },
};

const questionMixes: Readonly<Record<1 | 2, QuestionMix>> = {
  1: { "1-hop": 0.7, "2-hop": 0.25, comparison: 0.05 },
  2: { "1-hop": 0.35, "2-hop": 0.5, comparison: 0.15 },
};

/** A new world after this many documents, so that no fact is worth memorising. */
export const documentsPerWorld = 60;

export interface DocumentAt {
  readonly index: number;
  readonly seed: number;
  readonly phase: 1 | 2;
  readonly makeSearch: (passages: readonly Passage[]) => Search;
}

let latest: { key: string; world: World; search: Search } | undefined;

/** A pure function of its arguments (the last world is cached, since adjacent documents share it). */
export function pretrainingDocument({ index, seed, phase, makeSearch }: DocumentAt): PretrainSegment[] {
  const random = randomOf("pretrain", seed, index);
  const { world, search } = worldAt(seed, Math.floor(index / documentsPerWorld), makeSearch);
  const kind = pickKind(random, mixtures[phase]);
  const question = drawQuestion(world, random, { mix: questionMixes[phase], wordings: "all" });
  const segments = writers[kind]({ world, search, random, question }, phase);
  return [...segments, { text: END_OF_TEXT, template: true, weight: ownWeight }];
}

export const END_OF_TEXT = "<|endoftext|>";

const writers: Readonly<Record<DocumentKind, (scene: Scene, phase: 1 | 2) => PretrainSegment[]>> = {
  direct: directGuess,
  notes,
  reading,
  trace,
  encyclopaedia,
  plan,
  pairs,
};

function worldAt(seed: number, number: number, makeSearch: DocumentAt["makeSearch"]) {
  const key = `${seed}/${number}`;
  if (latest?.key !== key) {
    const world = makeWorld({ seed: seed * 1_000_003 + number, split: "pretrain", size: "small" });
    latest = { key, world, search: makeSearch(world.passages) };
  }
  return latest;
}

function pickKind(random: Random, shares: Readonly<Record<DocumentKind, number>>): DocumentKind {
  let at = random.next();
  for (const [kind, share] of Object.entries(shares) as [DocumentKind, number][]) {
    if (at < share) return kind;
    at -= share;
  }
  return "direct";
}
