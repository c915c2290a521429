/** @file Held-out look-ups that monitor pretraining: is the fact in the documents copied exactly? */
import { randomOf } from "../../base/random.ts";
import { given, givenDocuments, own, passageOf } from "./pretrain-reading.ts";
import type { PretrainSegment } from "./pretrain-scene.ts";
import { drawQuestion } from "./questions.ts";
import { closedQuery, fact, need, prompt } from "./transcript-text.ts";
import { makeWorld } from "./world.ts";

export interface Probe {
  readonly kind: "1-hop read" | "2-hop read" | "1-hop searched" | "2-hop searched";
  /** The text before the name. */
  readonly before: readonly PretrainSegment[];
  /** The name that must follow, with its leading space. */
  readonly name: string;
}

/**
 * Probes over worlds of the test split, which pretraining does not use; half read passages, half read search results.
 */
export function probes(seed: number, count: number): Probe[] {
  const world = makeWorld({ seed: seed + 900_000, split: "test", size: "small" });
  const random = randomOf("probes", seed);
  return Array.from({ length: count }, (_, i): Probe => {
    const type = i % 2 === 0 ? "1-hop" : "2-hop";
    const mix = { "1-hop": Number(type === "1-hop"), "2-hop": Number(type === "2-hop"), comparison: 0 };
    const { text, hops } = drawQuestion(world, random, { mix });
    const last = hops.at(-1)!;
    const stem = fact(last.relation, last.subject.name, "").replace(/ \.$/, "");
    const name = ` ${last.object.name}`;
    const earlier = hops.slice(0, -1);
    const distractor = random.pick(world.passages);
    if (i % 4 < 2) {
      const passages = random.shuffle([...new Set([...hops.map((hop) => passageOf(world, hop)), distractor])]);
      const lines = passages.map((passage, n) => `(${n + 1}) ${passage.text}\n`).join("");
      const facts = earlier.map((hop) => fact(hop.relation, hop.subject.name, hop.object.name)).join("");
      return {
        kind: `${type} read`,
        before: [given(`Read:\n${lines}`), given(`Question: ${text}\n`), own(facts + stem)],
        name,
      };
    }
    const turns = hops.flatMap((hop) => [
      own(need(hop.relation, hop.subject.name) + closedQuery(`${hop.subject.name} ${hop.relation}`)),
      ...givenDocuments(random.shuffle([...new Set([passageOf(world, hop), distractor])])),
      ...(hop === last ? [] : [own(fact(hop.relation, hop.subject.name, hop.object.name))]),
    ]);
    return { kind: `${type} searched`, before: [own(prompt(text)), ...turns, own(stem)], name };
  });
}
