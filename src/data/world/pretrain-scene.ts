import type { Random } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import type { WorldQuestion } from "./questions.ts";
import type { World } from "./world.ts";

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

/** Own text counts in full; names in given text are noise that nobody could predict. */
export const ownWeight = 1;
export const givenWeight = 0.2;
export const encyclopaediaWeight = 0.3;
/** A guessed name is noise as well. */
export const guessWeight = 0.3;
