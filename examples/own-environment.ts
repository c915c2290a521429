/** A tool that is not search: a register of births. The policy learns to ask it for a name, and to answer with what its row says. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type EnvironmentFactory, type Question, train } from "r1-searcher";
import { observationBlock, protocols } from "r1-searcher/protocol";

const firstNames = ["Famges", "Noklan", "Darkor", "Mirsol", "Dinpul", "Momdur", "Pikrem", "Sonmus"];
const lastNames = ["Muslok", "Gakpus", "Nirpik", "Permel", "Lelkas", "Komnik"];
const towns = ["Keldar", "Pusdil", "Gilkas", "Gorlom", "Kombol", "Finkom", "Damkel", "Nansek", "Tolrer", "Rulfes"];

/** Name → town of birth, in words of the invented language that the bundled model has read. */
const register = new Map(
  firstNames.flatMap((first, i) =>
    lastNames.map((last, j): [string, string] => [`${first} ${last}`, towns[(5 * i + 3 * j) % towns.length] ?? ""]),
  ),
);

// The bundled model knows these tags; `customProtocol` makes others, with as many actions as the tool has.
const protocol = protocols["r1-searcher"];

export const environment: EnvironmentFactory = {
  protocol,
  open: () => {
    let asked = 0; // every attempt has an environment of its own
    return {
      reset: async () => undefined, // nothing to show beyond the question
      step: async ({ text }) => {
        if (++asked > 2) return { kind: "done" };
        const name = [...register.keys()].find((candidate) => text.includes(candidate));
        const called = { rule: "called", value: 0.3, because: "the register was asked" };
        const found = { rule: "found", value: name === undefined ? 0 : 0.5, because: `a row for ${text.trim()}` };
        const row = name === undefined ? "None" : `(1) ${name} was born in ${register.get(name)}.`;
        const segments = observationBlock(protocol, row); // encoded as plain text, whatever it says
        return { kind: "observation", author: "tool", segments, rewards: asked === 1 ? [called, found] : [] };
      },
    };
  },
};

export const questions: readonly Question[] = [...register].map(([name, town]) => {
  return { id: name, text: `Where was ${name} born?`, gold: [town] };
});

/** What the environment gave, plus 1 for the right town. */
const reward = [{ rule: "environment" as const }, { rule: "answer" as const, metric: "em" as const }];
const evaluation = { every: 0, curve: { questions: 8 }, full: { questions: 8, decode: ["greedy" as const] } };
const { history } = await train({
  recipe: {
    ...{ extends: "nano", name: "own-environment", rolloutBatch: { questions: 6, siblings: 4 }, eval: evaluation },
    stages: [{ name: "register", steps: 20, reward, learningRate: 5e-4 }],
  },
  environment,
  questions: { train: questions.slice(8), heldOut: questions.slice(0, 8) },
  out: join(await mkdtemp(join(tmpdir(), "own-environment-")), "run"),
});
const mean = (steps: typeof history) => steps.reduce((sum, step) => sum + step.reward, 0) / steps.length;
console.log(
  `reward: ${mean(history.slice(0, 3)).toFixed(2)} at first, ${mean(history.slice(-3)).toFixed(2)} at the end`,
);
