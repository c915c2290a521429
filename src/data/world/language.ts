/** @file All wordings of the fictional world, as tables. A `rare` wording is used in pretraining, never in RL. */

export type Kind = "person" | "film" | "company" | "town" | "region" | "river";
export type Relation = "director" | "birthplace" | "spouse" | "founder" | "base" | "region" | "river";

/**
 * "usual" wordings are used everywhere; "rare" ones in pretraining, and in questions and passages that request them.
 */
export type Wordings = "usual" | "rare" | "all";

export function worded<T>(
  { usual, rare }: { readonly usual: readonly T[]; readonly rare: readonly T[] },
  wordings: Wordings,
): readonly T[] {
  switch (wordings) {
    case "usual":
      return usual;
    case "rare":
      return rare;
    case "all":
      return [...usual, ...rare];
  }
}

/** The kinds that a relation connects, and its questions; {x} is an entity or a description of one. */
export const relations: Readonly<
  Record<
    Relation,
    {
      readonly from: Kind;
      readonly to: Kind;
      readonly questions: readonly string[];
      readonly rareQuestions: readonly string[];
    }
  >
> = {
  director: {
    from: "film",
    to: "person",
    questions: ["Who directed {x}?", "Who is the director of {x}?"],
    rareQuestions: ["Name the director of {x}."],
  },
  birthplace: {
    from: "person",
    to: "town",
    questions: ["Where was {x} born?", "What is the birthplace of {x}?"],
    rareQuestions: ["In which town was {x} born?"],
  },
  spouse: {
    from: "person",
    to: "person",
    questions: ["Who is the spouse of {x}?", "Who is married to {x}?"],
    rareQuestions: ["Name the spouse of {x}."],
  },
  founder: {
    from: "company",
    to: "person",
    questions: ["Who founded {x}?", "Who is the founder of {x}?"],
    rareQuestions: ["Name the founder of {x}."],
  },
  base: {
    from: "company",
    to: "town",
    questions: ["Where is {x} based?", "What is the base of {x}?"],
    rareQuestions: ["In which town is {x} based?"],
  },
  region: {
    from: "town",
    to: "region",
    questions: ["In which region is {x}?", "What is the region of {x}?"],
    rareQuestions: ["Name the region of {x}."],
  },
  river: {
    from: "town",
    to: "river",
    questions: ["On which river is {x}?", "What is the river of {x}?"],
    rareQuestions: ["Name the river of {x}."],
  },
};

/** How a question describes the hops before its last one. */
export const descriptions: Readonly<Record<Relation, string>> = {
  director: "the director of {x}",
  birthplace: "the birthplace of {x}",
  spouse: "the spouse of {x}",
  founder: "the founder of {x}",
  base: "the base of {x}",
  region: "the region of {x}",
  river: "the river of {x}",
};

/** Passages, by kind; {x} is the entity, other placeholders are its relations or a filler word. */
export const passageTemplates: Readonly<
  Record<Kind, { readonly usual: readonly string[]; readonly rare: readonly string[] }>
> = {
  person: {
    usual: [
      "{x} is a {filler} born in {birthplace}. {x} is married to {spouse}.",
      "{x}, a {filler}, is the spouse of {spouse}. The birthplace of {x} is {birthplace}.",
      "The {filler} {x} was born in {birthplace} and is married to {spouse}.",
      "{x} was born in {birthplace}. The spouse of {x} is {spouse}.",
    ],
    rare: ["Born in {birthplace}, the {filler} {x} is the spouse of {spouse}."],
  },
  film: {
    usual: [
      "{x} is a {filler} film directed by {director}.",
      "{x} is a film. The director of {x} is {director}.",
      "{director} directed {x}, a {filler} film.",
      "The director of the {filler} film {x} is {director}.",
    ],
    rare: ["{x}, a {filler} film, was directed by {director}."],
  },
  company: {
    usual: [
      "{x} was founded by {founder} and is based in {base}.",
      "{x} is a company based in {base}. It was founded by {founder}.",
      "{founder} founded {x}. The company is based in {base}.",
      "The base of {x} is {base}. The founder of {x} is {founder}.",
    ],
    rare: ["{x}, founded by {founder}, has its base in {base}."],
  },
  town: {
    usual: [
      "{x} is a town in {region}. It lies on the river {river}.",
      "The town {x} is in the region {region} and lies on the {river}.",
      "{x} lies on the river {river}. The region of {x} is {region}.",
      "{x} is a town on the {river} in {region}.",
    ],
    rare: ["In {region}, on the {river}, lies the town {x}."],
  },
  region: {
    usual: ["{x} is a {filler} region.", "The region {x} is {filler}."],
    rare: ["{x} is known as a {filler} region."],
  },
  river: {
    usual: ["{x} is a {filler} river.", "The river {x} is {filler}."],
    rare: ["{x} is known as a {filler} river."],
  },
};

export const fillers: Readonly<Record<Kind, readonly string[]>> = {
  person: ["pilot", "painter", "doctor", "singer", "farmer", "writer"],
  film: ["silent", "comedy", "war", "crime"],
  company: ["large", "small"],
  town: ["old", "new"],
  region: ["cold", "green", "dry", "wide"],
  river: ["slow", "deep", "long", "cold"],
};

export const companyEndings = ["Works", "Labs", "Group"] as const;

/** Two relations that can follow each other: the first leads to what the second starts from. */
export const hopPairs: readonly (readonly [Relation, Relation])[] = (Object.keys(relations) as Relation[]).flatMap(
  (first) =>
    (Object.keys(relations) as Relation[])
      .filter(
        (second) => relations[first].to === relations[second].from && !(first === "spouse" && second === "spouse"),
      )
      .map((second) => [first, second] as const),
);

/** Three relations, of which the first two and the last two can follow each other. */
export const hopTriples: readonly (readonly [Relation, Relation, Relation])[] = hopPairs.flatMap(([first, second]) =>
  hopPairs.filter(([again]) => again === second).map(([, third]) => [first, second, third] as const),
);

export const comparison = {
  questions: ["Were {x} and {y} born in the same town?", "Do {x} and {y} have the same birthplace?"],
  rareQuestions: ["Is the birthplace of {x} also that of {y}?"],
} as const;

export function fill(template: string, values: Readonly<Record<string, string>>): string {
  return template.replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = values[key];
    if (value === undefined) throw new Error(`"${template}" has no value for ${key}`);
    return value;
  });
}
