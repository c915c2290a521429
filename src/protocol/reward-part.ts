/** One term of a reward: given by a rule that scores an attempt, or by the environment that served it. */
export interface RewardPart {
  readonly rule: string;
  readonly value: number;
  readonly because: string;
  /** Index into the transcript of the part that it speaks of. */
  readonly part?: number;
  /** The rule whose value covers this one too, where several that fire cost no more than one. */
  readonly sharedWith?: string;
}
