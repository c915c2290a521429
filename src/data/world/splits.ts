/** @file Test questions that differ from those of training, each split in one respect. */

import type { Question } from "../../protocol/question.ts";
import type { Wordings } from "./language.ts";
import { evaluationMix, type QuestionMix, worldQuestions } from "./questions.ts";
import { makeWorld, type World, type WorldSize } from "./world.ts";

export const worldSplits = ["iid", "templates", "noisy", "3-hop"] as const;
export type WorldSplit = (typeof worldSplits)[number];

export interface SplitTraits {
  readonly size: WorldSize;
  readonly wordings: Wordings;
  readonly mix: QuestionMix;
  /** Minimum number of searches that an attempt may make, whatever the policy was trained with. */
  readonly leastSearches: number;
}

const iid: SplitTraits = { size: "test", wordings: "usual", mix: evaluationMix, leastSearches: 0 };

/**
 * "iid": new names and facts, as in training. "templates": questions and passages in wordings that RL does not use,
 * although pretraining did. "noisy": many more passages, whose names share words. "3-hop": one search more than any
 * trained question; as in training, an attempt may search once more than necessary.
 */
export const splitTraits: Readonly<Record<WorldSplit, SplitTraits>> = {
  iid,
  templates: { ...iid, wordings: "rare" },
  noisy: { ...iid, size: "noisy" },
  "3-hop": { ...iid, mix: { "1-hop": 0, "2-hop": 0, comparison: 0, "3-hop": 1 }, leastSearches: 4 },
};

/** Two unseen worlds per seed; different seeds never share a world. */
export function splitWorlds(split: WorldSplit, seed: number): World[] {
  const { size, wordings } = splitTraits[split];
  return [2 * seed, 2 * seed + 1].map((world) => makeWorld({ seed: world, split: "test", size, wordings }));
}

export function splitQuestions(
  split: WorldSplit,
  world: World,
  { seed, count }: { readonly seed: number; readonly count: number },
): Question[] {
  const { mix, wordings } = splitTraits[split];
  return worldQuestions([world], count, { seed, mix, wordings });
}
