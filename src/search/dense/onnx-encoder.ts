import { resolve } from "node:path";
import type { Session } from "../../runtime/onnx.ts";
import { idsOf, openBertSession, runBert, type Tokenize } from "./bert-folder.ts";
import type { Encoder } from "./encoder.ts";
import { type EncoderOverrides, type EncoderSettings, readEncoderSettings } from "./encoder-settings.ts";

export interface OnnxEncoderOptions extends EncoderOverrides {
  readonly tokenize: Tokenize;
  readonly threads?: number;
}

/**
 * Opens an encoder of the BERT family from a Hugging Face folder. Texts are run one by one: padding would make a vector
 * depend on the others in a batch, and a batch gains little if a single row already uses all cores.
 * @throws DataError if the folder is not such an encoder, EngineError if the runtime refuses its graph
 */
export async function openOnnxEncoder(
  directory: string,
  { tokenize, threads = 1, ...overrides }: OnnxEncoderOptions,
): Promise<Encoder> {
  const settings = readEncoderSettings(directory, overrides);
  const { session, fingerprint } = await openBertSession(directory, { settings, threads, task: "feature-extraction" });
  const output = session.outputNames.find((name) => /last_hidden_state|token_embeddings/.test(name));
  const parts = { session, settings, tokenize, output: output ?? session.outputNames[0]! };
  const encodeAll = async (prefix: string, texts: readonly string[], signal?: AbortSignal) => {
    const vectors: Float32Array[] = [];
    for (const text of texts) {
      signal?.throwIfAborted();
      vectors.push(await encodeOne(parts, prefix + text));
      await new Promise(setImmediate); // a run blocks the thread
    }
    return vectors;
  };
  let closed: Promise<void> | undefined;
  return {
    dimension: settings.dimension,
    identity: { source: resolve(directory), fingerprint, settings: { ...settings } },
    encodeQueries: (texts, signal) => encodeAll(settings.queryPrefix, texts, signal),
    encodePassages: (texts, signal) => encodeAll(settings.passagePrefix, texts, signal),
    close: () => (closed ??= session.release()),
  };
}

interface Parts {
  readonly session: Session;
  readonly settings: EncoderSettings;
  readonly tokenize: Tokenize;
  readonly output: string;
}

async function encodeOne({ session, settings, tokenize, output }: Parts, text: string): Promise<Float32Array> {
  const { maxTokens, dimension } = settings;
  const all = idsOf(tokenize, text, maxTokens);
  const ids = all.length <= maxTokens ? all : [...all.slice(0, maxTokens - 1), all.at(-1)!]; // the last one to close closes the session
  const states = new Float32Array(ids.length * dimension);
  await runBert(session, { ids }, { name: output, tensor: { data: states, shape: [1, ids.length, dimension] } });
  return pooled(states, settings);
}

/** @param states [tokens, dimension] */
function pooled(states: Float32Array, { pooling, normalize, dimension }: EncoderSettings): Float32Array {
  const vector = states.slice(0, dimension);
  if (pooling === "mean") {
    const tokens = states.length / dimension;
    for (let at = dimension; at < states.length; at++) vector[at % dimension]! += states[at]!;
    for (let i = 0; i < dimension; i++) vector[i]! /= tokens;
  }
  if (normalize) {
    const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
    if (length > 0) for (let i = 0; i < dimension; i++) vector[i]! /= length;
  }
  return vector;
}
