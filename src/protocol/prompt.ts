/** @file How the policy is told the rules. A prompt ends in an open thought; the question in it is untrusted text. */
import { z } from "zod";
import { ConfigError } from "../base/errors.ts";
import type { Tokenizer } from "../base/tokenizer.ts";
import { encodeSegments, neutralise, type Segment } from "./documents.ts";
import type { Protocol } from "./protocol.ts";

/** `{question}` stands exactly once in `text`, or in `system` and `user` together. An empty `system` is left out. */
export type PromptTemplate =
  | { readonly kind: "base"; readonly text: string }
  | { readonly kind: "chat"; readonly system: string; readonly user: string };

export const promptNames = ["nano", "base", "chat", "examples"] as const;
export type PromptName = (typeof promptNames)[number];

const slot = "{question}";
/** Stands for the question while a chat template is rendered; letters and digits only, so that no template changes it. */
const sentinel = "QuestionGoesHere7f3a91";

/**
 * "nano" is for the bundled small model, "base" for models without a chat template, "chat" for those with one.
 * "chat" shows an attempt, for small models copy whatever stands for a query in an explanation ("…", "keywords").
 * "examples" shows two and explains nothing, for small models without a chat template.
 */
export function promptTemplate(name: PromptName, { think, query, documents, answer }: Protocol): PromptTemplate {
  switch (name) {
    case "nano":
      return { kind: "base", text: `Question: ${slot}\n${think.open}` };
    case "base":
      return {
        kind: "base",
        text: [
          `Below, a User puts a question and an Assistant works out the answer. The Assistant reasons first, between ${think.open} and ${think.close}, `,
          `and states the final answer afterwards, between ${answer.open} and ${answer.close}. `,
          `Whenever a fact is missing while reasoning, the Assistant looks it up by writing ${query.open}, a few keywords and ${query.close}; `,
          "one query asks for one fact about one thing. ",
          `What was found then appears between ${documents.open} and ${documents.close}, and the reasoning goes on from there. `,
          "The final answer is as short as it can be: a name, a date, a number, yes or no.\n\n",
          `User: ${slot}\nAssistant: ${think.open}`,
        ].join(""),
      };
    case "chat":
      return {
        kind: "chat",
        system: [
          "Look facts up before you answer, as often as needed, one fact at a time, and answer in a few words. ",
          "For example, when asked on which river Lyon lies:\n",
          `${think.open} ${query.open} Lyon river ${query.close} Lyon lies on the Rhône. ${think.close} ${answer.open} Rhône ${answer.close}`,
        ].join(""),
        user: `${slot}\nReply in this form.`,
      };
    case "examples": {
      const example = (question: string, words: string, fact: string, short: string) =>
        `Question: ${question}\n${think.open} ${query.open} ${words} ${query.close} ${fact} ${think.close} ${answer.open} ${short} ${answer.close}\n\n`;
      return {
        kind: "base",
        text: [
          example("On which river does Lyon lie?", "Lyon river", "Lyon lies on the Rhône.", "Rhône"),
          example("Who wrote the opera Tosca?", "Tosca opera composer", "Tosca is an opera by Puccini.", "Puccini"),
          `Question: ${slot}\n${think.open}`,
        ].join(""),
      };
    }
  }
}

const templateSchema = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("base"), text: z.string() }),
  z.strictObject({ kind: z.literal("chat"), system: z.string().default(""), user: z.string() }),
]);

/**
 * Checks a template that a user wrote.
 * @param where the file or key it came from, for messages
 * @throws ConfigError
 */
export function parsePromptTemplate(value: unknown, where: string, { think }: Protocol): PromptTemplate {
  const parsed = templateSchema.safeParse(value);
  if (!parsed.success) {
    throw new ConfigError(`${where} is no prompt template: ${z.prettifyError(parsed.error)}`, {
      hint: `give kind "base" with text, or kind "chat" with system and user; ${slot} stands where the question goes`,
    });
  }
  const template = parsed.data;
  const text = template.kind === "base" ? template.text : template.system + template.user;
  const slots = text.split(slot).length - 1;
  if (slots !== 1)
    throw new ConfigError(`${where} holds ${slot} ${slots} times`, { hint: "it must stand there exactly once" });
  if (template.kind === "base" && !text.trimEnd().endsWith(think.open)) {
    throw new ConfigError(`${where} does not end in ${think.open}`, {
      hint: "the prompt opens the policy's first thought",
    });
  }
  return template;
}

export interface PromptOptions {
  readonly protocol: Protocol;
  readonly tokenizer: Tokenizer;
  readonly question: string;
  readonly template: PromptTemplate;
}

export function renderPrompt(options: PromptOptions): Int32Array {
  return encodeSegments(options.tokenizer, promptSegments(options));
}

/** @throws ConfigError where the tokenizer has no chat template, or one that loses the question */
export function promptSegments({ protocol, tokenizer, question, template }: PromptOptions): Segment[] {
  const [before, after] =
    template.kind === "base" ? halves(template.text, slot) : chatHalves(protocol, tokenizer, template);
  const text = neutralise(protocol, question.trim().replace(/\s+/g, " "));
  // a space before the question goes with it: many tokenizers join it to the word that follows
  const space = before.endsWith(" ") ? " " : "";
  return [
    { text: before.slice(0, before.length - space.length), template: true },
    { text: space + text, template: false },
    { text: after, template: true },
  ];
}

function chatHalves(
  protocol: Protocol,
  tokenizer: Tokenizer,
  { system, user }: { system: string; user: string },
): [string, string] {
  if (!tokenizer.chatTemplate) {
    throw new ConfigError("the policy's tokenizer has no chat template", {
      hint: 'use prompt "base", or a template of kind "base"',
    });
  }
  const messages = [
    { role: "system", content: system.replace(slot, sentinel) },
    { role: "user", content: user.replace(slot, sentinel) },
  ].filter(({ content }) => content !== "");
  return halves(`${tokenizer.chatTemplate(messages)}${protocol.think.open}`, sentinel);
}

function halves(text: string, mark: string): [string, string] {
  const parts = text.split(mark);
  if (parts.length !== 2) {
    throw new ConfigError(`the prompt holds the question ${parts.length - 1} times`, {
      hint: `${slot} must stand in it exactly once`,
    });
  }
  return [parts[0]!, parts[1]!];
}
