import { refuseFlags } from "../config-fields.ts";
import type { Family } from "./family.ts";
import { refuseSlidingWindow } from "./sliding-window.ts";

export const qwen3: Family = {
  name: "qwen3",
  architecture: "Qwen3ForCausalLM",
  models: "Qwen3",
  defaults: { contextLength: 32_768, headDim: 128 },
  features: (raw, fail) => {
    refuseFlags(raw, ["attention_bias"], fail);
    refuseSlidingWindow(raw, fail);
    return { qkvBias: false, qkNorm: true };
  },
};
