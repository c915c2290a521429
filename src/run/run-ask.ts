import { ConfigError } from "../base/errors.ts";
import type { Author } from "../protocol/tape.ts";
import type { Trajectory } from "../rollout/trajectory.ts";

export interface AskOptions {
  /** Absent: an example question of the bundled world. */
  readonly question?: string;
  /** A model folder or a run folder; default the bundled searcher. */
  readonly model?: string;
  /** The index that answers; default the bundled world's. */
  readonly index?: string;
  readonly decode: "greedy" | "sampled";
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** The tape as it grows, in order, with who wrote it. */
  readonly onText?: (author: Author, text: string) => void;
}

export interface AskResult {
  readonly trajectory: Trajectory;
  /** Undefined where the policy closed no answer. */
  readonly answer: string | undefined;
}

export async function runAsk(_options: AskOptions): Promise<AskResult> {
  throw new ConfigError("ask is not built yet");
}
