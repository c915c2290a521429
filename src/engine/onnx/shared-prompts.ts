/** @file Which sequences of a batch begin alike, so that the beginning need be computed once. */
import type { TrainingSequence } from "../engine.ts";
import { splitByLoad } from "./micro-batch.ts";

export interface SharedPrompt {
  /** Tokens that all members begin with, nothing of which is scored. */
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
  /** A shorter prompt is not worth passes of its own. */
  readonly minTokens: number;
  /** Of all tokens of the siblings, how many must be spared: 0 to 1. */
  readonly minShare: number;
}

export const usualSharing: SharingLimits = { minTokens: 48, minShare: 0.1 };

/** Above 1: a prompt's way back computes it anew. */
const PROMPT_COST = 4 / 3;

/**
 * Siblings have the same prompt, and the first token that is scored stands behind it. The prompt's last token is left
 * to each of them, for their first token is scored there; so a shared prompt has no loss of its own.
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
