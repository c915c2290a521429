import { expect, test } from "vitest";
import { randomOf } from "../../base/random.ts";
import { rankPassages } from "../../search/bm25/rank.ts";
import { comparison, descriptions, hopTriples, passageTemplates, type Relation, relations } from "./language.ts";
import { splitOf } from "./names.ts";
import { drawQuestion, evaluationMix, type WorldQuestion, worldQuestions } from "./questions.ts";
import { splitQuestions, splitTraits, splitWorlds, worldSplits } from "./splits.ts";
import { makeWorld, type World } from "./world.ts";

const seeds = [1, 2001];

test.each(worldSplits)("%s asks the same 500 different questions again, other ones for another seed", (split) => {
  const ask = (seed: number) =>
    splitWorlds(split, seed).flatMap((world) => splitQuestions(split, world, { seed, count: 250 }));
  const questions = ask(1);
  expect(ask(1)).toEqual(questions);
  expect(new Set(questions.map(({ id }) => id)).size).toBe(500);
  const texts = new Set(questions.map(({ text }) => text));
  expect(texts.size).toBeGreaterThan(495);
  expect(ask(2).filter(({ text }) => texts.has(text)).length).toBeLessThan(10);
});

test("iid is what evaluation always was", () => {
  const [world] = splitWorlds("iid", 1);
  expect(world).toEqual(makeWorld({ seed: 2, split: "test", size: "test" }));
  expect(splitQuestions("iid", world!, { seed: 1, count: 50 })).toEqual(
    worldQuestions([world!], 50, { seed: 1, mix: evaluationMix }),
  );
});

test("every name is of the test split, which training and pretraining never meet", () => {
  const endings = new Set(["Works", "Labs", "Group"]);
  for (const split of worldSplits)
    for (const { entities } of splitWorlds(split, 1))
      for (const word of entities.flatMap(({ name }) => name.split(" ")))
        if (!endings.has(word)) expect(splitOf(word)).toBe("test");
  const train = makeWorld({ seed: 0, split: "train", size: "train" }).entities.flatMap(({ name }) => name.split(" "));
  expect(train.every((word) => endings.has(word) || splitOf(word) === "train")).toBe(true);
});

test("all names of a world differ, and no world has the names of another", () => {
  for (const split of worldSplits) {
    const names = splitWorlds(split, 1).map(({ entities }) => new Set(entities.map(({ name }) => name)));
    for (const [i, world] of splitWorlds(split, 1).entries()) expect(names[i]!.size).toBe(world.entities.length);
    const [one, other] = names as [Set<string>, Set<string>];
    expect([...one].filter((name) => other.has(name)).length / one.size).toBeLessThan(0.1);
  }
});

/** Whose passage each look-up needs, with the query that asks for it best. */
function rankOfNeeded(world: World, questions: readonly WorldQuestion[]): number[] {
  const rank = rankPassages(world.passages);
  return questions.flatMap(({ hops }) =>
    hops.map(({ subject, relation }) => {
      const needed = world.passages[subject.passage]!.id;
      return rank(`${subject.name} ${relation}`, 2).findIndex(({ id }) => id === needed);
    }),
  );
}

test.each(worldSplits)("%s can be solved: an ideal query finds the needed passage among the first two", (split) => {
  const { mix, wordings } = splitTraits[split];
  for (const seed of seeds)
    for (const world of splitWorlds(split, seed)) {
      const random = randomOf("solvable", split, seed);
      const questions = Array.from({ length: 250 }, () => drawQuestion(world, random, { mix, wordings }));
      const ranks = rankOfNeeded(world, questions);
      expect(ranks.filter((rank) => rank < 0)).toEqual([]);
      expect(ranks.filter((rank) => rank === 0).length / ranks.length).toBeGreaterThan(0.95);
    }
});

const name = "[A-Z][a-z]+(?: [A-Z][a-z]+)?";
const described = `(?:(?:${Object.values(descriptions)
  .map((text) => text.replace(" {x}", ""))
  .join("|")}) )*${name}`;
const pattern = (template: string, x: string) =>
  new RegExp(
    `^${template
      .replace(/[.?]/g, "\\$&")
      .replace(/\{[xy]\}/g, x)
      .replace("{filler}", "[a-z]+")
      .replace(/\{\w+\}/g, name)}$`,
  );

