export interface Schedule {
  readonly schedule: "constant" | "linear" | "cosine";
  readonly warmupSteps: number;
  /** What is left at the last step. */
  readonly finalShare: number;
}

/** Share of the full learning rate at `step` (from 0) of `steps`: linear warm-up, then the curve. In (0, 1]. */
export function learningRateShare(
  step: number,
  steps: number,
  { schedule, warmupSteps, finalShare }: Schedule,
): number {
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  const after = Math.max(1, steps - 1 - warmupSteps);
  const progress = Math.min(1, (step - warmupSteps) / after);
  switch (schedule) {
    case "constant":
      return 1;
    case "linear":
      return 1 - (1 - finalShare) * progress;
    case "cosine":
      return finalShare + (1 - finalShare) * 0.5 * (1 + Math.cos(Math.PI * progress));
  }
}
