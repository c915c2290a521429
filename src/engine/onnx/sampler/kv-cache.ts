import type { Tensor } from "../../../runtime/onnx.ts";
import type { ModelConfig } from "../../huggingface/model-config.ts";
import { decodeNames } from "../models/decode-graph.ts";

export interface CacheTensors {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly outputs: Readonly<Record<string, Tensor>>;
}

/** Keys and values of a fixed number of sequences, one slot each: [slots, KV, maximum, D] per layer. */
export class KvCache {
  readonly slots: number;
  /** Tokens that fit in one slot. */
  readonly maximum: number;
  readonly #config: ModelConfig;
  readonly #layers: readonly { readonly keys: Float32Array; readonly values: Float32Array }[];
  /** By "from/count": the same few ranges are requested all the time. */
  readonly #tensors = new Map<string, CacheTensors>();

  constructor(config: ModelConfig, { slots, maximum }: { readonly slots: number; readonly maximum: number }) {
    this.slots = slots;
    this.maximum = maximum;
    this.#config = config;
    const length = slots * this.#slotLength;
    this.#layers = Array.from({ length: config.layers }, () => ({
      keys: new Float32Array(length),
      values: new Float32Array(length),
    }));
  }

  /** Graph inputs and outputs (the same memory) for slots [from, from + count). */
  tensors(from: number, count: number): CacheTensors {
    const known = this.#tensors.get(`${from}/${count}`);
    if (known) return known;
    const { kvHeads, headDim } = this.#config;
    const shape = [count, kvHeads, this.maximum, headDim];
    const inputs: Record<string, Tensor> = {};
    const outputs: Record<string, Tensor> = {};
    for (const [layer, { keys, values }] of this.#layers.entries()) {
      const view = (data: Float32Array): Tensor => ({
        data: data.subarray(from * this.#slotLength, (from + count) * this.#slotLength),
        shape,
      });
      inputs[decodeNames.key(layer)] = outputs[decodeNames.newKey(layer)] = view(keys);
      inputs[decodeNames.value(layer)] = outputs[decodeNames.newValue(layer)] = view(values);
    }
    this.#tensors.set(`${from}/${count}`, { inputs, outputs });
    return { inputs, outputs };
  }

  /** Copies the first `tokens` positions of a slot over those of another. */
  copy(from: number, to: number, tokens: number): void {
    const { kvHeads, headDim } = this.#config;
    for (const { keys, values } of this.#layers) {
      for (let head = 0; head < kvHeads; head++) {
        const within = head * this.maximum * headDim;
        const source = from * this.#slotLength + within;
        const target = to * this.#slotLength + within;
        keys.copyWithin(target, source, source + tokens * headDim);
        values.copyWithin(target, source, source + tokens * headDim);
      }
    }
  }

  get #slotLength(): number {
    return this.#config.kvHeads * this.maximum * this.#config.headDim;
  }
}
