/** Looks at every vector of an index and leaves the few that are scored exactly. */
export interface Scan {
  /** Per query, positions in the corpus of at least `depth` candidates, or of all. */
  candidates(queries: readonly Float32Array[], depth: number): Promise<readonly Iterable<number>[]>;
  close(): Promise<void>;
}

/** What a scan is made of: rows in corpus order, read once. */
export interface ScanSource {
  readonly count: number;
  readonly dimension: number;
  readonly metric: "ip" | "l2";
  /** By row. */
  readonly scales: Float32Array;
  /** Pieces of the codes, front to back, cut anywhere. */
  codes(): Iterable<Int8Array>;
}

/** Half the squared length of each row as its codes stand for it: what distance takes off the inner product. */
export function halfSquares({ scales }: ScanSource, squares: Float64Array): Float32Array {
  return Float32Array.from(squares, (sum, i) => (sum * scales[i]! * scales[i]!) / 2);
}
