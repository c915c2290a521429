import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";

/**
 * A record of the differentiable operations of a graph, for reverse-mode automatic differentiation. Each operation
 * records a rule that turns the gradient of its output into gradients of its inputs. A rule gets the gradient that has
 * been accumulated so far, so that Gemm can add to it through its third operand at no extra cost.
 */
export class GraphTrace {
  readonly graph: GraphBuilder;
  readonly #rules: (() => void)[] = [];
  readonly #gradients = new Map<string, Value>();
  readonly #frozen = new Set<string>();

  constructor(graph: GraphBuilder) {
    this.graph = graph;
  }

  /** Called once per output of an operation. `rule` runs in the backward pass if `output` has received a gradient. */
  record(output: Value, rule: (gradient: Value) => void): void {
    this.#rules.push(() => {
      const gradient = this.#gradients.get(output.name);
      if (gradient) rule(gradient);
    });
  }

  /** Excludes `value` from differentiation: additions to its gradient are never computed. */
  freeze(value: Value): void {
    this.#frozen.add(value.name);
  }

  /** Adds to the gradient of `value`: `contribute` receives the sum so far and returns the new sum. */
  add(value: Value, contribute: (soFar: Value | undefined) => Value): void {
    if (this.#frozen.has(value.name)) return;
    this.#gradients.set(value.name, contribute(this.#gradients.get(value.name)));
  }

  /** Sets the initial gradient of a value; for a parameter, the gradient accumulated in earlier runs. */
  seed(value: Value, gradient: Value): void {
    this.#gradients.set(value.name, gradient);
  }

  gradient(value: Value): Value | undefined {
    return this.#gradients.get(value.name);
  }

  backward(): void {
    for (const rule of this.#rules.toReversed()) rule();
  }
}
