import { join, resolve } from "node:path";
import { DataError, EngineError } from "../../base/errors.ts";
import type { Session } from "../../runtime/onnx.ts";
import { idsOf, openBertSession, readBertConfig, runBert, type Tokenize } from "../dense/bert-folder.ts";
import type { Reranker } from "./reranker.ts";

export interface OnnxRerankerOptions {
  readonly tokenize: Tokenize;
  readonly threads?: number;
  /** Limit for query and passage together; default 512, or the model's number of positions if that is less. */
  readonly maxTokens?: number;
}

/**
 * Opens a cross-encoder of the BERT family (sequence classification) from a Hugging Face folder. A single output is the
 * score; with two outputs it is the second, "relevant", minus the first.
 * @throws DataError if the folder is not such a model, EngineError if the runtime refuses its graph
 */
export async function openOnnxReranker(
  directory: string,
  { tokenize, threads = 1, maxTokens: most = 512 }: OnnxRerankerOptions,
): Promise<Reranker> {
  const { id2label, max_position_embeddings: positions } = readBertConfig(directory, "reranker");
  const labels = id2label === undefined ? 2 : Object.keys(id2label).length;
  if (labels < 1 || labels > 2)
    throw new DataError(`${join(directory, "config.json")}: id2label names ${labels} classes`, {
      hint: "a reranker has one output, or two: not relevant, and relevant",
    });
  const maxTokens = Math.min(most, positions);
  const settings = { maxTokens, labels };
  const { session, fingerprint } = await openBertSession(directory, { settings, threads, task: "text-classification" });
  const output = session.outputNames.find((name) => name === "logits") ?? session.outputNames[0]!;
  const parts = { session, output, labels };
  let closed: Promise<void> | undefined;
  const reranker: Reranker = {
    identity: { source: resolve(directory), fingerprint },
    async score(query, passages, signal) {
      const asked = idsOf(tokenize, query, maxTokens);
      const scores: number[] = [];
      for (const passage of passages) {
        signal?.throwIfAborted();
        scores.push(await scoreOf(parts, pairOf(asked, idsOf(tokenize, passage, maxTokens), maxTokens)));
        await new Promise(setImmediate); // a run blocks the thread
      }
      return scores;
    },
    close: () => (closed ??= session.release()),
  };
  return checked(directory, reranker, tokenize);
}

/** Scores a test pair, so that an unexpected graph or tokenizer is found before the first search. */
async function checked(directory: string, reranker: Reranker, tokenize: Tokenize): Promise<Reranker> {
  try {
    if (tokenize("").length !== 2)
      throw new DataError(`${join(directory, "tokenizer.json")} puts no [CLS] and [SEP] around a text`, {
        hint: "use the tokenizer that the model was trained with",
      });
    await reranker.score("", [""]);
    return reranker;
  } catch (cause) {
    await reranker.close();
    if (!(cause instanceof EngineError)) throw cause;
    throw new DataError(`${directory} does not score a query with a passage: ${cause.message}`, {
      hint: "give a cross-encoder, exported for text-classification; an encoder of single texts is none",
      cause,
    });
  }
}

interface Pair {
  readonly ids: readonly number[];
  /** 0 for the first text, 1 for the second. */
  readonly types: readonly number[];
}

/**
 * [CLS] first [SEP] second [SEP]. If they are too long together, the longer text is truncated.
 *
 * @param first @param second each with its own [CLS] and [SEP]
 */
export function pairOf(first: readonly number[], second: readonly number[], maxTokens: number): Pair {
  const [open, close] = [first[0]!, first.at(-1)!];
  const [kept, other] = fitting(first.length - 2, second.length - 2, maxTokens - 3);
  const one = [open, ...first.slice(1, 1 + kept), close];
  const two = [...second.slice(1, 1 + other), close];
  return { ids: [...one, ...two], types: [...one.map(() => 0), ...two.map(() => 1)] };
}

/** The lengths to which two texts are truncated, by Hugging Face's "longest first" strategy. */
function fitting(a: number, b: number, room: number): [number, number] {
  if (a + b <= room) return [a, b];
  const [short, long] = [Math.min(a, b), Math.max(a, b)];
  const half = Math.floor(room / 2);
  const [less, more] = short <= half ? [short, Math.min(long, room - short)] : [half, room - half];
  return a <= b ? [less, more] : [more, less];
}

async function scoreOf(
  { session, output, labels }: { readonly session: Session; readonly output: string; readonly labels: number },
  pair: Pair,
): Promise<number> {
  const logits = new Float32Array(labels);
  await runBert(session, pair, { name: output, tensor: { data: logits, shape: [1, labels] } });
  const score = labels === 1 ? logits[0]! : logits[1]! - logits[0]!;
  if (Number.isFinite(score)) return score;
  throw new EngineError("the reranker gave a score that is not finite", { hint: "export its model again" });
}
