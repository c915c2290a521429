/** Seconds spent under each name since the last `take`. */
export interface Stopwatch {
  time<T>(phase: string, work: () => Promise<T>): Promise<T>;
  take(): Record<string, number>;
}

export function stopwatch(now: () => number): Stopwatch {
  let seconds: Record<string, number> = {};
  return {
    async time(phase, work) {
      const began = now();
      try {
        return await work();
      } finally {
        seconds[phase] = (seconds[phase] ?? 0) + now() - began;
      }
    },
    take() {
      const taken = seconds;
      seconds = {};
      return taken;
    },
  };
}
