/** Scans all vectors of an index and returns the few candidates that are then scored exactly. */
export interface Scan {
  /** For each query, positions in the corpus of at least `depth` candidates, or of all passages. */
  candidates(queries: readonly Float32Array[], depth: number): Promise<readonly Iterable<number>[]>;
  close(): Promise<void>;
}

/** The data of a scan: rows in corpus order, read once. */
export interface ScanSource {
  readonly count: number;
  readonly dimension: number;
  readonly metric: "ip" | "l2";
  /** By row. */
  readonly scales: Float32Array;
  /** Chunks of the codes from front to back, of any size. */
  codes(): Iterable<Int8Array>;
}

/**
 * Half the squared length of each row as represented by its codes; the L2 distance subtracts it from the inner product.
 */
export function halfSquares({ scales }: ScanSource, squares: Float64Array): Float32Array {
  return Float32Array.from(squares, (sum, i) => (sum * scales[i]! * scales[i]!) / 2);
}
