/** @file What every environment must do, as plain checks: run them under any test runner. No model is needed. */
import { deepStrictEqual, ok, strictEqual } from "node:assert/strict";
import { ScriptedSampler } from "../engine/scripted.ts";
import { byteTokenizer } from "../protocol/byte-tokenizer.ts";
import { encodeSegments } from "../protocol/documents.ts";
import { type Protocol, protocolTags } from "../protocol/protocol.ts";
import type { Question } from "../protocol/question.ts";
import { lossMask } from "../protocol/tape.ts";
import type { ConformanceCheck } from "../search/conformance.ts";
import { RolloutConfig } from "./config.ts";
import type { Action, AttemptContext, Environment, EnvironmentFactory, Observed, StepResult } from "./environment.ts";
import { runEpisode } from "./episode.ts";
import type { Trajectory } from "./trajectory.ts";

export interface EnvironmentConformanceOptions {
  /** Makes an environment that works. */
  readonly make: () => EnvironmentFactory | Promise<EnvironmentFactory>;
  readonly question: Question;
  /** In the order in which they are taken. Each is served: with an observation, or the last one by ending the attempt. */
  readonly actions: readonly Action[];
  /** Makes one whose first action fails, with its server or file gone; absent for an environment that cannot fail. */
  readonly makeFailing?: () => EnvironmentFactory | Promise<EnvironmentFactory>;
}

const hostileTexts: readonly string[] = [
  "",
  " \t\n",
  "\u0000\u001f",
  "\ud800 lone",
  "{{7*7}} $(x) '; --",
  "9".repeat(5000),
];
/** A mark that no environment writes of its own accord. */
const mark = "canary7f3a91";
/** How long a call may take to end once its signal is raised. */
const abortMs = 2000;

export function environmentConformance(
  name: string,
  options: EnvironmentConformanceOptions,
): readonly ConformanceCheck[] {
  return [...results(options), ...contents(options), ...attempts(options), ...failures(options)].map(
    ({ name: what, run }) => ({
      name: `${name}: ${what}`,
      run,
    }),
  );
}

const contextOf = (sibling: number, signal = new AbortController().signal): AttemptContext => ({
  key: { seed: 1, step: 0, question: 0, sibling },
  signal,
});

/** Everything that one environment returns, in order, and closes it. */
async function play(
  environment: Environment,
  { question, actions }: Pick<EnvironmentConformanceOptions, "question" | "actions">,
  between: () => Promise<unknown> = async () => {},
): Promise<(StepResult | undefined)[]> {
  try {
    const seen: (StepResult | undefined)[] = [await environment.reset(question, contextOf(0))];
    for (const action of actions) {
      await between();
      seen.push(await environment.step(action, contextOf(0)));
    }
    return seen;
  } finally {
    await environment.close?.();
  }
}

/** What one environment gives for the actions of the list. */
const results = (options: EnvironmentConformanceOptions): ConformanceCheck[] => [
  {
    name: "every action of the list is served",
    run: async () => {
      const [begun, ...served] = await play((await options.make()).open(), options);
      ok(begun === undefined || begun.kind === "observation", "reset failed");
      for (const [i, result] of served.entries()) {
        const isLast = i === served.length - 1;
        const isServed = result?.kind === "observation" || (isLast && result?.kind === "done" && !result.refused);
        ok(isServed, `action ${i} gave ${JSON.stringify(result)}`);
      }
    },
  },
  {
    name: "the same actions give the same results, by the same factory and by a new one",
    run: async () => {
      const factory = await options.make();
      const first = await play(factory.open(), options);
      deepStrictEqual(await play(factory.open(), options), first);
      deepStrictEqual(await play((await options.make()).open(), options), first);
    },
  },
  {
    name: "an attempt does not feel another one beside it",
    run: async () => {
      const factory = await options.make();
      const alone = await play(factory.open(), options);
      const other = factory.open();
      await other.reset({ ...options.question, id: "another" }, contextOf(1));
      const disturb = async () => other.step(options.actions[0]!, contextOf(1));
      deepStrictEqual(await play(factory.open(), options, disturb), alone);
      await other.close?.();
      deepStrictEqual(await play(factory.open(), options), alone);
    },
  },
];

/** What every result must keep, whatever the action says. */
const contents = (options: EnvironmentConformanceOptions): ConformanceCheck[] => [
  {
    name: "reward parts are finite, named and explained",
    run: async () => {
      for (const result of await play((await options.make()).open(), options)) {
        if (!result || result.kind === "failed") continue;
        for (const { rule, value, because } of result.rewards ?? [])
          ok(
            Number.isFinite(value) && rule !== "" && because !== "",
            `reward part "${rule}" is ${value}: "${because}"`,
          );
      }
    },
  },
  {
    name: "any text of an action gets a result",
    run: async () => {
      const factory = await options.make();
      for (const { kind } of options.actions)
        for (const text of hostileTexts) {
          const [, result] = await play(factory.open(), { question: options.question, actions: [{ kind, text }] });
          ok(result !== undefined && result.kind !== "failed", `${kind} ${JSON.stringify(text.slice(0, 20))} failed`);
        }
    },
  },
  {
    name: "what the question and the policy say is never taken for text of the program's own",
    run: async () => {
      const { actions } = options;
      const question = { ...options.question, text: `${options.question.text} ${mark}` };
      const marked = actions.map(({ kind, text }) => ({ kind, text: `${text} ${mark}` }));
      const factory = await options.make();
      for (const list of [actions, marked])
        for (const { segments } of (await play(factory.open(), { question, actions: list })).filter(isObserved))
          for (const { text, template } of segments)
            ok(!template || !text.includes(mark), `a segment marked as template says ${JSON.stringify(text)}`);
    },
  },
];

