import { type Random, randomOf } from "../../base/random.ts";
import type { Question } from "../../protocol/question.ts";
import { comparison, descriptions, fill, hopPairs, type Relation, relations } from "./language.ts";
import type { Entity, World } from "./world.ts";

export type QuestionType = "1-hop" | "2-hop" | "comparison";

/** Shares of the types; they need not add up to 1. */
export type QuestionMix = Readonly<Record<QuestionType, number>>;

/** What a held-out set is made of. */
export const evaluationMix: QuestionMix = { "1-hop": 0.3, "2-hop": 0.55, comparison: 0.15 };

/** One look-up that a question needs: find `relation` of `subject`. */
export interface Hop {
  readonly subject: Entity;
  readonly relation: Relation;
  readonly object: Entity;
}

/** A question with the look-ups that answer it. */
export interface WorldQuestion {
  readonly type: QuestionType;
  readonly text: string;
  readonly hops: readonly Hop[];
  readonly answer: string;
}

export interface DrawOptions {
  readonly mix: QuestionMix;
  /** Also use the wordings that only pretraining meets. */
  readonly rare?: boolean;
}

export function drawQuestion(world: World, random: Random, { mix, rare = false }: DrawOptions): WorldQuestion {
  const type = pickType(random, mix);
  switch (type) {
    case "1-hop":
      return oneHop(world, random, rare);
    case "2-hop":
      return twoHop(world, random, rare);
    case "comparison":
      return compare(world, random, rare);
  }
}

/**
 * Different questions over worlds, each world in turn. A pure function of its arguments.
 * @throws Error where the worlds do not hold as many different questions
 */
export function worldQuestions(
  worlds: readonly World[],
  count: number,
  { seed, mix }: { readonly seed: number; readonly mix: QuestionMix },
): Question[] {
  const random = randomOf("questions", seed, ...worlds.map(({ id }) => id));
  const seen = new Set<string>();
  const questions: Question[] = [];
  for (let tries = 0; questions.length < count; tries++) {
    if (tries > 100 * count) throw new Error(`the worlds hold fewer than ${count} different questions`);
    const world = worlds[questions.length % worlds.length]!;
    const { text, answer, type } = drawQuestion(world, random, { mix });
    if (seen.has(text)) continue;
    seen.add(text);
    questions.push({ id: `${world.id}/q${seed}-${questions.length}`, text, gold: [answer], type, source: world.id });
  }
  return questions;
}

function pickType(random: Random, mix: QuestionMix): QuestionType {
  const types = Object.entries(mix) as [QuestionType, number][];
  let at = random.next() * types.reduce((sum, [, share]) => sum + share, 0);
  for (const [type, share] of types) {
    if (at < share) return type;
    at -= share;
  }
  return types[0]![0];
}

function ask(random: Random, relation: Relation, x: string, rare: boolean): string {
  const { questions, rareQuestions } = relations[relation];
  return fill(random.pick(rare ? [...questions, ...rareQuestions] : questions), { x });
}

function hop(subject: Entity, relation: Relation): Hop | undefined {
  const object = subject.facts[relation];
  return object && { subject, relation, object };
}

/** An entity that a relation starts from, with where it leads. */
function drawHop(world: World, random: Random, relation: Relation): Hop {
  for (;;) {
    const entity = random.pick(world.entities);
    const found = entity.kind === relations[relation].from ? hop(entity, relation) : undefined;
    if (found) return found;
  }
}

function oneHop(world: World, random: Random, rare: boolean): WorldQuestion {
  const found = drawHop(world, random, random.pick(Object.keys(relations) as Relation[]));
  return {
    type: "1-hop",
    text: ask(random, found.relation, found.subject.name, rare),
    hops: [found],
    answer: found.object.name,
  };
}

function twoHop(world: World, random: Random, rare: boolean): WorldQuestion {
  for (;;) {
    const [firstRelation, secondRelation] = random.pick(hopPairs);
    const first = drawHop(world, random, firstRelation);
    const second = hop(first.object, secondRelation);
    if (!second) continue;
    const described = fill(descriptions[firstRelation], { x: first.subject.name });
    return {
      type: "2-hop",
      text: ask(random, secondRelation, described, rare),
      hops: [first, second],
      answer: second.object.name,
    };
  }
}

function compare(world: World, random: Random, rare: boolean): WorldQuestion {
  const same = random.chance(0.5);
  for (;;) {
    const first = drawHop(world, random, "birthplace");
    const second = drawHop(world, random, "birthplace");
    if (first.subject === second.subject || (first.object === second.object) !== same) continue;
    const template = random.pick(rare ? [...comparison.questions, ...comparison.rareQuestions] : comparison.questions);
    const text = fill(template, { x: first.subject.name, y: second.subject.name });
    return { type: "comparison", text, hops: [first, second], answer: same ? "yes" : "no" };
  }
}
