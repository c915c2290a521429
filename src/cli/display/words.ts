/** For people: "41 s", "6 min 05 s", "2 h 03 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

/** "0.953" → "95.3 %"; a dash for a share of nothing. */
export function percent(share: number | undefined): string {
  return share === undefined || !Number.isFinite(share) ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** "1.5 GB", in powers of 1,000. */
export function bytes(count: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  const power = count < 1000 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(count) / 3));
  return `${(count / 1000 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}
