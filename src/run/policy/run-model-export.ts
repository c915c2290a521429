/** @file Exports a policy for other programs: a Hugging Face folder in a chosen number format, or one GGUF file. */
import { copyFileSync, existsSync, readdirSync, rmSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError, InterruptedError } from "../../base/errors.ts";
import { writeGguf } from "../../engine/huggingface/gguf/write-gguf.ts";
import { readSource } from "../../engine/huggingface/hub/get-model.ts";
import { parameterSpecs, readModelConfig, sizeOf, writeModelConfig } from "../../engine/huggingface/model-config.ts";
import { bytesPer, type NumberFormat } from "../../engine/huggingface/number-format.ts";
import { openWeights, type WeightsFile } from "../../engine/huggingface/safetensors.ts";
import { writeWeights } from "../../engine/huggingface/weights-writer.ts";
import { openMergedWeights } from "../../engine/onnx/merged-weights.ts";
import { copyTextFiles } from "../engines/onnx-policy.ts";
import { settingsFile } from "../recipe/policy-settings.ts";
import { findLocalPolicy } from "../store/find-policy.ts";
import { readRunFacts } from "../store/run-folder.ts";
import { makeWritable } from "../store/writable-folder.ts";
import { writeModelCard } from "./model-card.ts";
import { runCard } from "./run-card.ts";

export const exportFormats = ["hf", "gguf"] as const;
export type ExportFormat = (typeof exportFormats)[number];

export interface ExportOptions {
  /** A model folder, or a run folder: its last complete checkpoint. An adapter is merged into the weights. */
  readonly policy: string;
  /** A PEFT folder or a run that trained an adapter, used with `policy`. */
  readonly adapter?: string | undefined;
  /** A folder, or a file for "gguf". */
  readonly out: string;
  readonly format: ExportFormat;
  readonly dtype: NumberFormat;
  readonly maxShardBytes?: number;
  readonly signal?: AbortSignal;
  readonly warn?: (message: string) => void;
  readonly onProgress?: (progress: { readonly bytes: number; readonly total: number }) => void;
}

export interface Exported {
  readonly out: string;
  readonly format: ExportFormat;
  readonly dtype: NumberFormat;
  readonly bytes: number;
}

/** @throws ConfigError, EngineError; InterruptedError if the signal was raised, and nothing unfinished is left */
export async function exportModel(options: ExportOptions): Promise<Exported> {
  const { policy, format, dtype, signal, onProgress, warn = () => {} } = options;
  const out = resolve(options.out);
  const { directory, adapter } = await findLocalPolicy(policy, { adapter: options.adapter, warn });
  const config = readModelConfig(directory);
  const weights = await (adapter === undefined
    ? openWeights(directory, config)
    : openMergedWeights({ directory, adapter }, config));
  try {
    const total = parameterSpecs(config).reduce((sum, { shape }) => sum + sizeOf(shape) * bytesPer[dtype], 0);
    const how = {
      ...options,
      out,
      directory,
      taught: adapter ?? directory,
      weights,
      onBytes: (bytes: number) => onProgress?.({ bytes, total }),
    };
    await (format === "gguf" ? exportGguf(how, config) : exportFolder(how, config));
    return { out, format, dtype, bytes: total };
  } catch (cause) {
    if (!signal?.aborted) throw cause;
    throw new InterruptedError(`${out} was not finished`, { hint: "run the same command again" });
  } finally {
    await weights.close();
  }
}

type Job = ExportOptions & {
  readonly directory: string;
  /** Where training left its settings and its card. */
  readonly taught: string;
  readonly weights: WeightsFile;
  readonly onBytes: (bytes: number) => void;
};

async function exportGguf(
  { policy, out, directory, weights, dtype, signal, onBytes }: Job,
  config: ReturnType<typeof readModelConfig>,
): Promise<void> {
  if (!out.endsWith(".gguf"))
    throw new ConfigError(`${out} does not end in .gguf`, { hint: "a GGUF export is one file: name it so" });
  if (existsSync(out)) throw new ConfigError(`${out} already exists`, { hint: "name another file" });
  const undo = makeWritable(dirname(out));
  const name = basename(resolve(policy));
  const { license } = readSource(directory) ?? {};
  try {
    await writeGguf(out, {
      ...{ directory, config, name, license, format: dtype, signal, onBytes },
      read: weights.read,
    });
  } catch (cause) {
    rmSync(`${out}.tmp-${process.pid}`, { force: true });
    undo();
    throw cause;
  }
}

async function exportFolder(
  { out, directory, taught, weights, dtype, maxShardBytes, signal, onBytes }: Job,
  config: ReturnType<typeof readModelConfig>,
): Promise<void> {
  if (existsSync(out) && readdirSync(out).length > 0)
    throw new ConfigError(`${out} is not empty`, { hint: "name a new folder" });
  const undo = makeWritable(out);
  const sources = parameterSpecs(config).map(({ name, shape }) => ({
    ...{ name, shape },
    read: (into: Float32Array) => weights.read(name, into),
  }));
  try {
    writeModelConfig(out, config, dtype);
    copyTextFiles(directory, out, config);
    if (existsSync(join(taught, settingsFile))) copyFileSync(join(taught, settingsFile), join(out, settingsFile));
    writeCard(taught, out);
    await writeWeights(out, sources, { format: dtype, signal, onBytes, ...(maxShardBytes ? { maxShardBytes } : {}) });
  } catch (cause) {
    for (const name of readdirSync(out)) rmSync(join(out, name), { force: true });
    undo();
    throw cause;
  }
}

/** A checkpoint's card is written again, because the run has evaluated it since. */
function writeCard(directory: string, out: string): void {
  const run = readRunFacts(directory);
  if (run) writeModelCard(out, runCard({ ...run, measured: true, isAdapter: false }));
  else if (existsSync(join(directory, "README.md"))) copyFileSync(join(directory, "README.md"), join(out, "README.md"));
}
