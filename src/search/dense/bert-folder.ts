/**
 * @file Shared by encoders and cross-encoders of the BERT family: reading a Hugging Face folder and running its graph.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { DataError, messageOf } from "../../base/errors.ts";
import { toJson } from "../../base/jsonl.ts";
import { createSession, type Session, type Tensor } from "../../runtime/onnx.ts";

/** Token ids of a text, with the special tokens at its start and end. */
export type Tokenize = (text: string) => readonly number[];

const candidates = ["onnx/model.onnx", "onnx/model_quantized.onnx", "model.onnx", "model_quantized.onnx"];
/** The maximum size of a protobuf message. */
const MAX_MODEL_BYTES = 2 ** 31 - 1;
const MAX_JSON_BYTES = 1 << 20;
/** Longer texts are cut before tokenising; in real texts no token is longer on average. */
const LETTERS_PER_TOKEN = 32;

export const BertConfig = z.object({
  model_type: z.string(),
  hidden_size: z.int().positive().max(65_536),
  max_position_embeddings: z
    .int()
    .positive()
    .max(1 << 20)
    .default(512),
  _name_or_path: z.string().default(""),
  /** Names of a classifier's outputs; the library that writes these files omits them if there are two. */
  id2label: z.record(z.string(), z.unknown()).optional(),
});

/** @throws DataError if the folder is not a model of the BERT family */
export function readBertConfig(directory: string, kind: string): z.infer<typeof BertConfig> {
  const config = readFolderJson(directory, "config.json", BertConfig);
  if (config === undefined)
    throw new DataError(`${directory} is no ${kind}: it has no config.json`, {
      hint: "give a Hugging Face folder with config.json, tokenizer.json and onnx/model.onnx",
    });
  if (config.model_type !== "bert")
    throw new DataError(`${join(directory, "config.json")}: model_type is "${config.model_type}"; bert is supported`, {
      hint:
        kind === "encoder"
          ? "serve other encoders over /v1/embeddings and give the address"
          : "give one of BERT's family",
    });
  return config;
}

/** @returns undefined if the folder does not have the file @throws DataError if the file cannot be used */
export function readFolderJson<T>(directory: string, name: string, schema: z.ZodType<T>): T | undefined {
  const file = join(directory, name);
  if (!existsSync(file)) return undefined;
  try {
    if (statSync(file).size > MAX_JSON_BYTES) throw new Error(`it has more than ${MAX_JSON_BYTES} bytes`);
    const parsed = schema.safeParse(JSON.parse(readFileSync(file, "utf8")));
    if (parsed.success) return parsed.data;
    throw new Error(z.prettifyError(parsed.error));
  } catch (cause) {
    throw new DataError(`${file} cannot be used: ${messageOf(cause)}`, { hint: "download the model again", cause });
  }
}

export interface BertSession {
  readonly session: Session;
  /** A hash of settings, tokenizer and model: everything that a result depends on. */
  readonly fingerprint: string;
}

/**
 * @param task the exporter's name of the task
 * @throws DataError if the folder has no model, EngineError if the runtime refuses its graph
 */
export async function openBertSession(
  directory: string,
  { settings, threads, task }: { readonly settings: object; readonly threads: number; readonly task: string },
): Promise<BertSession> {
  const file = candidates.map((name) => join(directory, name)).find(existsSync);
  if (file === undefined)
    throw new DataError(`${directory} has no onnx/model.onnx`, {
      hint: `export it once: optimum-cli export onnx --model NAME --task ${task} DIR`,
    });
  if (statSync(file).size > MAX_MODEL_BYTES)
    throw new DataError(`${file} has more than 2 GiB`, { hint: "use a smaller or quantized model, or a server" });
  const model = readFileSync(file);
  const fingerprint = createHash("sha256")
    .update(toJson(settings))
    .update(readFileSync(join(directory, "tokenizer.json")))
    .update(model)
    .digest("hex");
  return { session: await createSession(model, { threads }), fingerprint };
}

/** Token ids of the beginning of a text, more than are needed if it is long. */
export const idsOf = (tokenize: Tokenize, text: string, maxTokens: number) =>
  tokenize(text.slice(0, maxTokens * LETTERS_PER_TOKEN).toWellFormed());

/**
 * Runs one row through the graph.
 *
 * @param types the segment (0 or 1) of each token
 * @param result is filled; its shape must be exact
 */
export async function runBert(
  session: Session,
  { ids, types }: { readonly ids: readonly number[]; readonly types?: readonly number[] },
  result: { readonly name: string; readonly tensor: Tensor },
): Promise<void> {
  const shape = [1, ids.length];
  const row = (value: (i: number) => number): Tensor => ({
    data: BigInt64Array.from(ids, (_, i) => BigInt(value(i))),
    shape,
  });
  const known: Readonly<Record<string, Tensor>> = {
    input_ids: row((i) => ids[i]!),
    attention_mask: row(() => 1),
    token_type_ids: row((i) => types?.[i] ?? 0),
  };
  const inputs = Object.fromEntries(Object.entries(known).filter(([name]) => session.inputNames.includes(name)));
  await session.run(inputs, { [result.name]: result.tensor });
}
