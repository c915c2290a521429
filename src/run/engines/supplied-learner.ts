/** @file A learner that a program made, with what an attempt needs besides, as a recipe says it. */
import { ConfigError } from "../../base/errors.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import type { Learner } from "../../engine/engine.ts";
import { loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import { type Protocol, protocols } from "../../protocol/protocol.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { type AskablePolicy, prompterOf } from "./open-policy.ts";

/** What the training loop uses of a policy, whatever engine is behind it. */
export interface TrainedPolicy extends Pick<AskablePolicy, "tokenizer" | "protocol" | "rollout" | "promptFor"> {
  readonly engine: Learner;
  readonly memory: Pick<AskablePolicy["memory"], "sequences">;
}

export interface SuppliedLearner {
  readonly learner: Learner;
  /** Default: the one in the recipe's model folder. */
  readonly tokenizer?: Tokenizer | undefined;
  /** The tags to use, over those that the recipe names. */
  readonly protocol?: Protocol | undefined;
}

/** @throws ConfigError where the recipe asks for what only the embedded engine does, EngineError without a tokenizer */
export async function askSuppliedLearner(recipe: Recipe, supplied: SuppliedLearner): Promise<TrainedPolicy> {
  const { model, prompt, promptFile, rollout, rolloutBatch, kl, lora } = recipe;
  const unknown = kl !== undefined && kl.kind !== "off" ? "kl" : lora !== undefined ? "lora" : undefined;
  if (unknown !== undefined)
    throw new ConfigError(
      `the recipe has ${unknown}, which the embedded engine does; the learner is supplied in code`,
      {
        hint: `take ${unknown} out of the recipe, or leave out learner`,
      },
    );
  const tokenizer = supplied.tokenizer ?? (await loadTokenizer(model));
  const protocol = supplied.protocol ?? protocols[recipe.protocol];
  const settings = { protocol: recipe.protocol, prompt, promptFile, rollout };
  return {
    engine: supplied.learner,
    ...{ tokenizer, protocol, rollout },
    promptFor: prompterOf(settings, tokenizer, protocol),
    memory: { sequences: rolloutBatch.concurrency },
  };
}
