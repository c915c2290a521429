/**
 * @file The tokenizer interface of the project. Its implementation (over a Hugging Face `tokenizer.json`) is in
 * `engine/`; nothing else may import a tokenizer library.
 */
export interface Tokenizer {
  readonly vocabSize: number;
  /** The main end-of-reply id, and all ids that end a reply. */
  readonly eosIds: readonly number[];
  /** Ids of the special (added) tokens. `encodeText` never returns one of them. */
  readonly specialIds: ReadonlySet<number>;
  /** Encodes untrusted text: special tokens in it are encoded as ordinary text. Empty text gives no ids. */
  encodeText(text: string): Int32Array;
  /** Encodes trusted text (prompts, tags): special tokens in it become their ids. */
  encodeTemplate(text: string): Int32Array;
  /** The raw bytes of a token; for a special token, those of its text. */
  bytesOf(id: number): Uint8Array;
  /** The text of `ids`, special tokens included; incomplete UTF-8 becomes U+FFFD. */
  decode(ids: ArrayLike<number>): string;
  /** Renders chat messages with the model's own template, ready for a reply; undefined if the model has none. */
  readonly chatTemplate: ChatTemplate | undefined;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** Fields that templates with tools read: tool_calls, name, tool_call_id. */
  readonly [key: string]: unknown;
}

/** @param variables template variables besides the messages: tools, add_generation_prompt, enable_thinking … */
export type ChatTemplate = (messages: readonly ChatMessage[], variables?: Readonly<Record<string, unknown>>) => string;
