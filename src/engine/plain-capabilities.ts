import type { EngineCapabilities } from "./engine.ts";

/** What an engine can do that is made of `nextTokenSampler`, the losses in plain numbers and `adamWStep`. */
export const plainCapabilities: EngineCapabilities = {
  losses: ["cross-entropy", "ppo"],
  klTerms: ["k2", "k3"],
  optimizers: ["adamw"],
  lossReduction: "sum",
  trains: ["weights"],
  reference: false,
  equalBits: true,
  refusesNonFinite: true,
  contextLength: Number.POSITIVE_INFINITY,
  concurrency: Number.POSITIVE_INFINITY,
  topLogprobs: 20,
};
