/** @file The card of a policy that a run trained, from the contents of the run's folder. */
import { basename } from "node:path";
import type { SavedEvaluation, StepLine } from "../store/run-folder.ts";
import { type CardFacts, originOf } from "./model-card.ts";

interface RecipeFacts {
  readonly name: string;
  readonly seed: number;
  readonly model: string;
  readonly stages: readonly { readonly name: string }[];
}

export interface RunFacts {
  readonly recipe: RecipeFacts;
  readonly evaluations: readonly SavedEvaluation[];
  readonly metrics: readonly StepLine[];
  /** Number of steps that trained this policy. */
  readonly step: number;
  /** Whether the evaluations may include some of this very policy; a checkpoint is saved before it is evaluated. */
  readonly measured: boolean;
  /** Whether the card is for the folder of an adapter, not of a whole model. */
  readonly isAdapter: boolean;
}

export function runCard({ recipe, evaluations, metrics, step, measured, isAdapter }: RunFacts): CardFacts {
  const { name, seed, model, stages } = recipe;
  const words = stages.map((stage) => stage.name).join(", then ");
  return {
    name: `${name}-step-${step}`,
    about: `A language model that was taught to search while it reasons: ${step} steps of reinforcement learning (${words}).`,
    origin: originOf(model),
    library: isAdapter ? "peft" : "transformers",
    command: "npx r1-searcher train recipe.yaml",
    recipe: { ...recipe, model: basename(model) },
    seed,
    evaluations: evaluations.filter((one) => one.step < step || (measured && one.step === step)),
    metrics: metrics.filter((line) => line.stage !== undefined && line.step < step),
  };
}
