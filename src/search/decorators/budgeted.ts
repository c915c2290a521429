import type { QueryResult, Searcher } from "../searcher.ts";

export interface BudgetOptions {
  /** Maximum number of queries. */
  readonly calls?: number | undefined;
  /** Maximum total cost, in the unit of `costPerCall`. */
  readonly money?: number | undefined;
  readonly costPerCall?: number | undefined;
}

export interface Budgeted extends Searcher {
  /** Why a query was refused; undefined if none was. */
  refused(): string | undefined;
}

/** Refuses queries beyond a number or a cost; the refusal is permanent, and earlier answers are kept. */
export function budgeted(inner: Searcher, { calls, money, costPerCall = 0 }: BudgetOptions): Budgeted {
  const byMoney =
    money !== undefined && costPerCall > 0 ? Math.floor(money / costPerCall + 1e-9) : Number.POSITIVE_INFINITY;
  const most = Math.min(calls ?? Number.POSITIVE_INFINITY, byMoney);
  const spent = `the search budget is spent: ${most} queries${byMoney === most ? ` at ${costPerCall} each` : ""}`;
  let used = 0;
  let refused: string | undefined;
  return {
    ...inner,
    refused: () => refused,
    async search(queries, asked) {
      const allowed = queries.slice(0, most - used);
      used += allowed.length;
      const results = allowed.length === 0 && queries.length > 0 ? [] : await inner.search(allowed, asked);
      if (allowed.length === queries.length) return results;
      refused = spent;
      const refusal: QueryResult = { ok: false, error: { message: spent, retryable: false } };
      return [...results, ...queries.slice(allowed.length).map(() => refusal)];
    },
  };
}
