/** @file The words that policy and environment are told apart by. Nothing else in the code names a tag. */
import { ConfigError } from "../base/errors.ts";

export interface TagPair {
  readonly open: string;
  readonly close: string;
}

/** The tags of an action that an environment serves besides the query. */
export interface ActionTags extends TagPair {
  /** What the environment is told of a closed action; any name but "query" and "answer". */
  readonly kind: string;
}

export interface Protocol {
  readonly name: string;
  /** The prompt opens the first thought. */
  readonly think: TagPair;
  readonly query: TagPair;
  /** Around what search found, and around what a tool returned. */
  readonly documents: TagPair;
  readonly answer: TagPair;
  /** Absent: the query is the only action. */
  readonly actions?: readonly ActionTags[];
  /** Between the closed query and the documents, and after them. */
  readonly glue: { readonly beforeDocuments: string; readonly afterDocuments: string };
  /** What stands between the document tags where nothing was found. */
  readonly noHits: string;
}

/** R1-Searcher: the tags of the released code (`experience_maker.py`), plain text for a real tokenizer. */
const r1Searcher: Protocol = {
  name: "r1-searcher",
  think: { open: "<think>", close: "</think>" },
  query: { open: "<|begin_of_query|>", close: "<|end_of_query|>" },
  documents: { open: "<|begin_of_documents|>", close: "<|end_of_documents|>" },
  answer: { open: "<answer>", close: "</answer>" },
  glue: { beforeDocuments: "\n\n", afterDocuments: "\n\n" },
  noHits: "None",
};

/** Search-R1: the tags its released models write. */
const searchR1: Protocol = {
  name: "search-r1",
  think: { open: "<think>", close: "</think>" },
  query: { open: "<search>", close: "</search>" },
  documents: { open: "<information>", close: "</information>" },
  answer: { open: "<answer>", close: "</answer>" },
  glue: { beforeDocuments: "\n\n", afterDocuments: "\n\n" },
  noHits: "None",
};

export const protocols = { "r1-searcher": r1Searcher, "search-r1": searchR1 } as const satisfies Record<
  string,
  Protocol
>;

export function protocolTags({ think, query, documents, answer, actions = [] }: Protocol): string[] {
  return [think, query, documents, answer, ...actions].flatMap(({ open, close }) => [open, close]);
}

/** What ends a turn: a closed query, a closed answer or another closed action. */
export function stopTexts({ query, answer, actions = [] }: Protocol): string[] {
  return [query, answer, ...actions].map(({ close }) => close);
}

/**
 * A protocol with tags of your own: those of R1-Searcher where nothing else is given.
 * @throws ConfigError where a parser could not tell two tags or two actions apart
 */
export function customProtocol(own: Partial<Protocol> & Pick<Protocol, "name">): Protocol {
  const protocol: Protocol = { ...r1Searcher, ...own };
  const tags = protocolTags(protocol);
  for (const [i, tag] of tags.entries()) {
    const other = tags.find((candidate, j) => j !== i && candidate.startsWith(tag));
    if (tag === "" || other !== undefined)
      throw new ConfigError(
        `protocol "${own.name}" has the tag ${JSON.stringify(tag)}, with which ${JSON.stringify(other ?? "any text")} begins`,
        { hint: "give every action opening and closing tags of its own" },
      );
  }
  const kinds = ["query", "answer", ...(protocol.actions ?? []).map(({ kind }) => kind)];
  const repeated = kinds.find((kind, i) => kinds.indexOf(kind) !== i);
  if (repeated !== undefined)
    throw new ConfigError(`protocol "${own.name}" has two actions of kind "${repeated}"`, {
      hint: "name each action differently; query and answer are taken",
    });
  return protocol;
}
