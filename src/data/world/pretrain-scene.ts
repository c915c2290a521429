import type { Random } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { WorldQuestion } from "./questions.ts";
import type { World } from "./world.ts";

/** Text with its origin (see protocol/documents.ts), and the loss weight of its tokens. */
export interface PretrainSegment {
  readonly text: string;
  readonly template: boolean;
  readonly weight: number;
}

export type Search = (query: string, k: number) => readonly Passage[];

/** What a document is generated from. */
export interface Scene {
  readonly world: World;
  readonly search: Search;
  readonly random: Random;
  readonly question: WorldQuestion;
}

/** The policy's own text has full weight; names in given text cannot be predicted, so they have less. */
export const ownWeight = 1;
export const givenWeight = 0.2;
export const encyclopaediaWeight = 0.3;
/** A guessed name cannot be predicted either. */
export const guessWeight = 0.3;
