import { ConfigError } from "../../base/errors.ts";
import { randomOf } from "../../base/random.ts";
import { drawQuestion } from "../../data/world/questions.ts";
import type { World } from "../../data/world/world.ts";
import type { Question } from "../../protocol/question.ts";
import type { QuestionSource } from "../../rl/curriculum.ts";
import type { RecipeStage } from "../recipe/recipe-stage.ts";

/**
 * New questions over fictional worlds at every step, in the shares of the stage's mix; no two of a step are alike.
 *
 * @throws ConfigError, from the source, where a stage has no mix or the worlds hold too few questions
 */
export function worldSource(worlds: readonly World[], seed: number): QuestionSource<RecipeStage> {
  return ({ step, stage, count }) => {
    const { mix } = stage;
    if (!mix || Object.values(mix).every((share) => !share)) {
      throw new ConfigError(`stage "${stage.name}" has no mix of question types`, {
        hint: "for example mix: { 1-hop: 0.5, 2-hop: 0.5 }",
      });
    }
    const random = randomOf(seed, "questions", stage.name, step);
    const seen = new Set<string>();
    const questions: Question[] = [];
    for (let tries = 0; questions.length < count; tries++) {
      if (tries > 100 * count)
        throw new ConfigError(`the worlds hold fewer than ${count} different questions of stage "${stage.name}"`);
      const world = worlds[(step * count + questions.length) % worlds.length]!;
      const { text, answer, type } = drawQuestion(world, random, { mix });
      if (seen.has(text)) continue;
      seen.add(text);
      questions.push({ id: `${world.id}/${step}-${questions.length}`, text, gold: [answer], type, source: world.id });
    }
    return questions;
  };
}
