/** @file The words that policy and search are told apart by. Nothing else in the code names a tag. */

export interface TagPair {
  readonly open: string;
  readonly close: string;
}

export interface Protocol {
  readonly name: string;
  /** The prompt opens the first thought. */
  readonly think: TagPair;
  readonly query: TagPair;
  readonly documents: TagPair;
  readonly answer: TagPair;
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

export function protocolTags({ think, query, documents, answer }: Protocol): string[] {
  return [think, query, documents, answer].flatMap(({ open, close }) => [open, close]);
}

/** What ends a turn: a closed query or a closed answer. */
export function stopTexts({ query, answer }: Protocol): string[] {
  return [query.close, answer.close];
}
