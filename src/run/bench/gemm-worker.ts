/** @file A thread that multiplies matrices as fast as ONNX Runtime can: what learning is measured against. */
import { parentPort } from "node:worker_threads";
import { GraphBuilder } from "../../runtime/graph-builder.ts";
import { createSession, type Tensor } from "../../runtime/onnx.ts";
import type { Call } from "../../runtime/worker-pool.ts";

export interface GemmJob {
  /** [rows, inner] × [inner, columns]. */
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
  /** So many second matrices in turn: beyond what caches hold, they come from memory as a model's weights do. */
  readonly copies: number;
  readonly threads: number;
  readonly seconds: number;
}

/** @returns floating-point operations per second where each product is the quickest of its kind: others may want the processor */
async function multiply({ rows, inner, columns, copies, threads, seconds }: GemmJob): Promise<number> {
  const graph = new GraphBuilder();
  graph.output(graph.node("MatMul", [graph.input("a", 2), graph.input("b", 2)]), "y", 2);
  const session = await createSession(graph.bytes(), { threads });
  const matrix = (shape: readonly [number, number], value: number): Tensor => ({
    data: new Float32Array(shape[0] * shape[1]).fill(value),
    shape,
  });
  const [a, y] = [matrix([rows, inner], 0.5), matrix([rows, columns], 0)];
  const weights = Array.from({ length: copies }, () => matrix([inner, columns], 0.25));
  const quickest = weights.map(() => Number.POSITIVE_INFINITY);
  const end = performance.now() + 1000 * seconds;
  for (let rounds = 0; rounds < 3 || performance.now() < end; rounds++) {
    for (const [i, b] of weights.entries()) {
      const began = performance.now();
      await session.run({ a, b }, { y });
      quickest[i] = Math.min(quickest[i]!, performance.now() - began);
    }
  }
  await session.release();
  const all = quickest.reduce((sum, milliseconds) => sum + milliseconds, 0);
  return (2 * rows * inner * columns * copies) / (all / 1000);
}

parentPort!.on("message", async ({ id, method, argument }: Call) => {
  if (method === "close") {
    parentPort!.postMessage({ id, value: undefined });
    parentPort!.close();
    return;
  }
  parentPort!.postMessage({ id, value: await multiply(argument as GemmJob) });
});
