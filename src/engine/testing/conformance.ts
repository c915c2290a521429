/** @file What every engine must do, as plain checks: run them under any test runner. */
import { learningChecks } from "./learning-checks.ts";
import { learnerPromises, samplerPromises } from "./promise-checks.ts";
import { samplingChecks } from "./sampling-checks.ts";
import type { EngineCheck, EngineConformanceOptions, EngineUnderTest, LearningSubject, Subject } from "./subject.ts";

export type { EngineConformanceOptions, EnginePromise, EngineUnderTest } from "./subject.ts";

export interface ConformanceCheck {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/**
 * @param make gives a fresh engine, always with the same weights: small ones, so that its distributions are not all on
 * one token, of at least 64 tokens of context
 */
export function engineConformance(
  name: string,
  make: () => Promise<EngineUnderTest>,
  { tolerance = 1e-4, overshoot = 0, without = [] }: EngineConformanceOptions = {},
): readonly ConformanceCheck[] {
  const given = <S>({ needs = [] }: EngineCheck<S>) => !needs.some((promise) => without.includes(promise));
  const named = <S>({ what, body }: EngineCheck<S>, subjectOf: (made: EngineUnderTest) => S): ConformanceCheck => ({
    name: `${name}: ${what}`,
    run: async () => {
      const made = await make();
      try {
        await body(subjectOf(made));
      } finally {
        await made.close();
      }
    },
  });
  const subjectOf = (made: EngineUnderTest): Subject => ({
    ...made,
    tolerance,
    overshoot,
    equalBits: !without.includes("equal bits"),
  });
  const learningSubjectOf = (made: EngineUnderTest): LearningSubject => {
    const { learner } = made;
    if (!learner) throw new Error(`${name} has no learner: say so with without: ["learning"]`);
    return { ...subjectOf(made), learner };
  };
  return [
    ...[...samplingChecks, ...samplerPromises].filter(given).map((check) => named(check, subjectOf)),
    ...(without.includes("learning")
      ? []
      : [...learningChecks, ...learnerPromises].map((check) => named(check, learningSubjectOf))),
  ];
}
