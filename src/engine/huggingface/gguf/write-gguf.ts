/** @file Writes a model as one GGUF file, which llama.cpp and the programs built on it can open. */
import { type GGUFTypedMetadata, GGUFValueType, serializeGgufMetadata } from "@huggingface/gguf";
import { type ModelConfig, sizeOf } from "../model-config.ts";
import { bytesPer, type NumberFormat } from "../number-format.ts";
import { alignedTo, type TensorSource, writeAll, writeTensors, writeWhole } from "../weights-writer.ts";
import { ggufTensors } from "./gguf-tensors.ts";
import { type GgufTokenizer, ggufTokenizer } from "./gguf-tokenizer.ts";

const VERSION = 3;
const ALIGNMENT = 32;
/** Codes of the GGUF format for a tensor, and for a file with mostly such tensors. */
const tensorTypes: Readonly<Record<NumberFormat, number>> = { f32: 0, f16: 1, bf16: 30 };
const fileTypes: Readonly<Record<NumberFormat, number>> = { f32: 0, f16: 1, bf16: 32 };

export interface GgufOptions {
  /** The folder that holds the tokenizer. */
  readonly directory: string;
  readonly config: ModelConfig;
  readonly name: string;
  readonly license?: string | undefined;
  readonly format: NumberFormat;
  readonly read: (name: string, into: Float32Array) => Promise<void>;
  readonly signal?: AbortSignal | undefined;
  readonly onBytes?: (bytes: number) => void;
}

/** @throws EngineError if llama.cpp would not compute the same function with this model */
export async function writeGguf(file: string, options: GgufOptions): Promise<void> {
  const { directory, config, format, read, signal, onBytes } = options;
  const tokenizer = ggufTokenizer(directory, config);
  const tensors = ggufTensors(config, read).map((tensor) => ({ ...tensor, format: formatOf(tensor, format) }));
  const metadata = serializeGgufMetadata(metadataOf(options, tokenizer, tensors.length), { alignment: 1 });
  const infos = tensorInfos(tensors);
  const padding = new Uint8Array(padded(metadata.length + infos.length) - metadata.length - infos.length);
  await writeWhole(file, async (handle) => {
    for (const part of [metadata, infos, padding]) await writeAll(handle, part);
    await writeTensors(handle, tensors, { alignment: ALIGNMENT, signal, onBytes });
  });
}

const padded = (bytes: number) => alignedTo(ALIGNMENT, bytes);

/** llama.cpp computes with norm gains and biases in f32 and accepts no other format for them. */
const formatOf = ({ shape }: TensorSource, format: NumberFormat): NumberFormat => (shape.length === 1 ? "f32" : format);

/** Name, dimensions (innermost first), format and offset of each tensor. */
function tensorInfos(tensors: readonly (TensorSource & { readonly format: NumberFormat })[]): Buffer {
  const parts: Buffer[] = [];
  let offset = 0;
  for (const tensor of tensors) {
    const { name, shape, format } = tensor;
    const text = Buffer.from(name);
    const info = Buffer.alloc(8 + text.length + 4 + 8 * shape.length + 4 + 8);
    let at = info.writeBigUInt64LE(BigInt(text.length));
    at += text.copy(info, at);
    at = info.writeUInt32LE(shape.length, at);
    for (const size of shape.toReversed()) at = info.writeBigUInt64LE(BigInt(size), at);
    at = info.writeUInt32LE(tensorTypes[format], at);
    info.writeBigUInt64LE(BigInt(offset), at);
    parts.push(info);
    offset += padded(sizeOf(tensor.shape) * bytesPer[format]);
  }
  return Buffer.concat(parts);
}

type Entry = GGUFTypedMetadata[string];
const { UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY } = GGUFValueType;
const count = (value: number): Entry => ({ value, type: UINT32 });
const number = (value: number): Entry => ({ value, type: FLOAT32 });
const text = (value: string): Entry => ({ value, type: STRING });

function metadataOf(
  { config, name, license, format }: GgufOptions,
  tokenizer: GgufTokenizer,
  tensors: number,
): GGUFTypedMetadata {
  const of = config.family;
  const { ropeScaling } = config;
  return {
    version: { value: VERSION, type: UINT32 },
    tensor_count: { value: BigInt(tensors), type: GGUFValueType.UINT64 },
    kv_count: { value: 0n, type: GGUFValueType.UINT64 }, // counted where it is written
    "general.architecture": text(of),
    "general.type": text("model"),
    "general.name": text(name),
    ...(license === undefined ? {} : { "general.license": text(license) }),
    "general.file_type": count(fileTypes[format]),
    "general.alignment": count(ALIGNMENT),
    [`${of}.vocab_size`]: count(config.vocabSize),
    [`${of}.context_length`]: count(config.contextLength),
    [`${of}.embedding_length`]: count(config.width),
    [`${of}.block_count`]: count(config.layers),
    [`${of}.feed_forward_length`]: count(config.ffnWidth),
    [`${of}.attention.head_count`]: count(config.heads),
    [`${of}.attention.head_count_kv`]: count(config.kvHeads),
    [`${of}.attention.key_length`]: count(config.headDim),
    [`${of}.attention.value_length`]: count(config.headDim),
    [`${of}.attention.layer_norm_rms_epsilon`]: number(config.rmsEpsilon),
    [`${of}.rope.dimension_count`]: count(config.headDim),
    [`${of}.rope.freq_base`]: number(config.ropeTheta),
    ...(ropeScaling?.kind === "linear"
      ? { [`${of}.rope.scaling.type`]: text("linear"), [`${of}.rope.scaling.factor`]: number(ropeScaling.factor) }
      : {}),
    ...tokenizerEntries(tokenizer),
  } as GGUFTypedMetadata;
}

function tokenizerEntries(tokenizer: GgufTokenizer): Record<string, Entry> {
  const { pre, tokens, types, merges, bosId, eosId, padId, addsBos, chatTemplate } = tokenizer;
  const list = (value: readonly (string | number)[], subType: GGUFValueType): Entry => ({
    value: value as string[],
    type: ARRAY,
    subType,
  });
  const id = (key: string, value: number | undefined) =>
    value === undefined ? {} : { [`tokenizer.ggml.${key}_token_id`]: count(value) };
  return {
    "tokenizer.ggml.model": text("gpt2"), // byte-level BPE, whoever trained it
    "tokenizer.ggml.pre": text(pre),
    "tokenizer.ggml.tokens": list(tokens, STRING),
    "tokenizer.ggml.token_type": list(types, INT32),
    "tokenizer.ggml.merges": list(merges, STRING),
    ...id("bos", bosId),
    ...id("eos", eosId),
    ...id("padding", padId),
    "tokenizer.ggml.add_bos_token": { value: addsBos, type: BOOL },
    ...(chatTemplate === undefined ? {} : { "tokenizer.chat_template": text(chatTemplate) }),
  };
}
