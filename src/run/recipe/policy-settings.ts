/** @file How a policy was taught to be asked: kept beside its weights, so that a copied folder still answers as trained. */
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
    .describe("Named prompt; default chat where the model has a chat template, base otherwise."),
  promptFile: z.string().optional().describe("A prompt template of your own, JSON or YAML."),
  rollout: RolloutConfig.prefault({}).describe("How an attempt runs."),
});
export type PolicySettings = z.infer<typeof PolicySettings>;

export function writePolicySettings(directory: string, settings: PolicySettings): void {
  writeAtomically(join(directory, settingsFile), `${toJson(settings, 2)}\n`);
}

/** The settings beside a policy, or the defaults where it came from elsewhere. */
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

/** @param prompt name of a prompt, or the path of a template; absent: as the settings have it */
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

/** @throws ConfigError on a template file that is none */
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
