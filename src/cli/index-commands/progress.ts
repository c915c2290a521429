import type { CorpusOptions, CorpusProgress } from "../../run/search/run-index-build.ts";
import { createProgressBar } from "../display/live-line.ts";
import { duration } from "../display/words.ts";
import type { Output } from "../output.ts";
import { printable } from "../output.ts";

const MOST_SHOWN = 10;

/** Shows the progress of reading and merging a corpus, and the first invalid rows that were skipped. */
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
        if (shown++ < MOST_SHOWN) bar.say(`skipped: ${printable(message)}`);
      },
      onCorpusProgress: ({ phase, passages, fraction, secondsLeft }: CorpusProgress) => {
        const left = Number.isFinite(secondsLeft) ? ` · ${duration(secondsLeft)} left` : "";
        bar.update(Math.floor(100 * fraction), 100, `${phase} · ${passages} passages${left}`);
      },
    },
    sayBadRows: (count) => {
      if (count > 0) output.say(`${count} invalid rows were skipped`);
    },
    end: bar.end,
  };
}
