import type { EngineCapabilities } from "../engine.ts";

/** What the embedded engine can do with any model. An opened engine also reports its context length and concurrency. */
export const onnxCapabilities: EngineCapabilities = {
  losses: ["cross-entropy", "ppo"],
  klTerms: ["k2", "k3"],
  optimizers: ["adamw", "muon"],
  lossReduction: "sum",
  trains: ["weights", "adapter"],
  reference: true,
  equalBits: true,
  refusesNonFinite: true,
  contextLength: Number.POSITIVE_INFINITY,
  concurrency: Number.POSITIVE_INFINITY,
  topLogprobs: 20,
};
