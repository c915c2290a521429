import { refuseFlags } from "../config-fields.ts";
import type { Family } from "./family.ts";

export const llama: Family = {
  name: "llama",
  architecture: "LlamaForCausalLM",
  models: "Llama 2 and 3, SmolLM2, nano",
  defaults: { contextLength: 2048 },
  features: (raw, fail) => {
    refuseFlags(raw, ["attention_bias", "mlp_bias"], fail);
    return { qkvBias: false, qkNorm: false };
  },
};