const rareQuestions = [
  ...Object.values(relations).flatMap((relation) => relation.rareQuestions),
  ...comparison.rareQuestions,
].map((template) => pattern(template, described));
const rarePassages = Object.values(passageTemplates)
  .flatMap(({ rare }) => rare)
  .map((template) => pattern(template, name));
const isOf = (patterns: readonly RegExp[], text: string) => patterns.some((wording) => wording.test(text));

test("templates asks and answers in the held-out wordings only, and uses all of them", () => {
  const worlds = splitWorlds("templates", 1);
  const texts = worlds
    .flatMap((world) => splitQuestions("templates", world, { seed: 1, count: 250 }))
    .map(({ text }) => text);
  expect(texts.filter((text) => !isOf(rareQuestions, text))).toEqual([]);
  const passages = worlds.flatMap((world) => world.passages.map(({ text }) => text));
  expect(passages.filter((text) => !isOf(rarePassages, text))).toEqual([]);
  for (const wording of rareQuestions) expect(texts.some((text) => wording.test(text))).toBe(true);
  for (const wording of rarePassages) expect(passages.some((text) => wording.test(text))).toBe(true);
});

test("no question or passage of RL is worded as in templates", () => {
  const world = makeWorld({ seed: 0, split: "train", size: "train" });
  expect(world.passages.filter(({ text }) => isOf(rarePassages, text))).toEqual([]);
  const mix = { "1-hop": 1, "2-hop": 1, comparison: 1, "3-hop": 1 };
  const questions = worldQuestions([world], 3000, { seed: 0, mix });
  expect(questions.filter(({ text }) => isOf(rareQuestions, text))).toEqual([]);
});

test("templates tells the same facts as iid", () => {
  const facts = ({ entities }: World) =>
    entities.map(({ name, facts }) => [name, ...Object.entries(facts).map(([relation, { name }]) => [relation, name])]);
  expect(splitWorlds("templates", 1).map(facts)).toEqual(splitWorlds("iid", 1).map(facts));
});

/** How many others of a world share a word with each person or company, on average. */
function sharing({ entities }: World): number {
  const named = entities.filter(({ kind }) => kind === "person" || kind === "company");
  const count = new Map<string, number>();
  for (const { name } of named) for (const word of name.split(" ")) count.set(word, (count.get(word) ?? 0) + 1);
  const people = named.filter(({ kind }) => kind === "person");
  const others = people.flatMap(({ name }) => name.split(" ").map((word) => count.get(word)! - 1));
  return others.reduce((sum, n) => sum + n, 0) / people.length;
}

test("noisy has three times the passages, and names that many others share a word of", () => {
  const [iid, noisy] = [splitWorlds("iid", 1)[0]!, splitWorlds("noisy", 1)[0]!];
  expect(noisy.passages.length).toBe(3 * iid.passages.length);
  expect(sharing(iid)).toBeLessThan(5);
  expect(sharing(noisy)).toBeGreaterThan(20);
});

test("3-hop questions need three look-ups, each from where the last one led, and nothing else is asked so", () => {
  expect(hopTriples).toHaveLength(8);
  const world = splitWorlds("3-hop", 1)[0]!;
  const random = randomOf("three");
  const seen = new Set<string>();
  for (let i = 0; i < 1000; i++) {
    const { hops, answer, text, type } = drawQuestion(world, random, { mix: splitTraits["3-hop"].mix });
    expect(type).toBe("3-hop");
    expect(hops).toHaveLength(3);
    for (const [at, { subject, relation, object }] of hops.entries()) {
      expect(subject.facts[relation]).toBe(object);
      if (at > 0) expect(subject).toBe(hops[at - 1]!.object);
    }
    expect(answer).toBe(hops[2]!.object.name);
    expect(text).toContain(hops[0]!.subject.name);
    for (const { subject } of hops.slice(1)) expect(text).not.toContain(subject.name);
    seen.add(hops.map(({ relation }) => relation).join(" "));
  }
  expect(seen).toEqual(new Set(hopTriples.map((triple) => triple.join(" "))));
  const pairs: readonly Relation[][] = hopTriples.map((triple) => [...triple]);
  expect(pairs.some(([a, b, c]) => (a === "spouse" && b === "spouse") || (b === "spouse" && c === "spouse"))).toBe(
    false,
  );
});
