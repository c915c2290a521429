import { plot } from "asciichart";

/** A line chart over steps as text, as wide as the terminal allows; the values of one column are averaged. */
export function curve(title: string, values: readonly number[], columns = 80): string {
  const drawn = thin(values.filter(Number.isFinite), Math.max(10, Math.min(columns, 100) - 12));
  if (drawn.length === 0) return `${title}: no data`;
  const chart = plot(drawn, { height: 8, format: (value) => value.toFixed(2).padStart(8) });
  return `${title} (1 to ${values.length})\n${chart}`;
}

function thin(values: readonly number[], width: number): number[] {
  if (values.length <= width) return [...values];
  return Array.from({ length: width }, (_, column) => {
    const from = Math.floor((column * values.length) / width);
    const bucket = values.slice(from, Math.floor(((column + 1) * values.length) / width));
    return bucket.reduce((sum, value) => sum + value, 0) / bucket.length;
  });
}
