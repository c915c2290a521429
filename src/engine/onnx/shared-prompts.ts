/** @file Finds sequences of a batch with the same beginning, which is then computed once. */
import type { TrainingSequence } from "../engine.ts";
import { splitByLoad } from "./micro-batch.ts";

export interface SharedPrompt {
  /** Tokens that all members begin with; none of them is scored. */
  readonly length: number;
  /** Indices in the batch, rising. */
  readonly members: readonly number[];
}

export interface Sharing {
  readonly prompts: readonly SharedPrompt[];
  /** Indices of all others, rising. */
  readonly alone: readonly number[];
}

export interface SharingLimits {
  /** A shorter prompt is not worth separate passes. */
  readonly minTokens: number;
  /** Share of all tokens of the siblings that must be saved, 0 to 1. */
  readonly minShare: number;
}

export const usualSharing: SharingLimits = { minTokens: 48, minShare: 0.1 };

/** Cost of a prompt token relative to another; above 1 because the backward pass recomputes the prompt. */
const PROMPT_COST = 4 / 3;

/**
 * Siblings have the same prompt, and their first scored token comes after it. The prompt's last token stays with each
 * sibling, because it predicts the sibling's first token; so the shared part has no loss of its own.
 */
export function sharePrompts(batch: readonly TrainingSequence[], limits: SharingLimits): Sharing {
  const byPrompt = new Map<string, { length: number; members: number[] }>();
  const alone: number[] = [];
  for (const [index, { tokens, weights }] of batch.entries()) {
    const length = weights.findIndex((weight, position) => position > 0 && weight !== 0) - 1;
    if (length < limits.minTokens) {
      alone.push(index);
      continue;
    }
    const key = tokens.subarray(0, length).join(",");
    const known = byPrompt.get(key);
    if (known) known.members.push(index);
    else byPrompt.set(key, { length, members: [index] });
  }
  const prompts: SharedPrompt[] = [];
  for (const { length, members } of byPrompt.values()) {
    const tokens = members.reduce((sum, index) => sum + batch[index]!.tokens.length, 0);
    const spared = (members.length - PROMPT_COST) * length;
    if (spared > 0 && spared >= limits.minShare * tokens) prompts.push({ length, members });
    else alone.push(...members);
  }
  return { prompts, alone: alone.sort((a, b) => a - b) };
}

/** Splits a batch over workers; siblings that share a prompt stay together. @returns indices by worker, rising */
export function splitSiblings(batch: readonly TrainingSequence[], workers: number): number[][] {
  const { prompts, alone } = sharePrompts(batch, usualSharing);
  const units = [...alone.map((index) => ({ length: 0, members: [index] })), ...prompts];
  const loads = units.map(({ length, members }) =>
    members.reduce((sum, index) => sum + batch[index]!.tokens.length - length, length),
  );
  const shares = splitByLoad(loads, workers);
  return shares.map((share) => share.flatMap((unit) => units[unit]!.members).sort((a, b) => a - b));
}
