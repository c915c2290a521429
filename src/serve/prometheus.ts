/** @file Metrics (counters, gauges and histograms) in the text format of Prometheus. */

type Labels = Readonly<Record<string, string | number>>;

interface Metric {
  lines(): string[];
}

export class Registry {
  readonly #metrics: Metric[] = [];

  text(): string {
    return this.#metrics
      .flatMap((metric) => metric.lines())
      .join("\n")
      .concat("\n");
  }

  counter(name: string, help: string): { add(by?: number, labels?: Labels): void; total(): number } {
    const values = new Map<string, number>();
    this.#metrics.push({
      lines: () => [
        ...header(name, help, "counter"),
        ...[...values].map(([labels, value]) => `${name}${labels} ${value}`),
      ],
    });
    return {
      add: (by = 1, labels = {}) => {
        const key = written(labels);
        values.set(key, (values.get(key) ?? 0) + by);
      },
      total: () => [...values.values()].reduce((sum, value) => sum + value, 0),
    };
  }

  /** @param read called whenever the metrics are scraped */
  gauge(name: string, help: string, read: () => number): void {
    this.#metrics.push({ lines: () => [...header(name, help, "gauge"), `${name} ${read()}`] });
  }

  /** @param bounds upper bounds of the buckets, increasing */
  histogram(name: string, help: string, bounds: readonly number[]): { observe(value: number): void } {
    const counts = bounds.map(() => 0);
    let [sum, count] = [0, 0];
    this.#metrics.push({
      lines: () => [
        ...header(name, help, "histogram"),
        ...bounds.map((bound, i) => `${name}_bucket${written({ le: bound })} ${counts[i]}`),
        `${name}_bucket${written({ le: "+Inf" })} ${count}`,
        `${name}_sum ${sum}`,
        `${name}_count ${count}`,
      ],
    });
    return {
      observe(value) {
        bounds.forEach((bound, i) => {
          if (value <= bound) counts[i]!++;
        });
        sum += value;
        count++;
      },
    };
  }
}

const header = (name: string, help: string, type: string) => [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];

function written(labels: Labels): string {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${String(value).replace(/[\\"]/g, "\\$&").replaceAll("\n", "\\n")}"`,
  );
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}
