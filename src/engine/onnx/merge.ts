/** @file Adds adapters to the matrices that they adapt: W + alpha / rank · B · A. */
import { GraphBuilder } from "../../runtime/graph-builder.ts";
import { createSession } from "../../runtime/onnx.ts";
import { type LoraShape, loraScale } from "../lora.ts";

/** One adapted matrix. */
export interface Mergeable {
  /** [out, in] */
  readonly shape: readonly number[];
  readonly weight: Float32Array;
  /** [rank, in] */
  readonly a: Float32Array;
  /** [out, rank] */
  readonly b: Float32Array;
  /** [out, in], filled; may be `weight` itself. */
  readonly into: Float32Array;
}

export interface Merger {
  merge(matrices: readonly Mergeable[]): Promise<void>;
  release(): Promise<void>;
}

export async function createMerger(lora: LoraShape, threads: number): Promise<Merger> {
  const graph = new GraphBuilder();
  const [w, a, b] = [graph.input("w", 2), graph.input("a", 2), graph.input("b", 2)];
  graph.output(graph.node("Gemm", [b, a, w], { alpha: { float: loraScale(lora) } }), "merged", 2);
  const session = await createSession(graph.bytes(), { threads });
  const { rank } = lora;
  return {
    async merge(matrices) {
      for (const { shape, weight, into, ...low } of matrices) {
        const inputs = {
          w: { data: weight, shape },
          a: { data: low.a, shape: [rank, shape[1]!] },
          b: { data: low.b, shape: [shape[0]!, rank] },
        };
        await session.run(inputs, { merged: { data: into, shape } });
      }
    },
    release: () => session.release(),
  };
}
