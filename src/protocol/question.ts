/** Something to find out, with the answers that count as right. */
export interface Question {
  readonly id: string;
  readonly text: string;
  /** At least one; a metric takes the best over them. */
  readonly gold: readonly string[];
  /** For reports by kind: "1-hop", "2-hop", "comparison" … */
  readonly type?: string;
  readonly source?: string;
}
