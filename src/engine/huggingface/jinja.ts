/** @file Chat templates rendered as transformers does it, including what the rendering library does differently. */
import { Template } from "@huggingface/jinja";

const STRIP = "__strip";
const sides = ["strip", "lstrip", "rstrip"] as const;

/** @throws Error if the template cannot be parsed; the returned function throws if it cannot be rendered */
export function parseTemplate(source: string): (variables: Readonly<Record<string, unknown>>) => string {
  const template = new Template(source);
  callOurStrip(template.parsed);
  return (variables) => template.render({ ...variables, [STRIP]: strip });
}

interface Node {
  readonly type: string;
  callee?: Node & { readonly object?: Node; readonly property?: Node; readonly computed?: boolean };
  args?: Node[];
  readonly value?: unknown;
}

/**
 * The library's `text.lstrip(characters)` ignores its argument and strips all white space, which breaks Qwen's
 * templates.
 */
function callOurStrip(part: unknown): void {
  if (typeof part !== "object" || part === null) return;
  for (const inner of Object.values(part)) callOurStrip(inner);
  const node = part as Node;
  const { callee, args } = node;
  const side = callee?.property?.value;
  if (node.type !== "CallExpression" || callee?.type !== "MemberExpression" || callee.computed) return;
  if (args?.length !== 1 || !sides.includes(side as (typeof sides)[number])) return;
  node.args = [callee.object!, { type: "StringLiteral", value: side }, ...args];
  node.callee = { type: "Identifier", value: STRIP };
}

/** Python's strip: removes characters of the set, in any order. */
function strip(text: string, side: (typeof sides)[number], letters: string): string {
  const set = new Set(letters);
  const all = [...text];
  let [from, to] = [0, all.length];
  if (side !== "rstrip") while (from < to && set.has(all[from]!)) from++;
  if (side !== "lstrip") while (to > from && set.has(all[to - 1]!)) to--;
  return all.slice(from, to).join("");
}
