/** @file Documents that teach reading: passages are given and nothing is searched for. */
import type { Random } from "../../base/random.ts";
import type { Passage } from "../../protocol/passage.ts";
import { encyclopaediaWeight, givenWeight, ownWeight, type PretrainSegment, type Scene } from "./pretrain-scene.ts";
import type { Hop, WorldQuestion } from "./questions.ts";
import { closedAnswer, documents, fact, need } from "./transcript-text.ts";
import type { World } from "./world.ts";

export const given = (text: string): PretrainSegment => ({ text, template: false, weight: givenWeight });
export const own = (text: string): PretrainSegment => ({ text, template: true, weight: ownWeight });

/** Documents as search would write them; this is given text, not the policy's own. */
export function givenDocuments(passages: readonly Passage[]): PretrainSegment[] {
  return documents(passages).map((segment) => ({ ...segment, weight: givenWeight }));
}

export function passageOf(world: World, { subject }: Hop): Passage {
  return world.passages[subject.passage]!;
}

export const factsOf = (question: WorldQuestion): string =>
  question.hops.map(({ subject, relation, object }) => fact(relation, subject.name, object.name)).join("");

/** The passages a question needs and up to two others, shuffled. */
function withDistractors(scene: Scene, most: number): Passage[] {
  const { world, random, question } = scene;
  const needed = question.hops.map((hop) => passageOf(world, hop));
  const others = Array.from({ length: random.int(most + 1) }, () => random.pick(world.passages));
  return random.shuffle([...new Set([...needed, ...others])]);
}

/** Passages, then a question, then its answer; usually with the facts spelled out before. */
export function reading(scene: Scene, phase: 1 | 2): PretrainSegment[] {
  const { random, question } = scene;
  const passages = withDistractors(scene, phase === 1 ? 1 : 2);
  const lines = passages.map(({ text }, i) => `(${i + 1}) ${text}\n`).join("");
  const asTool = random.chance(0.5);
  const thought = random.chance(0.8) ? factsOf(question) : "";
  const answer = asTool ? closedAnswer(question.answer) : ` The answer is ${question.answer}.`;
  return [given(`Read:\n${lines}`), given(`Question: ${question.text}\n`), own(thought + answer)];
}

/** Documents in two batches, between the tags of search but without a query; a fact is noted after each. */
export function notes({ world, random, question }: Scene): PretrainSegment[] {
  const segments: PretrainSegment[] = [given(`Question: ${question.text}\nNotes:`)];
  for (const hop of question.hops) {
    const others = [random.pick(world.passages)].filter((passage) => passage !== passageOf(world, hop));
    segments.push(
      ...givenDocuments(random.shuffle([passageOf(world, hop), ...others])),
      own(fact(hop.relation, hop.subject.name, hop.object.name)),
    );
  }
  segments.push(own(` Answer: ${question.answer}`));
  return segments;
}

/**
 * Pairs of names, then the same pairs in another order: continuing them means to look up which name followed before.
 * Nothing else teaches a small model to copy as quickly; it contains no fact and no question.
 */
export function pairs({ world, random }: Scene): PretrainSegment[] {
  const names = random
    .shuffle(world.entities)
    .slice(0, 2 * (2 + random.int(5)))
    .map(({ name }) => name);
  const couples = Array.from({ length: names.length / 2 }, (_, i) => ` ${names[2 * i]} and ${names[2 * i + 1]}.`);
  return [
    { text: `Pairs:${couples.join("")}`, template: false, weight: encyclopaediaWeight },
    own(`\nAgain:${random.shuffle(couples).join("")}${random.shuffle(couples).join("")}`),
  ];
}

/** Linked passages of the world, one after another. */
export function encyclopaedia({ world, random }: Scene): PretrainSegment[] {
  const lines: string[] = [];
  let entity = random.pick(world.entities);
  for (let i = 0; i < 4; i++) {
    lines.push(world.passages[entity.passage]!.text);
    const linked = Object.values(entity.facts);
    entity = linked.length > 0 && random.chance(0.8) ? random.pick(linked) : random.pick(world.entities);
  }
  return [{ text: lines.map((line) => ` ${line}`).join(""), template: false, weight: encyclopaediaWeight }];
}

/** A list of the facts that would have to be found, in order. */
export function plan({ question }: Scene): PretrainSegment[] {
  const [first, ...rest] = question.hops.map(({ relation, subject }) => need(relation, subject.name));
  return [given(`Question: ${question.text}\nPlan:`), own([first, ...rest].join(""))];
}

/** A person who shares a name with another one, or any entity if there is none. */
export function lookAlike(world: World, random: Random, hop: Hop): string {
  const words = hop.subject.name.split(" ");
  const alike = world.entities.filter(
    ({ name, kind }) =>
      kind === hop.subject.kind && name !== hop.subject.name && words.some((word) => name.includes(word)),
  );
  return random.pick(alike.length > 0 ? alike : world.entities).name;
}
