import { Presets, SingleBar } from "cli-progress";
import type { StepProgress } from "../../run/train/progress.ts";
import type { Output } from "../output.ts";
import { duration, percent } from "./words.ts";

/** A line that is refreshed on a terminal; elsewhere a small number of plain lines. */
export interface ProgressBar {
  update(done: number, total: number, note: string): void;
  /** Whole lines, printed above the bar. */
  say(text: string): void;
  end(): void;
}

export function createProgressBar(output: Output, unit: string, { everyLine = false } = {}): ProgressBar {
  return output.stream.isTTY ? terminalBar(output, unit) : plainLines(output, unit, everyLine);
}

function terminalBar(output: Output, unit: string): ProgressBar {
  const options = {
    format: `{bar} {value}/{total} ${unit} · {note}`,
    stream: output.stream as NodeJS.WritableStream,
    barsize: 20,
    hideCursor: true,
    clearOnComplete: true,
    linewrap: false,
    gracefulExit: false, // Ctrl-C is the command's, which saves
    fps: 10,
  };
  let bar: SingleBar | undefined;
  const pause = () => {
    bar?.stop();
    bar = undefined;
  };
  return {
    update(done, total, note) {
      if (bar) {
        bar.update(done, { note });
        return;
      }
      bar = new SingleBar(options, Presets.shades_classic);
      bar.start(total, done, { note });
    },
    say(text) {
      pause();
      output.say(text);
    },
    end: pause,
  };
}

function plainLines(output: Output, unit: string, everyLine: boolean): ProgressBar {
  let shownTwentieth = -1;
  return {
    update(done, total, note) {
      const twentieth = total > 0 ? Math.floor((20 * done) / total) : 0;
      if (!everyLine && twentieth === shownTwentieth) return;
      shownTwentieth = twentieth;
      output.say(`${done}/${total} ${unit} · ${note}`);
    },
    say: output.say,
    end: () => {},
  };
}

/** The progress line of a training run; if output is piped, one line per step. */
export function createLiveLine(output: Output): {
  step(progress: StepProgress): void;
  say(text: string): void;
  end(): void;
} {
  const bar = createProgressBar(output, "steps", { everyLine: true });
  return {
    step: (progress) => bar.update(progress.step, progress.steps, stepNote(progress)),
    say: bar.say,
    end: bar.end,
  };
}

export function stepNote(progress: StepProgress): string {
  const { stage, etaSeconds, reward, searchRate, f1, entropy, tokensPerSecond } = progress;
  return [
    stage,
    `${duration(etaSeconds)} left`,
    `reward ${reward.toFixed(3)}`,
    `searched ${percent(searchRate)}`,
    `F1 ${f1.toFixed(3)}`,
    `entropy ${entropy.toFixed(2)}`,
    `${Math.round(tokensPerSecond)} tokens/s`,
  ].join(" · ");
}
