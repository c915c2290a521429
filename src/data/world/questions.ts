import { type Random, randomOf } from "../../base/random.ts";
import type { Question } from "../../protocol/question.ts";
import {
  comparison,
  descriptions,
  fill,
  hopPairs,
  hopTriples,
  type Relation,
  relations,
  type Wordings,
  worded,
} from "./language.ts";
import type { Entity, World } from "./world.ts";

export type QuestionType = "1-hop" | "2-hop" | "comparison" | "3-hop";

/** Relative shares of the types; they need not add up to 1. */
export type QuestionMix = Readonly<Record<Exclude<QuestionType, "3-hop">, number>> & {
  /** Needs one search more than any question of pretraining or of the usual recipes. */
  readonly "3-hop"?: number | undefined;
};

/** The mix of held-out questions. */
export const evaluationMix: QuestionMix = { "1-hop": 0.3, "2-hop": 0.55, comparison: 0.15 };

/** One look-up that a question requires: the `relation` of `subject`. */
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
  /** Default "usual": the wordings that RL uses. */
  readonly wordings?: Wordings;
}

export function drawQuestion(world: World, random: Random, { mix, wordings = "usual" }: DrawOptions): WorldQuestion {
  const type = pickType(random, mix);
  switch (type) {
    case "1-hop":
      return oneHop(world, random, wordings);
    case "2-hop":
      return chain(world, random, { type, relations: hopPairs, wordings });
    case "3-hop":
      return chain(world, random, { type, relations: hopTriples, wordings });
    case "comparison":
      return compare(world, random, wordings);
  }
}

/**
 * Draws distinct questions over worlds, taking the worlds in turn. A pure function of its arguments.
 * @throws Error if the worlds do not have that many distinct questions
 */
export function worldQuestions(
  worlds: readonly World[],
  count: number,
  { seed, ...draw }: DrawOptions & { readonly seed: number },
): Question[] {
  const random = randomOf("questions", seed, ...worlds.map(({ id }) => id));
  const seen = new Set<string>();
  const questions: Question[] = [];
  for (let tries = 0; questions.length < count; tries++) {
    if (tries > 100 * count) throw new Error(`the worlds hold fewer than ${count} different questions`);
    const world = worlds[questions.length % worlds.length]!;
    const { text, answer, type } = drawQuestion(world, random, draw);
    if (seen.has(text)) continue;
    seen.add(text);
    questions.push({ id: `${world.id}/q${seed}-${questions.length}`, text, gold: [answer], type, source: world.id });
  }
  return questions;
}

function pickType(random: Random, mix: QuestionMix): QuestionType {
  const types = (Object.entries(mix) as [QuestionType, number | undefined][]).map(
    ([type, share = 0]) => [type, share] as const,
  );
  let at = random.next() * types.reduce((sum, [, share]) => sum + share, 0);
  for (const [type, share] of types) {
    if (at < share) return type;
    at -= share;
  }
  return types[0]![0];
}

function ask(random: Random, relation: Relation, x: string, wordings: Wordings): string {
  const { questions: usual, rareQuestions: rare } = relations[relation];
  return fill(random.pick(worded({ usual, rare }, wordings)), { x });
}

function hop(subject: Entity, relation: Relation): Hop | undefined {
  const object = subject.facts[relation];
  return object && { subject, relation, object };
}

/** An entity at which a relation starts, with the relation's object. */
function drawHop(world: World, random: Random, relation: Relation): Hop {
  for (;;) {
    const entity = random.pick(world.entities);
    const found = entity.kind === relations[relation].from ? hop(entity, relation) : undefined;
    if (found) return found;
  }
}

function oneHop(world: World, random: Random, wordings: Wordings): WorldQuestion {
  const found = drawHop(world, random, random.pick(Object.keys(relations) as Relation[]));
  return {
    type: "1-hop",
    text: ask(random, found.relation, found.subject.name, wordings),
    hops: [found],
    answer: found.object.name,
  };
}

/** Each hop starts at the object of the previous one. */
function chain(
  world: World,
  random: Random,
  options: {
    readonly type: "2-hop" | "3-hop";
    readonly relations: readonly (readonly [Relation, ...Relation[]])[];
    readonly wordings: Wordings;
  },
): WorldQuestion {
  for (;;) {
    const [firstRelation, ...laterRelations] = random.pick(options.relations);
    const hops = [drawHop(world, random, firstRelation)];
    for (const relation of laterRelations) {
      const next = hop(hops.at(-1)!.object, relation);
      if (next) hops.push(next);
    }
    const last = hops.at(-1)!;
    if (hops.length <= laterRelations.length) continue;
    const described = hops
      .slice(0, -1)
      .reduce((x, { relation }) => fill(descriptions[relation], { x }), hops[0]!.subject.name);
    return {
      type: options.type,
      text: ask(random, last.relation, described, options.wordings),
      hops,
      answer: last.object.name,
    };
  }
}

function compare(world: World, random: Random, wordings: Wordings): WorldQuestion {
  const same = random.chance(0.5);
  for (;;) {
    const first = drawHop(world, random, "birthplace");
    const second = drawHop(world, random, "birthplace");
    if (first.subject === second.subject || (first.object === second.object) !== same) continue;
    const { questions: usual, rareQuestions: rare } = comparison;
    const template = random.pick(worded({ usual, rare }, wordings));
    const text = fill(template, { x: first.subject.name, y: second.subject.name });
    return { type: "comparison", text, hops: [first, second], answer: same ? "yes" : "no" };
  }
}
