import type { Family } from "./family.ts";
import { refuseSlidingWindow } from "./sliding-window.ts";

export const qwen2: Family = {
  name: "qwen2",
  architecture: "Qwen2ForCausalLM",
  models: "Qwen2, Qwen2.5",
  defaults: { contextLength: 32_768 },
  features: (raw, fail) => {
    refuseSlidingWindow(raw, fail);
    return { qkvBias: true, qkNorm: false };
  },
};
