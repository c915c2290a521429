/** @file What each kind of engine can do, and whether that is enough for a recipe; known before anything is loaded. */
import { ConfigError } from "../../base/errors.ts";
import type { EngineCapabilities } from "../../engine/engine.ts";
import { onnxCapabilities } from "../../engine/onnx/capabilities.ts";
import type { EngineKind } from "../recipe/engine-settings.ts";
import type { Recipe } from "../recipe/recipe.ts";

export function capabilitiesOf(kind: EngineKind): EngineCapabilities {
  switch (kind) {
    case "onnx":
      return onnxCapabilities;
  }
}

type Asked = Pick<Recipe, "kl" | "lora" | "optimizer" | "rollout" | "rolloutBatch"> & {
  readonly engine: { readonly kind: string };
};

/** @throws ConfigError naming the key, its value and what to do, for the first thing that the engine cannot do */
export function demandCapabilities(recipe: Asked, can: EngineCapabilities, file: string): void {
  const { engine, kl, lora, optimizer, rollout, rolloutBatch } = recipe;
  const refuse = (complaint: string, hint: string): never => {
    throw new ConfigError(`${file}: ${complaint}, but engine.kind is ${engine.kind}`, { hint });
  };
  const listed = (values: readonly string[]) => (values.length === 0 ? "nothing" : values.join(", "));
  const another = "or choose another engine.kind";
  const trained = lora ? "adapter" : "weights";
  if (!can.losses.includes("ppo") || can.lossReduction !== "sum")
    refuse(
      "training needs the ppo loss, summed",
      `it offers ${listed(can.losses)} as a ${can.lossReduction}; choose another engine.kind`,
    );
  if (!can.trains.includes(trained))
    refuse(
      lora ? "lora asks for an adapter" : "lora is absent, which asks for all weights to be trained",
      `it trains ${listed(can.trains)}: ${lora ? "leave lora out" : "give lora: {}"}, ${another}`,
    );
  if (!can.optimizers.includes(optimizer.kind))
    refuse(`optimizer.kind is ${optimizer.kind}`, `it has ${listed(can.optimizers)}: set optimizer.kind, ${another}`);
  const kind = kl?.kind ?? "off";
  if (kind !== "off" && !can.reference)
    refuse(`kl.kind is ${kind}, which needs a reference policy`, `it has none: set kl.kind=off, ${another}`);
  if ((kind === "k2" || kind === "k3") && !can.klTerms.includes(kind))
    refuse(`kl.kind is ${kind}`, `its loss has ${listed(can.klTerms)}: set kl.kind=k1, ${another}`);
  if (rollout.contextLength > can.contextLength)
    refuse(
      `rollout.contextLength is ${rollout.contextLength}`,
      `at most ${can.contextLength} tokens fit: set less, ${another}`,
    );
  if (rolloutBatch.concurrency > can.concurrency)
    refuse(
      `rolloutBatch.concurrency is ${rolloutBatch.concurrency}`,
      `at most ${can.concurrency} attempts run at once: set less, ${another}`,
    );
}
