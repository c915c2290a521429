import type { CorpusOptions, CorpusProgress } from "../../run/search/run-index-build.ts";
import { createProgressBar } from "../display/live-line.ts";
import { duration } from "../display/words.ts";
import type { Output } from "../output.ts";
import { printable } from "../output.ts";

const MOST_SHOWN = 10;

/** Shows how far a corpus is read and merged, and the first bad rows that are passed over. */
export function corpusProgress(output: Output): {
  readonly options: Pick<CorpusOptions, "onBadRow" | "onCorpusProgress">;
  sayBadRows(count: number): void;
  end(): void;
} {
  const bar = createProgressBar(output, "%");
  let shown = 0;
  return {
    options: {
      onBadRow: (message) => {
        if (shown++ < MOST_SHOWN) bar.say(`passed over: ${printable(message)}`);
      },
      onCorpusProgress: ({ phase, passages, fraction, secondsLeft }: CorpusProgress) => {
        const left = Number.isFinite(secondsLeft) ? ` · ${duration(secondsLeft)} left` : "";
        bar.update(Math.floor(100 * fraction), 100, `${phase} · ${passages} passages${left}`);
      },
    },
    sayBadRows: (count) => {
      if (count > 0) output.say(`${count} bad rows were passed over`);
    },
    end: bar.end,
  };
}
