/**
 * @file What the rest of the project may ask of a tokenizer. The implementation (over a Hugging Face
 * `tokenizer.json`) lives in `engine/`; nothing else may import a tokenizer library.
 */
export interface Tokenizer {
  readonly vocabSize: number;
  /** The id that ends a reply, and every id that does. */
  readonly eosIds: readonly number[];
  /** Ids of the special (added) tokens. None of them can come out of `encodeText`. */
  readonly specialIds: ReadonlySet<number>;
  /** Encodes untrusted text: special tokens in it are spelled out as ordinary pieces. Empty text gives no ids. */
  encodeText(text: string): Int32Array;
  /** Encodes text of our own (prompts, tags): special tokens in it become their ids. */
  encodeTemplate(text: string): Int32Array;
  /** The raw bytes a token stands for; a special token stands for its own spelling. */
  bytesOf(id: number): Uint8Array;
  /** The text of `ids`, special tokens spelled out; incomplete UTF-8 becomes U+FFFD. */
  decode(ids: ArrayLike<number>): string;
  /** Renders chat messages with the model's own template, ready for a reply; undefined where the model has none. */
  readonly chatTemplate: ChatTemplate | undefined;
}

export interface ChatMessage {
  readonly role: string;
  readonly content: string;
  /** What templates with tools read: tool_calls, name, tool_call_id. */
  readonly [key: string]: unknown;
}

/** @param variables what a template reads besides the messages: tools, add_generation_prompt, enable_thinking … */
export type ChatTemplate = (messages: readonly ChatMessage[], variables?: Readonly<Record<string, unknown>>) => string;
