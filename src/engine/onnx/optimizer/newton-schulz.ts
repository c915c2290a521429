/**
 * @file The Newton–Schulz iteration of Muon: moves every singular value of a matrix close to 1 with matrix products
 * only. It is an ONNX graph of three Gemm nodes per iteration, so that the products use the runtime's matrix kernels.
 * Source of the iteration and its coefficients: Keller Jordan, "Muon: an optimizer for hidden layers" (2024).
 */

import { GraphBuilder } from "../../../runtime/graph-builder.ts";
import { createSession, type Session } from "../../../runtime/onnx.ts";

/** X ← aX + b(XXᵀ)X + c(XXᵀ)²X: steep at 0, so that small singular values grow fast. */
const [a, b, c] = [3.4445, -4.775, 2.0315];
const iterations = 5;

export interface NewtonSchulz {
  /** Overwrites `x`, [rows, columns] with Frobenius norm at most 1, with its orthogonalised form. */
  run(x: Float32Array, shape: readonly [rows: number, columns: number]): Promise<void>;
  release(): Promise<void>;
}

type Side = "rows" | "columns";

/** Sessions are created on first use, one for wide and one for tall matrices; both accept any size. */
export function createNewtonSchulz(threads: number): NewtonSchulz {
  const sessions = new Map<Side, Promise<Session>>();
  const sessionFor = (side: Side) => {
    let session = sessions.get(side);
    if (!session) {
      session = createSession(newtonSchulzGraph(side), { threads });
      sessions.set(side, session);
    }
    return session;
  };
  return {
    async run(x, shape) {
      const session = await sessionFor(shape[0] <= shape[1] ? "rows" : "columns");
      // in place: the graph reads x only in its first iteration and writes it only with its last node
      const tensor = { data: x, shape };
      await session.run({ x: tensor }, { orthogonal: tensor });
    },
    async release() {
      const open = [...sessions.values()];
      sessions.clear();
      for (const session of open) await (await session).release();
    },
  };
}

/**
 * The Gram matrix is taken over the shorter side (XXᵀ of rows, XᵀX of columns), which is equivalent to transposing a
 * tall matrix first. Additions use Gemm's third operand, so that no separate element-wise operation is needed.
 */
export function newtonSchulzGraph(side: Side): Uint8Array {
  const graph = new GraphBuilder();
  let x = graph.input("x", 2);
  for (let i = 0; i < iterations; i++) {
    const gram = graph.node("Gemm", [x, x], side === "rows" ? { transB: 1 } : { transA: 1 });
    const factor = graph.node("Gemm", [gram, gram, gram], { alpha: { float: c }, beta: { float: b } });
    x = graph.node("Gemm", side === "rows" ? [factor, x, x] : [x, factor, x], { beta: { float: a } });
  }
  graph.output(x, "orthogonal", 2);
  return graph.bytes();
}
