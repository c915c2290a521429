/** @file Reads a model's chat template and makes it ready for rendering. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { EngineError, messageOf } from "../../base/errors.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { parseTemplate } from "./jinja.ts";
import { isObject, type JsonObject, show } from "./json-file.ts";

const MAX_TEMPLATE_BYTES = 2 ** 20;

/**
 * From `chat_template.jinja`, else from `chat_template` in tokenizer_config.json.
 * @param settings the content of tokenizer_config.json
 * @returns undefined where the model has none
 * @throws EngineError where the template cannot be parsed; the returned function where it refuses the messages
 */
export function readChatTemplate(directory: string, settings: JsonObject): Tokenizer["chatTemplate"] {
  const found = chatTemplateSource(directory, settings);
  if (!found) return undefined;
  const { file, source } = found;
  const describing = <T>(work: () => T): T => {
    try {
      return work();
    } catch (cause) {
      throw new EngineError(`${file}: its chat template fails: ${messageOf(cause)}`, {
        hint: "correct the template, or use a prompt without one, such as base",
        cause,
      });
    }
  };
  const render = describing(() => parseTemplate(source));
  const specials = ["bos_token", "eos_token", "pad_token", "unk_token"].map((key) => [
    key,
    specialToken(settings[key]) ?? "",
  ]);
  return (messages, variables = {}) =>
    describing(() =>
      render({
        ...Object.fromEntries(specials),
        add_generation_prompt: true,
        ...variables,
        messages: messages.map((message) => ({ ...message, content: message.content ?? "" })), // null would throw
      }),
    );
}

/** tokenizer_config.json gives a token as a text, or as an object with that text. */
export function specialToken(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value["content"] === "string" ? value["content"] : undefined;
}

/** The source of the template, and the file that contains it. */
export function chatTemplateSource(
  directory: string,
  settings: JsonObject,
): { file: string; source: string } | undefined {
  const own = join(directory, "chat_template.jinja");
  if (existsSync(own)) {
    if (statSync(own).size > MAX_TEMPLATE_BYTES)
      throw new EngineError(`${own} is larger than ${MAX_TEMPLATE_BYTES} bytes`);
    return { file: own, source: readFileSync(own, "utf8") };
  }
  const file = join(directory, "tokenizer_config.json");
  const value = settings["chat_template"] ?? undefined;
  // some models have several named templates: "default" is for plain conversation
  const source = Array.isArray(value)
    ? value.find((one) => isObject(one) && one["name"] === "default")?.template
    : value;
  if (source === undefined) return undefined;
  if (typeof source !== "string") throw new EngineError(`${file}: "chat_template" is ${show(value)}; expected a text`);
  return { file, source };
}
