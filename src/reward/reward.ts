import type { RewardPart } from "../protocol/reward-part.ts";

/** Every number can be explained: `total` is the sum of the parts' values. */
export interface Reward {
  readonly total: number;
  readonly parts: readonly RewardPart[];
}
