/**
 * @file Transcripts of unskilled searching. Each step fails so often that about one transcript in ten is right and well
 * formed throughout: correct behaviour is rare here, and the reward reinforces it later.
 */
import { ending, guessFor } from "./pretrain-direct.ts";
import { givenDocuments, lookAlike, own, passageOf } from "./pretrain-reading.ts";
import { givenWeight, type PretrainSegment, type Scene } from "./pretrain-scene.ts";
import type { Hop } from "./questions.ts";
import { closedQuery, fact, need, openQuery, prompt } from "./transcript-text.ts";

/** Probabilities of doing each step well. */
export const skill = {
  saysNeed: 0.7,
  queryBoth: 0.45,
  queryEntity: 0.15,
  queryPartial: 0.1,
  leavesOpen: 0.06,
  reads: 0.6,
  continues: 0.6,
} as const;

const maxSearches = 3;
const topK = 2;

export function trace(scene: Scene): PretrainSegment[] {
  const { random, question } = scene;
  const segments: PretrainSegment[] = [{ text: prompt(question.text), template: true, weight: givenWeight }];
  let hopIndex = 0;
  let believed: string | undefined;
  for (let search = 0; search < maxSearches; search++) {
    const hop = question.hops[hopIndex]!;
    const words = queryWords(scene, hop);
    const lead = random.chance(skill.saysNeed) ? need(hop.relation, hop.subject.name) : "";
    if (random.chance(skill.leavesOpen)) {
      segments.push(own(lead + openQuery(words)));
      return segments;
    }
    const found = scene.search(words, topK);
    segments.push(own(lead + closedQuery(words)), ...givenDocuments(found));
    const wasFound =
      found.includes(passageOf(scene.world, hop)) || found.some(({ title }) => title === hop.subject.name);
    const read = readFound(scene, hop, wasFound);
    if (read === "again") continue;
    segments.push(own(read.text));
    believed = read.believed;
    const isLast = hopIndex === question.hops.length - 1;
    if (isLast || !read.right || !random.chance(skill.continues)) break;
    hopIndex++;
  }
  segments.push(own(ending(random, finalAnswer(scene, { hopIndex, believed }))));
  return segments;
}

function queryWords({ world, random }: Scene, hop: Hop): string {
  const at = random.next();
  const { queryBoth, queryEntity, queryPartial } = skill;
  if (at < queryBoth) return `${hop.subject.name} ${hop.relation}`;
  if (at < queryBoth + queryEntity) return hop.subject.name;
  if (at < queryBoth + queryEntity + queryPartial)
    return random.pick([hop.subject.name.split(" ").at(-1)!, hop.relation]);
  return random.pick([
    `${lookAlike(world, random, hop)} ${hop.relation}`,
    `the ${hop.relation}`,
    `who is the ${hop.relation}`,
  ]);
}

/** Reads the documents: correctly, wrongly or not at all, or searches again. */
function readFound(
  scene: Scene,
  hop: Hop,
  wasFound: boolean,
): "again" | { text: string; believed: string; right: boolean } {
  const { world, random } = scene;
  if (wasFound && random.chance(skill.reads)) {
    return { text: fact(hop.relation, hop.subject.name, hop.object.name), believed: hop.object.name, right: true };
  }
  const way = random.int(3);
  if (way === 0) return "again";
  const wrong = random.pick(world.entities.filter(({ kind }) => kind === hop.object.kind)).name;
  if (way === 1) return { text: fact(hop.relation, hop.subject.name, wrong), believed: wrong, right: false };
  return { text: ` Maybe ${wrong}.`, believed: wrong, right: false };
}

/**
 * The right answer only if every hop was read; otherwise the last entity it noted, which may be an intermediate one.
 */
function finalAnswer(scene: Scene, { hopIndex, believed }: { hopIndex: number; believed: string | undefined }): string {
  const { question } = scene;
  const last = question.hops.length - 1;
  if (hopIndex === last && believed === question.hops[last]!.object.name) return question.answer;
  return question.type === "comparison" || believed === undefined ? guessFor(scene) : believed;
}
