/**
 * @file `r1-searcher/protocol`: read and write transcripts as the policy does. Render a prompt, put search results on
 * the tape, parse what a policy wrote into thoughts, queries and answers. No I/O, and nothing of Node.
 */
export type { Tokenizer } from "../base/tokenizer.ts";
export {
  type DocumentOptions,
  documentBlock,
  documentText,
  encodeSegments,
  neutralise,
  neutraliseSegments,
  observationBlock,
  type Segment,
} from "./documents.ts";
export { type ParserEvent, parseTape, policyBytes, TranscriptParser, textOf } from "./parse.ts";
export type { Passage } from "./passage.ts";
export {
  type PromptName,
  type PromptOptions,
  type PromptTemplate,
  parsePromptTemplate,
  promptNames,
  promptSegments,
  promptTemplate,
  renderPrompt,
} from "./prompt.ts";
export {
  type ActionTags,
  customProtocol,
  type Protocol,
  protocols,
  protocolTags,
  stopTexts,
  type TagPair,
} from "./protocol.ts";
export type { Question } from "./question.ts";
export type { RewardPart } from "./reward-part.ts";
export {
  type Author,
  authorAt,
  type EnvironmentAuthor,
  environmentAuthors,
  lossMask,
  type Run,
  type Tape,
  TapeBuilder,
} from "./tape.ts";
export { isObservation, type Part } from "./transcript.ts";
