/** @file The parts of a run that a program can supply as objects or functions, where a recipe could not name them. */
import { ConfigError } from "../../base/errors.ts";

export const suppliedParts = ["searcher", "reward", "learner", "questions", "environment"] as const;
export type SuppliedPart = (typeof suppliedParts)[number];

/** The key of recipe.yaml, in a run folder, that names the parts which were supplied in code. */
export const suppliedKey = "suppliedInCode";

/** The names that such a recipe.yaml holds; none where the key is absent. */
export function suppliedIn(content: unknown): readonly SuppliedPart[] {
  const names = (content as Record<string, unknown> | null | undefined)?.[suppliedKey];
  return Array.isArray(names) ? suppliedParts.filter((part) => names.includes(part)) : [];
}

/**
 * What was supplied is no part of a recipe, so nothing else shows that a run would go on with another one.
 *
 * @param whose what the recipe with the earlier parts is, for the message
 * @throws ConfigError where the names differ
 */
export function demandSameSupplied(whose: string, before: readonly SuppliedPart[], now: readonly SuppliedPart[]): void {
  const missing = before.filter((part) => !now.includes(part));
  const added = now.filter((part) => !before.includes(part));
  if (missing.length + added.length === 0) return;
  throw new ConfigError(`${whose} ran with ${inWords(before)}, and now it would run with ${inWords(now)}`, {
    hint: [
      ...(missing.length > 0 ? [`call train() from a program, with ${missing.join(" and ")}`] : []),
      ...(added.length > 0 ? [`leave out ${added.join(" and ")}`] : []),
      "or start a new run in another folder",
    ].join(", "),
  });
}

function inWords(parts: readonly SuppliedPart[]): string {
  return parts.length === 0 ? "nothing supplied in code" : `${parts.join(" and ")} supplied in code`;
}
