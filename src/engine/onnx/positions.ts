import type { Tensor } from "../../runtime/onnx.ts";
import type { ModelConfig } from "../huggingface/model-config.ts";
import { rotaryFrequencies } from "../huggingface/rope.ts";
import { QUERY_BLOCKS } from "./graph/attention.ts";
import { trainNames } from "./models/train-names.ts";

/** cos and sin of the rotary angles, [positions, headDim / 2] each, in float64 until the last rounding. */
export function rotaryTables(config: ModelConfig, positions: number): { cos: Float32Array; sin: Float32Array } {
  const frequencies = rotaryFrequencies(config);
  const half = frequencies.length;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (const [i, frequency] of frequencies.entries()) {
    for (let position = 0; position < positions; position++) {
      cos[position * half + i] = Math.cos(position * frequency);
      sin[position * half + i] = Math.sin(position * frequency);
    }
  }
  return { cos, sin };
}

/** Boundaries of the blocks of queries, `length` last: equal shares, in multiples of 16 if there are enough queries. */
export function blockEdges(length: number): number[] {
  if (length < QUERY_BLOCKS) throw new Error(`${length} positions cannot be cut into ${QUERY_BLOCKS} blocks`);
  const unit = length >= 16 * QUERY_BLOCKS ? 16 : 1;
  const inner = Array.from({ length: QUERY_BLOCKS }, (_, i) => unit * Math.round((i * length) / QUERY_BLOCKS / unit));
  return [...inner, length];
}

/** Low enough that softmax returns exactly 0 in f32, and far from overflow. */
const HIDDEN = -1e9;

/** The inputs of a training graph that depend on shapes alone: causal mask, rotary tables, shape. */
export class Positions {
  readonly #config: ModelConfig;
  /** By rows and columns. */
  readonly #masks = new Map<string, Float32Array>();
  #tables: { length: number; cos: Float32Array; sin: Float32Array; negativeSin: Float32Array } | undefined;

  constructor(config: ModelConfig) {
    this.#config = config;
  }

  /** @param past number of prompt tokens before every sequence; 0 for a graph without a past */
  inputs(batch: number, length: number, past = 0): Record<string, Tensor> {
    const { heads, kvHeads, headDim } = this.#config;
    const tables = this.#tablesFor(past + length);
    const tableShape = [tables.length, headDim / 2];
    return {
      [trainNames.shape]: {
        data: BigInt64Array.from([batch, length, heads + 2 * kvHeads, headDim], BigInt),
        shape: [4],
      },
      [trainNames.edges]: { data: BigInt64Array.from(blockEdges(length), BigInt), shape: [QUERY_BLOCKS + 1] },
      ...(past > 0 ? { [trainNames.past]: { data: BigInt64Array.of(BigInt(past)), shape: [1] } } : {}),
      [trainNames.mask]: { data: this.#mask(length, past), shape: [length, past + length] },
      [trainNames.cos]: { data: tables.cos, shape: tableShape },
      [trainNames.sin]: { data: tables.sin, shape: tableShape },
      [trainNames.negativeSin]: { data: tables.negativeSin, shape: tableShape },
    };
  }

  #mask(length: number, past: number): Float32Array {
    const key = `${length}/${past}`;
    let mask = this.#masks.get(key);
    if (mask) return mask;
    const columns = past + length;
    mask = new Float32Array(length * columns);
    for (let row = 0; row < length; row++) mask.fill(HIDDEN, row * columns + past + row + 1, (row + 1) * columns);
    if (this.#masks.size >= 64) this.#masks.clear();
    this.#masks.set(key, mask);
    return mask;
  }

  #tablesFor(length: number) {
    if (!this.#tables || this.#tables.length < length) {
      const size = Math.max(256, 2 ** Math.ceil(Math.log2(length)));
      const { cos, sin } = rotaryTables(this.#config, size);
      this.#tables = { length: size, cos, sin, negativeSin: sin.map((x) => -x) };
    }
    return this.#tables;
  }
}
