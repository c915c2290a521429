import { GraphBuilder } from "../../runtime/graph-builder.ts";
import { createSession } from "../../runtime/onnx.ts";

/** The result that `runProbe` writes into the caller's buffer if the runtime works. */
export const probeExpected: readonly number[] = [20, 23, 44, 51];

/** Runs a graph of two nodes: AB + 1 for two 2 × 2 matrices. */
export async function runProbe(): Promise<Float32Array> {
  const builder = new GraphBuilder();
  const product = builder.node("MatMul", [builder.input("a", 2), builder.input("b", 2)]);
  builder.output(builder.node("Add", [product, builder.scalar(1)]), "y", 2);
  const session = await createSession(builder.bytes(), { threads: 1 });
  const y = new Float32Array(4);
  const matrix = (...values: number[]) => ({ data: Float32Array.from(values), shape: [2, 2] });
  await session.run({ a: matrix(1, 2, 3, 4), b: matrix(5, 6, 7, 8) }, { y: { data: y, shape: [2, 2] } });
  await session.release();
  return y;
}
