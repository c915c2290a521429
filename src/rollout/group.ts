import { type EpisodeOptions, runEpisode } from "./episode.ts";
import type { Trajectory } from "./trajectory.ts";

export interface GroupOptions extends Omit<EpisodeOptions, "sibling" | "onAppend"> {
  /** Attempts at the question. */
  readonly siblings: number;
  /** Bounds how many attempts run at once; default none. */
  readonly limit?: (work: () => Promise<Trajectory>) => Promise<Trajectory>;
}

/**
 * The siblings of one question, in order; those that the environment failed stay among them, marked by their stop.
 * Where one throws, its error is thrown after the others have come to rest.
 */
export async function runGroup({
  siblings,
  limit = (work) => work(),
  ...options
}: GroupOptions): Promise<readonly Trajectory[]> {
  const attempts = Array.from({ length: siblings }, (_, sibling) => limit(() => runEpisode({ ...options, sibling })));
  await Promise.allSettled(attempts);
  return Promise.all(attempts);
}
