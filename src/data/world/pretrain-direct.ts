import { relations } from "./language.ts";
import { givenWeight, guessWeight, ownWeight, type PretrainSegment, type Scene } from "./pretrain-scene.ts";
import { brokenEndings, closedAnswer, prompt } from "./transcript-text.ts";
import type { Entity } from "./world.ts";

/**
 * An answer without searching: a random name of the right kind. Half of the endings break the format. Only the name
 * itself has a lower loss weight, so that guessing is learnt as often as it occurs in the mixture.
 */
export function directGuess({ world, random, question }: Scene): PretrainSegment[] {
  const guess = guessFor({ world, random, question });
  const opening = random.pick([" I think it is", " Maybe", " It should be", " I am not sure. Maybe"]);
  return [
    { text: prompt(question.text), template: true, weight: givenWeight },
    { text: opening, template: true, weight: ownWeight },
    { text: ` ${guess}`, template: true, weight: guessWeight },
    { text: `.${ending(random, guess)}`, template: true, weight: ownWeight },
  ];
}

/** "yes" or "no", or an entity of the kind that the question asks for. */
export function guessFor({ world, random, question }: Pick<Scene, "world" | "random" | "question">): string {
  if (question.type === "comparison") return random.pick(["yes", "no"]);
  const kind = relations[question.hops.at(-1)!.relation].to;
  return random.pick(world.entities.filter((entity: Entity) => entity.kind === kind)).name;
}

/** Half of all endings in pretraining are malformed, so that RL has to learn the format. */
export function ending(random: Scene["random"], answer: string): string {
  return random.chance(0.5) ? closedAnswer(answer) : random.pick(brokenEndings)(answer);
}
