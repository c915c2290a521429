import { type Random, randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import {
  companyEndings,
  fill,
  fillers,
  type Kind,
  passageTemplates,
  type Relation,
  relations,
  type Wordings,
  worded,
} from "./language.ts";
import { NameMaker, type Split } from "./names.ts";

export interface Entity {
  readonly kind: Kind;
  readonly name: string;
  /** The object of each of its relations. */
  readonly facts: Partial<Record<Relation, Entity>>;
  /** Index of the passage about it. */
  readonly passage: number;
}

export interface World {
  readonly id: string;
  readonly entities: readonly Entity[];
  /** One passage per entity, in the same order. */
  readonly passages: readonly Passage[];
}

/** "noisy" is large, and its names consist of few words, so most share a word with a dozen others. */
export type WorldSize = "small" | "test" | "train" | "noisy";

const counts: Readonly<Record<WorldSize, Readonly<Record<Kind, number>>>> = {
  small: { person: 40, film: 24, company: 14, town: 16, region: 6, river: 6 },
  test: { person: 130, film: 60, company: 50, town: 44, region: 8, river: 8 },
  train: { person: 420, film: 200, company: 150, town: 130, region: 20, river: 20 },
  noisy: { person: 480, film: 160, company: 160, town: 80, region: 10, river: 10 },
};

export interface WorldOptions {
  readonly seed: number;
  readonly split: Split;
  readonly size: WorldSize;
  /** The wordings of the passages; default "all" for pretraining, "usual" otherwise. Names and facts are the same. */
  readonly wordings?: Wordings;
}

/**
 * Makes a world as a pure function of its options. First and last names are shared, so half a name finds the wrong
 * person.
 */
export function makeWorld({ seed, split, size, wordings = defaultWordings(split) }: WorldOptions): World {
  const random = randomOf("world", split, seed, size);
  const names = new NameMaker(random, split);
  const byKind = size === "noisy" ? lookAlikeEntities(random, names) : makeEntities(random, names, counts[size]);
  connect(random, byKind, size === "noisy" ? withoutMixUps : undefined);
  const entities = (Object.keys(counts[size]) as Kind[])
    .flatMap((kind) => byKind[kind])
    .map((entity, passage) => Object.assign(entity, { passage }));
  const id = `${split}-${size}-${seed}${wordings === defaultWordings(split) ? "" : `-${wordings}`}`;
  return { id, entities, passages: entities.map((entity) => passageOf(random, entity, { world: id, wordings })) };
}

const defaultWordings = (split: Split): Wordings => (split === "pretrain" ? "all" : "usual");

type Draft = { kind: Kind; name: string; facts: Partial<Record<Relation, Entity>>; passage: number };

function makeEntities(random: Random, names: NameMaker, count: Readonly<Record<Kind, number>>): Record<Kind, Draft[]> {
  const pool = Math.ceil(count.person / 2);
  const [first, last] = [names.words(pool), names.words(pool)];
  return {
    person: draft("person", fullNames(random, first, { last, count: count.person })),
    film: draft("film", names.words(count.film, 3)),
    company: draft(
      "company",
      names.words(count.company).map((word) => `${word} ${random.pick(companyEndings)}`),
    ),
    town: draft("town", names.words(count.town)),
    region: draft("region", names.words(count.region)),
    river: draft("river", names.words(count.river)),
  };
}

/** Few first and last names for many people; each company shares its name with another one, except for the ending. */
function lookAlikeEntities(random: Random, names: NameMaker): Record<Kind, Draft[]> {
  const count = counts.noisy;
  const [first, last] = [names.words(40), names.words(40)];
  const firms = names.words(count.company / 2).flatMap((word) =>
    random
      .shuffle(companyEndings)
      .map((ending) => `${word} ${ending}`)
      .slice(0, 2),
  );
  return {
    person: draft("person", fullNames(random, first, { last, count: count.person })),
    film: draft("film", names.words(count.film, 3)),
    company: draft("company", firms),
    town: draft("town", names.words(count.town)),
    region: draft("region", names.words(count.region)),
    river: draft("river", names.words(count.river)),
  };
}

function draft(kind: Kind, names: readonly string[]): Draft[] {
  return names.map((name) => ({ kind, name, facts: {}, passage: -1 }));
}

/** Distinct names of two words. */
function fullNames(
  random: Random,
  first: readonly string[],
  { last, count }: { readonly last: readonly string[]; readonly count: number },
): string[] {
  const names = new Set<string>();
  while (names.size < count) names.add(`${random.pick(first)} ${random.pick(last)}`);
  return [...names];
}

function connect(
  random: Random,
  byKind: Record<Kind, Draft[]>,
  arrange: (people: Draft[]) => Draft[] = (people) => people,
): void {
  for (const [relation, { from, to }] of Object.entries(relations) as [Relation, { from: Kind; to: Kind }][]) {
    if (relation === "spouse") continue;
    for (const entity of byKind[from]) entity.facts[relation] = random.pick(byKind[to]);
  }
  const couples = arrange(random.shuffle(byKind.person));
  for (let i = 0; i + 1 < couples.length; i += 2) {
    couples[i]!.facts.spouse = couples[i + 1]!;
    couples[i + 1]!.facts.spouse = couples[i]!;
  }
}

/**
 * Adjacent people marry. The passages of "Ada Bell" and "Cora Dunn" together contain the words "Ada Dunn". If such a
 * person exists, no search could distinguish their passage from these two, so another partner is chosen.
 */
function withoutMixUps(people: readonly Draft[]): Draft[] {
  const names = new Set(people.map(({ name }) => name));
  const mixUp = (a: Draft, b: Draft) => {
    const [[first, last], [otherFirst, otherLast]] = [a.name.split(" "), b.name.split(" ")];
    return names.has(`${first} ${otherLast}`) || names.has(`${otherFirst} ${last}`);
  };
  const waiting = [...people];
  const couples: Draft[] = [];
  while (waiting.length > 1) {
    const one = waiting.shift()!;
    const at = Math.max(
      0,
      waiting.findIndex((other) => !mixUp(one, other)),
    );
    couples.push(one, ...waiting.splice(at, 1));
  }
  return couples;
}

function passageOf(
  random: Random,
  entity: Entity,
  { world, wordings }: { readonly world: string; readonly wordings: Wordings },
): Passage {
  const template = random.pick(worded(passageTemplates[entity.kind], wordings));
  const values: Record<string, string> = { x: entity.name, filler: random.pick(fillers[entity.kind]) };
  for (const [relation, object] of Object.entries(entity.facts)) values[relation] = object.name;
  return { id: `${world}/${entity.passage}`, title: entity.name, text: fill(template, values) };
}
