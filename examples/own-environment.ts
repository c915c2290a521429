/**
 * @file A tool that is not search: a register of births with exactly one row per name. The policy learns to ask it, to
 * write a name that has a row, and to answer with what the row says.
 */
import type { EnvironmentFactory, Question } from "r1-searcher";
import { observationBlock, protocols } from "r1-searcher/protocol";

const firstNames = ["Famges", "Noklan", "Darkor", "Mirsol", "Dinpul", "Momdur", "Pikrem", "Sonmus"];
const lastNames = ["Muslok", "Gakpus", "Nirpik", "Permel", "Lelkas", "Komnik"];
const towns = ["Keldar", "Pusdil", "Gilkas", "Gorlom", "Kombol", "Finkom", "Damkel", "Nansek", "Tolrer", "Rulfes"];

/** Name → town of birth. The words are of the invented language that the bundled model has read. */
const register = new Map(
  firstNames.flatMap((first, i) =>
    lastNames.map((last, j): [string, string] => [`${first} ${last}`, towns[(5 * i + 3 * j) % towns.length]!]),
  ),
);

// the bundled model knows these tags; `customProtocol` makes others, with as many actions as the tool has
const protocol = protocols["r1-searcher"];

export const environment: EnvironmentFactory = {
  protocol,
  open: () => {
    let asked = 0; // every attempt has an environment of its own
    return {
      reset: async () => undefined, // nothing to show beyond the question
      step: async ({ text }) => {
        asked++;
        if (asked > 2) return { kind: "done" };
        const name = [...register.keys()].find((candidate) => text.includes(candidate));
        const called = { rule: "called", value: 0.3, because: "the register was asked" };
        const found = { rule: "found", value: name === undefined ? 0 : 0.5, because: `a row for ${text.trim()}` };
        const row = name === undefined ? "None" : `(1) ${name} was born in ${register.get(name)}.`;
        return {
          kind: "observation",
          author: "tool",
          segments: observationBlock(protocol, row), // encoded as plain text, whatever it says
          rewards: asked === 1 ? [called, found] : [],
        };
      },
    };
  },
};

export const questions: readonly Question[] = [...register].map(([name, town]) => ({
  id: name,
  text: `Where was ${name} born?`,
  gold: [town],
}));

/** What the environment gave, plus 1 for the right town. */
export const reward = [{ rule: "environment" }, { rule: "answer", metric: "em" }] as const;