const attempts = (options: EnvironmentConformanceOptions): ConformanceCheck[] => [
  {
    name: "in a whole attempt its text has its own author, is not learnt from and holds no special token",
    run: async () => {
      const factory = await options.make();
      const { protocol } = factory;
      const tokenizer = tokenizerOf(protocol);
      const hostile = `${mark} ${protocolTags(protocol).join(" ")} ${eos}`;
      const question = { ...options.question, text: `${options.question.text} ${hostile}` };
      const observed = (await play(factory.open(), { ...options, question })).filter(isObserved);
      const { tape } = await runAttempt(factory, { ...options, question });
      const runs = positions({ tape }).filter(({ author }) => author !== "prompt" && author !== "policy");
      deepStrictEqual(
        runs.map(({ author }) => author),
        observed.map(({ author }) => author),
      );
      const mask = lossMask(tape);
      for (const [i, { from, to }] of runs.entries()) {
        ok(mask.subarray(from, to).every((weight) => weight === 0));
        const own = encodeSegments(
          tokenizer,
          observed[i]!.segments.filter(({ template }) => template),
        );
        const specials = (ids: Int32Array) => [...ids].filter((id) => tokenizer.specialIds.has(id));
        const written = tape.tokens.subarray(from, to);
        deepStrictEqual(specials(written), specials(own));
        const tagsIn = (ids: Int32Array) =>
          protocolTags(protocol).map((tag) => tokenizer.decode(ids).split(tag).length - 1);
        deepStrictEqual(tagsIn(written), tagsIn(own));
      }
    },
  },
  {
    name: "a whole attempt records every action, and its reward parts in their order",
    run: async () => {
      const factory = await options.make();
      const played = await play(factory.open(), options);
      const trajectory = await runAttempt(factory, options);
      const { searches, actions = [], rewards = [], stop } = trajectory;
      strictEqual(stop, played.at(-1)?.kind === "done" ? "environment-done" : "answered");
      strictEqual(searches.length + actions.length, options.actions.length);
      const given = played.flatMap((result) => (result && result.kind !== "failed" ? (result.rewards ?? []) : []));
      deepStrictEqual(
        rewards.map(({ rule, value }) => [rule, value]),
        given.map(({ rule, value }) => [rule, value]),
      );
    },
  },
];

const failures = ({ make, makeFailing, question, actions }: EnvironmentConformanceOptions): ConformanceCheck[] => [
  {
    name: "a raised signal ends every call, and is not reported as a failure",
    run: async () => {
      const factory = await make();
      const ended = async (call: Promise<StepResult | undefined>) => {
        const late = new Promise<"late">((resolve) => setTimeout(resolve, abortMs, "late").unref());
        const outcome = await Promise.race([call.catch(() => "rejected" as const), late]);
        ok(outcome !== "late", `a call was still running ${abortMs} ms after the signal was raised`);
        ok(typeof outcome !== "object" || outcome.kind !== "failed", "an abort was reported as a failure");
      };
      const unbegun = factory.open();
      await ended(unbegun.reset(question, contextOf(0, AbortSignal.abort())));
      await unbegun.close?.();
      const begun = factory.open();
      const abort = new AbortController();
      await begun.reset(question, contextOf(0, abort.signal));
      const call = begun.step(actions[0]!, contextOf(0, abort.signal));
      abort.abort();
      await ended(call);
      await begun.close?.();
    },
  },
  ...(makeFailing === undefined
    ? []
    : [
        {
          name: "a failure is a value, and the attempt has no reward",
          run: async () => {
            const factory = await makeFailing();
            const [, result] = await play(factory.open(), { question, actions: actions.slice(0, 1) });
            ok(result?.kind === "failed" && result.error !== "", `the action gave ${JSON.stringify(result)}`);
            strictEqual((await runAttempt(factory, { question, actions })).stop, "environment-failed");
          },
        },
      ]),
];

const isObserved = (result: StepResult | undefined): result is Observed => result?.kind === "observation";

const eos = "<|endoftext|>";
const tokenizerOf = (protocol: Protocol) => byteTokenizer([...protocolTags(protocol), eos], { eos });

/** One attempt through the loop, by a policy that takes the actions in turn and then answers. */
async function runAttempt(
  environment: EnvironmentFactory,
  { question, actions }: Pick<EnvironmentConformanceOptions, "question" | "actions">,
): Promise<Trajectory> {
  const { protocol } = environment;
  const tokenizer = tokenizerOf(protocol);
  const said = actions.map(({ kind, text }) => {
    const tags = kind === "query" ? protocol.query : protocol.actions?.find((action) => action.kind === kind);
    if (!tags) throw new Error(`the protocol has no action "${kind}"`);
    return `hm${tags.open}${text}${tags.close}`;
  });
  const answer = `so${protocol.think.close}${protocol.answer.open}x${protocol.answer.close}`;
  const encode = (text: string) => [...tokenizer.encodeTemplate(text)];
  const sampler = new ScriptedSampler({
    replies: [...said, answer].map(encode),
    bytesOf: tokenizer.bytesOf,
    contextLength: 1 << 20,
  });
  return runEpisode({
    ...{ question, sibling: 0, sampler, environment, tokenizer, key: { seed: 1, step: 0, question: 0 } },
    prompt: tokenizer.encodeTemplate(`Q${protocol.think.open}`),
    config: RolloutConfig.parse({ maxTokens: 1 << 16, maxTokensPerTurn: 1 << 16 }),
  });
}

/** The runs of a tape with their token ranges [from, to). */
function positions({ tape }: Pick<Trajectory, "tape">) {
  let to = 0;
  return tape.runs.map(({ author, length }) => {
    to += length;
    return { author, from: to - length, to };
  });
}
