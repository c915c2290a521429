import { expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import type { EngineCapabilities } from "../../engine/engine.ts";
import { loadRecipe } from "../recipe/load-recipe.ts";
import { capabilitiesOf, demandCapabilities } from "./capabilities.ts";

const all = capabilitiesOf("onnx");
const refusal = (change: Partial<EngineCapabilities>, ...sets: string[]) => {
  try {
    demandCapabilities(loadRecipe("nano", sets), { ...all, ...change }, "nano.yaml");
  } catch (error) {
    if (error instanceof ConfigError) return `${error.message} | ${error.hint}`;
    throw error;
  }
  return "none";
};

test("the embedded engine can do what the bundled recipes ask for", () => {
  expect(refusal({})).toBe("none");
  expect(refusal({}, "lora={}", "kl.kind=k3", "optimizer.kind=muon")).toBe("none");
});

test.each<[Partial<EngineCapabilities>, string[], string, string]>([
  [{ losses: ["cross-entropy"] }, [], "training needs the ppo loss", "choose another engine.kind"],
  [{ lossReduction: "mean" }, [], "summed", "as a mean"],
  [{ trains: ["adapter"] }, [], "lora is absent", "give lora: {}"],
  [{ trains: ["weights"] }, ["lora={}"], "lora asks for an adapter", "leave lora out"],
  [{ optimizers: ["adamw"] }, ["optimizer.kind=muon"], "optimizer.kind is muon", "it has adamw"],
  [{ reference: false }, ["kl.kind=k1"], "kl.kind is k1, which needs a reference", "set kl.kind=off"],
  [{ klTerms: ["k2"] }, ["kl.kind=k3"], "kl.kind is k3", "its loss has k2"],
  [{ contextLength: 100 }, ["rollout.contextLength=101"], "rollout.contextLength is 101", "at most 100 tokens"],
  [{ concurrency: 4 }, ["rolloutBatch.concurrency=5"], "rolloutBatch.concurrency is 5", "at most 4 attempts"],
])(
  "a recipe that asks for more than an engine has (%o) is refused with key, value and remedy",
  (change, sets, key, remedy) => {
    const said = refusal(change, ...sets);
    expect(said).toContain(key);
    expect(said).toContain(", but engine.kind is onnx | ");
    expect(said).toContain(remedy);
  },
);
