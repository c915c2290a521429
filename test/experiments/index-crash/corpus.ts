import { randomOf } from "../../../src/base/random.ts";
import type { Passage } from "../../../src/protocol/passage.ts";

/** Passages in a segment before it is merged. */
export const RUN = 200;
/** Of the passages, those that are built; the rest is appended. */
export const BUILT = 600;

const random = randomOf(1, "index-crash");
const text = (most: number) =>
  Array.from({ length: 1 + random.int(most) }, () => `w${Math.floor(300 ** random.next())}`).join(" ");

export const crashPassages: readonly Passage[] = Array.from({ length: 950 }, (_, i) => ({
  id: `p${i}`,
  title: text(2),
  text: text(20),
}));

export const crashQueries = ["w1 w7", "w20", "w3 w250 w9 w2", "w0 w1 w2 w3 w4 w5"];
