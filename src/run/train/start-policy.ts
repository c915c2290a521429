/** @file The policy that a run starts from: the recipe's model with the embedded engine, or what a program supplies. */
import type { TrainerParts } from "../../rl/parts.ts";
import { describePlan } from "../engines/memory-plan.ts";
import { type AskablePolicy, type OpenOptions, openAskable } from "../engines/open-policy.ts";
import { askSuppliedLearner, type TrainedPolicy } from "../engines/supplied-learner.ts";
import type { Recipe } from "../recipe/recipe.ts";
import type { TrainOptions } from "./train-options.ts";

export interface StartedPolicy {
  readonly policy: TrainedPolicy;
  /** The policy as it started, where KL holds the run near it: a frozen copy, or the model below an adapter. */
  readonly reference: TrainerParts["reference"];
  /** Closes what was opened here; a supplied learner is not. */
  close(): Promise<void>;
}

export async function startPolicy(
  recipe: Recipe,
  { learner, tokenizer, environment, onEvent }: Pick<TrainOptions, "learner" | "tokenizer" | "environment" | "onEvent">,
): Promise<StartedPolicy> {
  const protocol = environment?.protocol;
  if (learner) {
    const policy = await askSuppliedLearner(recipe, { learner, tokenizer, protocol });
    return { policy, reference: undefined, close: async () => {} };
  }
  const policy = await openStart(recipe, { training: true, concurrency: recipe.rolloutBatch.concurrency, protocol });
  onEvent?.({ kind: "message", text: describePlan(policy.memory) });
  let copy: AskablePolicy | undefined;
  const close = async () => {
    await copy?.engine.close();
    await policy.engine.close();
  };
  const isHeld = recipe.kl !== undefined && recipe.kl.kind !== "off";
  try {
    if (isHeld && !recipe.lora) copy = await openStart(recipe, { training: false, concurrency: 1 });
  } catch (cause) {
    await close();
    throw cause;
  }
  return { policy, reference: isHeld ? (copy?.engine ?? policy.engine.base) : undefined, close };
}

/** The recipe's model with the embedded engine. */
export function openStart(
  recipe: Recipe,
  how: Pick<OpenOptions, "training" | "concurrency" | "protocol">,
): Promise<AskablePolicy> {
  const { model, lora, seed, engine, protocol, prompt, promptFile, rollout } = recipe;
  return openAskable(model, {
    ...how,
    engine,
    lora: lora && { ...lora, seed },
    settings: { protocol, prompt, promptFile, rollout },
  });
}
