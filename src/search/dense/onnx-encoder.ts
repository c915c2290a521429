import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { DataError } from "../../base/errors.ts";
import { toJson } from "../../base/jsonl.ts";
import { createSession, type Session, type Tensor } from "../../runtime/onnx.ts";
import type { Encoder } from "./encoder.ts";
import { type EncoderOverrides, type EncoderSettings, readEncoderSettings } from "./encoder-settings.ts";

export interface OnnxEncoderOptions extends EncoderOverrides {
  /** Ids of a text with the special tokens around it. */
  readonly tokenize: (text: string) => readonly number[];
  readonly threads?: number;
}

const candidates = ["onnx/model.onnx", "onnx/model_quantized.onnx", "model.onnx", "model_quantized.onnx"];
/** A protobuf holds no more. */
const MAX_MODEL_BYTES = 2 ** 31 - 1;
/** Longer texts are cut before they are cut into tokens; no token of real text is longer on average. */
const LETTERS_PER_TOKEN = 32;

/**
 * An encoder of the BERT family from a Hugging Face folder. Texts are run one by one: padding would make a vector depend
 * on its neighbours, and a batch gains little where every row already fills the processor.
 * @throws DataError where the folder is no such encoder, EngineError where the runtime refuses its graph
 */
export async function openOnnxEncoder(
  directory: string,
  { tokenize, threads = 1, ...overrides }: OnnxEncoderOptions,
): Promise<Encoder> {
  const settings = readEncoderSettings(directory, overrides);
  const file = candidates.map((name) => join(directory, name)).find(existsSync);
  if (file === undefined)
    throw new DataError(`${directory} has no onnx/model.onnx`, {
      hint: "export it once: optimum-cli export onnx --model NAME --task feature-extraction DIR",
    });
  if (statSync(file).size > MAX_MODEL_BYTES)
    throw new DataError(`${file} has more than 2 GiB`, { hint: "use a smaller or quantized model, or a server" });
  const model = readFileSync(file);
  const fingerprint = createHash("sha256")
    .update(toJson(settings))
    .update(readFileSync(join(directory, "tokenizer.json")))
    .update(model)
    .digest("hex");
  const session = await createSession(model, { threads });
  const output = session.outputNames.find((name) => /last_hidden_state|token_embeddings/.test(name));
  const parts = { session, settings, tokenize, output: output ?? session.outputNames[0]! };
  const encodeAll = async (prefix: string, texts: readonly string[], signal?: AbortSignal) => {
    const vectors: Float32Array[] = [];
    for (const text of texts) {
      signal?.throwIfAborted();
      vectors.push(await encodeOne(parts, prefix + text));
      await new Promise(setImmediate); // a run holds the thread
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
  readonly tokenize: (text: string) => readonly number[];
  readonly output: string;
}

async function encodeOne({ session, settings, tokenize, output }: Parts, text: string): Promise<Float32Array> {
  const { maxTokens, dimension } = settings;
  const all = tokenize(text.slice(0, maxTokens * LETTERS_PER_TOKEN).toWellFormed());
  const ids = all.length <= maxTokens ? all : [...all.slice(0, maxTokens - 1), all.at(-1)!]; // the last one closes
  const shape = [1, ids.length];
  const row = (value: (i: number) => number): Tensor => ({
    data: BigInt64Array.from(ids, (_, i) => BigInt(value(i))),
    shape,
  });
  const known: Readonly<Record<string, Tensor>> = {
    input_ids: row((i) => ids[i]!),
    attention_mask: row(() => 1),
    token_type_ids: row(() => 0),
  };
  const inputs = Object.fromEntries(Object.entries(known).filter(([name]) => session.inputNames.includes(name)));
  const states = new Float32Array(ids.length * dimension);
  await session.run(inputs, { [output]: { data: states, shape: [...shape, dimension] } });
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
