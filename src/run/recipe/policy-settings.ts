/**
 * @file How a policy was asked during training: stored beside its weights, so that a copied folder is used in the same
 * way.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { ConfigError, DataError, messageOf } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { type PromptTemplate, parsePromptTemplate, promptNames, promptTemplate } from "../../protocol/prompt.ts";
import { type Protocol, protocols } from "../../protocol/protocol.ts";
import { RolloutConfig } from "../../rollout/config.ts";

export const settingsFile = "r1_searcher.json";

export const PolicySettings = z.strictObject({
  protocol: z
    .enum(Object.keys(protocols) as [keyof typeof protocols])
    .default("r1-searcher")
    .describe("The tags of searches and answers."),
  prompt: z
    .enum(promptNames)
    .optional()
    .describe("Named prompt; default chat if the model has a chat template, otherwise base."),
  promptFile: z.string().optional().describe("Your own prompt template, JSON or YAML."),
  rollout: RolloutConfig.prefault({}).describe("Limits of an attempt."),
});
export type PolicySettings = z.infer<typeof PolicySettings>;

export function writePolicySettings(directory: string, settings: PolicySettings): void {
  writeAtomically(join(directory, settingsFile), `${toJson(settings, 2)}\n`);
}

/** The settings beside a policy, or the defaults if there are none. */
export function readPolicySettings(directory: string): PolicySettings {
  const file = join(directory, settingsFile);
  if (!existsSync(file)) return PolicySettings.parse({});
  try {
    return PolicySettings.parse(JSON.parse(readFileSync(file, "utf8")));
  } catch (cause) {
    throw new DataError(`${file} cannot be used: ${messageOf(cause)}`, {
      hint: "delete it to use the defaults",
      cause,
    });
  }
}

/** @param prompt name of a prompt, or the path of a template; if absent, as in the settings */
export function withPrompt(settings: PolicySettings, prompt: string | undefined): PolicySettings {
  if (prompt === undefined) return settings;
  const { promptFile: _, ...rest } = settings;
  const name = promptNames.find((known) => known === prompt);
  if (name) return { ...rest, prompt: name };
  if (existsSync(prompt)) return { ...rest, promptFile: prompt };
  throw new ConfigError(`--prompt ${prompt} is neither a prompt nor a file`, {
    hint: `prompts: ${promptNames.join(", ")}; or give the path of a template in YAML or JSON`,
  });
}

/** @throws ConfigError on a file that is not a template */
export function promptOf(
  { prompt, promptFile }: PolicySettings,
  {
    protocol,
    tokenizer,
    read,
  }: { readonly protocol: Protocol; readonly tokenizer: Tokenizer; readonly read: (file: string) => unknown },
): PromptTemplate {
  if (promptFile !== undefined) return parsePromptTemplate(read(promptFile), promptFile, protocol);
  return promptTemplate(prompt ?? (tokenizer.chatTemplate ? "chat" : "base"), protocol);
}
