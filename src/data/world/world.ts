import { type Random, randomOf } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { companyEndings, fill, fillers, type Kind, passageTemplates, type Relation, relations } from "./language.ts";
import { NameMaker, type Split } from "./names.ts";

export interface Entity {
  readonly kind: Kind;
  readonly name: string;
  /** What each of its relations leads to. */
  readonly facts: Partial<Record<Relation, Entity>>;
  /** Index of its passage. */
  readonly passage: number;
}

export interface World {
  readonly id: string;
  readonly entities: readonly Entity[];
  /** One for each entity, in the same order. */
  readonly passages: readonly Passage[];
}

export type WorldSize = "small" | "test" | "train";

const counts: Readonly<Record<WorldSize, Readonly<Record<Kind, number>>>> = {
  small: { person: 40, film: 24, company: 14, town: 16, region: 6, river: 6 },
  test: { person: 130, film: 60, company: 50, town: 44, region: 8, river: 8 },
  train: { person: 420, film: 200, company: 150, town: 130, region: 20, river: 20 },
};

export interface WorldOptions {
  readonly seed: number;
  readonly split: Split;
  readonly size: WorldSize;
}

/** A world is a pure function of its options. First and last names collide, so half a name finds the wrong person. */
export function makeWorld({ seed, split, size }: WorldOptions): World {
  const random = randomOf("world", split, seed, size);
  const byKind = makeEntities(random, new NameMaker(random, split), counts[size]);
  connect(random, byKind);
  const entities = (Object.keys(counts[size]) as Kind[])
    .flatMap((kind) => byKind[kind])
    .map((entity, passage) => Object.assign(entity, { passage }));
  const id = `${split}-${size}-${seed}`;
  return { id, entities, passages: entities.map((entity) => passageOf(random, entity, { world: id, split })) };
}

type Draft = { kind: Kind; name: string; facts: Partial<Record<Relation, Entity>>; passage: number };

function makeEntities(random: Random, names: NameMaker, count: Readonly<Record<Kind, number>>): Record<Kind, Draft[]> {
  const draft = (kind: Kind, list: readonly string[]) =>
    list.map((name): Draft => ({ kind, name, facts: {}, passage: -1 }));
  const pool = Math.ceil(count.person / 2);
  const [first, last] = [names.words(pool), names.words(pool)];
  const people = new Set<string>();
  while (people.size < count.person) people.add(`${random.pick(first)} ${random.pick(last)}`);
  return {
    person: draft("person", [...people]),
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

function connect(random: Random, byKind: Record<Kind, Draft[]>): void {
  for (const [relation, { from, to }] of Object.entries(relations) as [Relation, { from: Kind; to: Kind }][]) {
    if (relation === "spouse") continue;
    for (const entity of byKind[from]) entity.facts[relation] = random.pick(byKind[to]);
  }
  const couples = random.shuffle(byKind.person);
  for (let i = 0; i + 1 < couples.length; i += 2) {
    couples[i]!.facts.spouse = couples[i + 1]!;
    couples[i + 1]!.facts.spouse = couples[i]!;
  }
}

function passageOf(
  random: Random,
  entity: Entity,
  { world, split }: { readonly world: string; readonly split: Split },
): Passage {
  const { usual, rare } = passageTemplates[entity.kind];
  const template = random.pick(split === "pretrain" ? [...usual, ...rare] : usual);
  const values: Record<string, string> = { x: entity.name, filler: random.pick(fillers[entity.kind]) };
  for (const [relation, object] of Object.entries(entity.facts)) values[relation] = object.name;
  return { id: `${world}/${entity.passage}`, title: entity.name, text: fill(template, values) };
}
