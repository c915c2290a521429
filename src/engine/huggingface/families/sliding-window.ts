import { type Fail, flag, isGiven, type JsonObject, show } from "../config-fields.ts";

/** The defaults of transformers for keys that a Qwen config leaves out. */
const defaults = { window: 4096, fullLayers: 28 };

/**
 * Most Qwen folders name a window and switch it off. It is refused if a layer uses it, unless it is at least as long as
 * the context.
 */
export function refuseSlidingWindow(raw: JsonObject, fail: Fail): void {
  const types = raw["layer_types"] ?? [];
  if (!Array.isArray(types)) throw fail(`"layer_types" is ${show(types)}; expected a list`);
  const other = types.find((type) => type !== "full_attention" && type !== "sliding_attention");
  if (other !== undefined) fail(`layer_types ${show(other)} is not supported; full_attention is`);
  if (!flag(raw, "use_sliding_window", fail)) return;
  const window = raw["sliding_window"] === undefined ? defaults.window : raw["sliding_window"];
  if (window === null) return;
  const slides = isGiven(raw["layer_types"])
    ? types.includes("sliding_attention")
    : Number(raw["num_hidden_layers"]) > Number(raw["max_window_layers"] ?? defaults.fullLayers);
  const context = raw["max_position_embeddings"];
  if (slides && !(typeof window === "number" && typeof context === "number" && window >= context))
    fail(
      `use_sliding_window with sliding_window ${show(window)} is not supported: every token must attend to all before it`,
    );
}
