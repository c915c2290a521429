/** @file A thread that multiplies matrices as fast as ONNX Runtime can: what learning is measured against. */
import { parentPort } from "node:worker_threads";
import { GraphBuilder } from "../../src/runtime/graph-builder.ts";
import { createSession, type Tensor } from "../../src/runtime/onnx.ts";
import type { Call } from "../../src/runtime/worker-pool.ts";

export interface GemmJob {
  /** Of square matrices. */
  readonly size: number;
  readonly threads: number;
  readonly seconds: number;
}

/** @returns floating-point operations per second of the quickest product: others may want the processor */
async function multiply({ size, threads, seconds }: GemmJob): Promise<number> {
  const graph = new GraphBuilder();
  graph.output(graph.node("MatMul", [graph.input("a", 2), graph.input("b", 2)]), "y", 2);
  const session = await createSession(graph.bytes(), { threads });
  const matrix = (value: number): Tensor => ({ data: new Float32Array(size * size).fill(value), shape: [size, size] });
  const [a, b, y] = [matrix(0.5), matrix(0.25), matrix(0)];
  let quickest = Number.POSITIVE_INFINITY;
  const end = performance.now() + 1000 * seconds;
  for (let rounds = 0; rounds < 3 || performance.now() < end; rounds++) {
    const began = performance.now();
    await session.run({ a, b }, { y });
    quickest = Math.min(quickest, performance.now() - began);
  }
  await session.release();
  return (2 * size ** 3) / (quickest / 1000);
}

parentPort!.on("message", async ({ id, method, argument }: Call) => {
  if (method === "close") {
    parentPort!.postMessage({ id, value: undefined });
    parentPort!.close();
    return;
  }
  parentPort!.postMessage({ id, value: await multiply(argument as GemmJob) });
});
