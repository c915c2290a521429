/**
 * @file What the small policy reads before any reward: an endless mixture of short documents about fictional worlds.
 * It teaches to read, to copy names and to guess in the format of a transcript. Correct use of search is kept rare
 * on purpose (about one trace in ten, one document in a hundred): reinforcement is to find and compose it.
 */
import { type Random, randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { directGuess } from "./pretrain-direct.ts";
import { encyclopaedia, notes, plan, reading } from "./pretrain-reading.ts";
import { trace } from "./pretrain-trace.ts";
import { drawQuestion, type QuestionMix, type WorldQuestion } from "./questions.ts";
import { makeWorld, type World } from "./world.ts";

/** Text with its origin (see protocol/documents.ts) and the weight of its tokens in the loss. */
export interface PretrainSegment {
  readonly text: string;
  readonly template: boolean;
  readonly weight: number;
}

export type Search = (query: string, k: number) => readonly Passage[];

/** What a document is written from. */
export interface Scene {
  readonly world: World;
  readonly search: Search;
  readonly random: Random;
  readonly question: WorldQuestion;
}

export type DocumentKind = "direct" | "notes" | "reading" | "trace" | "encyclopaedia" | "plan";

/** Own text counts in full; names in given text are noise that nobody could predict. */
export const ownWeight = 1;
export const givenWeight = 0.2;
export const encyclopaediaWeight = 0.3;

/** Shares of the documents. The first phase is short reading: without it, copying is learnt late. */
export const mixtures: Readonly<Record<1 | 2, Readonly<Record<DocumentKind, number>>>> = {
  1: { reading: 0.75, direct: 0.1, trace: 0.08, encyclopaedia: 0.05, plan: 0.02, notes: 0 },
  2: { direct: 0.4, notes: 0.22, reading: 0.2, trace: 0.09, encyclopaedia: 0.06, plan: 0.03 },
};

const questionMixes: Readonly<Record<1 | 2, QuestionMix>> = {
  1: { "1-hop": 0.7, "2-hop": 0.25, comparison: 0.05 },
  2: { "1-hop": 0.35, "2-hop": 0.5, comparison: 0.15 },
};

/** A new world this often, so that no fact is worth remembering. */
export const documentsPerWorld = 60;

export interface DocumentAt {
  readonly index: number;
  readonly seed: number;
  readonly phase: 1 | 2;
  readonly makeSearch: (passages: readonly Passage[]) => Search;
}

let latest: { key: string; world: World; search: Search } | undefined;

/** A pure function of its arguments (the last world is kept, since neighbours share it). */
export function pretrainingDocument({ index, seed, phase, makeSearch }: DocumentAt): PretrainSegment[] {
  const random = randomOf("pretrain", seed, index);
  const { world, search } = worldAt(seed, Math.floor(index / documentsPerWorld), makeSearch);
  const kind = pickKind(random, mixtures[phase]);
  const question = drawQuestion(world, random, { mix: questionMixes[phase], rare: true });
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
