/** @file A run whose search is away: it pauses, looks whether search is back, and then tries the same step again. */
import { SearchError } from "../../base/errors.ts";
import { pause } from "../../base/retry.ts";
import type { Outage, TrainerParts } from "../../rl/parts.ts";
import type { OpenSearch } from "../search/open-source.ts";

/** Milliseconds between two looks. */
const lookEveryMs = 500;
/** A step that fails so often, while a probe is answered at once, fails for another reason. */
const mostInVain = 5;
const hint = "bring search back, then continue with --resume";

/** Undefined where search is in this process: there is nothing to wait for. */
export function waitForSearch(
  { probe, refused }: Pick<OpenSearch, "probe" | "refused">,
  say: (text: string) => void,
): TrainerParts["waitOut"] {
  if (probe === undefined) return undefined;
  let inVain = 0;
  return async ({ step, failed, attempts, times, because }: Outage, signal: AbortSignal) => {
    if (times === 1) inVain = 0;
    const spent = refused();
    if (spent !== undefined)
      throw new SearchError(`${spent}, at step ${step + 1}`, {
        hint: "raise search.budget, then continue with --resume",
      });
    say(
      `step ${step + 1}: ${failed} of ${attempts} attempts failed outside the policy (${because}); waiting for search …`,
    );
    const began = performance.now();
    for (let looks = 1; ; looks++) {
      const answer = await probe(signal);
      if (answer.ok) {
        inVain = looks === 1 ? inVain + 1 : 0;
        if (inVain >= mostInVain) {
          throw new SearchError(`step ${step + 1} failed ${inVain} times although search answers: ${because}`, {
            hint,
          });
        }
        say(`search is back after ${Math.round((performance.now() - began) / 1000)} s; step ${step + 1} begins again`);
        return;
      }
      if (!answer.error.retryable) throw new SearchError(`search refuses: ${answer.error.message}`, { hint });
      await pause(lookEveryMs, signal);
    }
  };
}
