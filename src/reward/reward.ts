/** Every number can be explained: `total` is the sum of the parts' values. */
export interface RewardPart {
  readonly rule: string;
  readonly value: number;
  readonly because: string;
  /** Index into the transcript of the part that it speaks of. */
  readonly part?: number;
  /** The rule whose value covers this one too, where several that fire cost no more than one. */
  readonly sharedWith?: string;
}

export interface Reward {
  readonly total: number;
  readonly parts: readonly RewardPart[];
}
