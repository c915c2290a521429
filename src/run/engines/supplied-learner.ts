/** @file A learner that a program made, opened as a policy with what the recipe says of prompts and attempts. */
import { ConfigError } from "../../base/errors.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import type { Learner } from "../../engine/engine.ts";
import { loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import { type Protocol, protocols } from "../../protocol/protocol.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { OpenPolicy } from "./open-policy.ts";
import { prompterOf } from "./prompter.ts";

export interface SuppliedLearner {
  readonly learner: Learner;
  /** Default: the one in the recipe's model folder. */
  readonly tokenizer?: Tokenizer | undefined;
  /** The tags to use, over those that the recipe names. */
  readonly protocol?: Protocol | undefined;
}

/**
 * Closing the policy leaves the learner open: it belongs to the program.
 * @throws ConfigError if the recipe asks for what the learner cannot do, EngineError without a tokenizer
 */
export async function openSuppliedLearner(recipe: Recipe, supplied: SuppliedLearner): Promise<OpenPolicy> {
  const { model, prompt, promptFile, rollout, rolloutBatch, kl, lora } = recipe;
  const { learner } = supplied;
  const refused = kl !== undefined && kl.kind !== "off" ? "kl" : lora !== undefined ? "lora" : undefined;
  if (refused !== undefined)
    throw new ConfigError(
      `the recipe has ${refused}, which needs an engine that the recipe opens; the learner is supplied in code`,
      {
        hint: `remove ${refused} from the recipe, or leave out learner`,
      },
    );
  const tokenizer = supplied.tokenizer ?? (await loadTokenizer(model));
  const protocol = supplied.protocol ?? protocols[recipe.protocol];
  const settings = { protocol: recipe.protocol, prompt, promptFile, rollout };
  return {
    learner,
    sampler: () => learner.publish(),
    capabilities: learner.capabilities,
    concurrency: rolloutBatch.concurrency,
    ...{ tokenizer, protocol, rollout, directory: model },
    promptFor: prompterOf(settings, tokenizer, protocol),
    describe: () => "the learner is supplied in code",
    close: async () => {},
  };
}
