import type { Tokenizer } from "../../base/tokenizer.ts";
import { renderPrompt } from "../../protocol/prompt.ts";
import type { Protocol } from "../../protocol/protocol.ts";
import { type PolicySettings, promptOf } from "../recipe/policy-settings.ts";
import { readYaml } from "../recipe/yaml-value.ts";
import type { OpenPolicy } from "./open-policy.ts";

/**
 * Renders the prompt of a question.
 * @throws EngineError at once if the model's chat template refuses what every question will give it
 */
export function prompterOf(
  settings: PolicySettings,
  tokenizer: Tokenizer,
  protocol: Protocol,
): OpenPolicy["promptFor"] {
  const read = (file: string) => readYaml(file, "a prompt template is a mapping in YAML or JSON: kind, and its texts");
  const template = promptOf(settings, { protocol, tokenizer, read });
  const render = (question: string) => renderPrompt({ protocol, tokenizer, question, template });
  render("Who?");
  return ({ text }) => render(text);
}
