/** @file Which engine samples and learns, and how much of this machine it may take. */
import { z } from "zod";

const OnnxSettings = z.strictObject({
  // recipes written before there was a choice name no kind
  kind: z.literal("onnx").optional().default("onnx").describe("The embedded engine, on this machine's processor."),
  workers: z.int().min(1).max(1024).optional(),
  threads: z.int().min(1).max(1024).optional(),
  maxMemoryGb: z
    .number()
    .positive()
    .optional()
    .describe(
      "Memory of the run in GB, planned to 96 %; it limits simultaneous attempts. Default 80 % of what is free.",
    ),
  recompute: z
    .boolean()
    .optional()
    .describe(
      "Activation checkpointing: recomputes each layer's activations in the backward pass, which takes less memory and a third more work in learning.",
    ),
});

export const EngineSettings = z
  .discriminatedUnion("kind", [OnnxSettings])
  .prefault({})
  .describe("Default: suitable for the policy's size and this machine.");
export type EngineSettings = z.infer<typeof EngineSettings>;
export type EngineKind = EngineSettings["kind"];

/** A stored recipe without a kind is of the embedded engine, the only one that there was. */
export function withEngineKind(recipe: unknown): unknown {
  if (typeof recipe !== "object" || recipe === null || !("engine" in recipe)) return recipe;
  const { engine } = recipe;
  return typeof engine === "object" && engine !== null ? { ...recipe, engine: { kind: "onnx", ...engine } } : recipe;
}
