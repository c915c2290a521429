import type { GraphBuilder, Value } from "../../../runtime/graph-builder.ts";

/**
 * Reverse-mode differentiation over composites. Each composite records how a gradient of its output becomes
 * gradients of its inputs; a rule is handed the gradient collected so far, so that it can add to it for free
 * through the third operand of Gemm.
 */
export class GradientTape {
  readonly graph: GraphBuilder;
  readonly #rules: (() => void)[] = [];
  readonly #gradients = new Map<string, Value>();
  readonly #frozen = new Set<string>();

  constructor(graph: GraphBuilder) {
    this.graph = graph;
  }

  /** Called by a composite, once per output: `rule` runs on the way back, if anything flowed into `output`. */
  record(output: Value, rule: (gradient: Value) => void): void {
    this.#rules.push(() => {
      const gradient = this.#gradients.get(output.name);
      if (gradient) rule(gradient);
    });
  }

  /** Nobody wants the gradient of `value`: what would be added to it is never computed. */
  freeze(value: Value): void {
    this.#frozen.add(value.name);
  }

  /** Adds to the gradient of `value`: `contribute` gets what is there and returns the new sum. */
  add(value: Value, contribute: (soFar: Value | undefined) => Value): void {
    if (this.#frozen.has(value.name)) return;
    this.#gradients.set(value.name, contribute(this.#gradients.get(value.name)));
  }

  /** Starts the gradient of a value, or of a parameter at what earlier runs accumulated. */
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
