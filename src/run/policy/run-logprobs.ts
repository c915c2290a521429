import { availableParallelism } from "node:os";
import { ConfigError } from "../../base/errors.ts";
import { readModelConfig } from "../../engine/huggingface/model-config.ts";
import { openWeights } from "../../engine/huggingface/safetensors.ts";
import { usualMicroBatch } from "../../engine/onnx/options.ts";
import { byteTokenizer } from "../../protocol/byte-tokenizer.ts";
import { machineMemory, planRun } from "../engines/memory-plan.ts";
import { createEngine, loadOrClose, loraOf } from "../engines/onnx-policy.ts";
import { PolicySettings } from "../recipe/policy-settings.ts";
import { findLocalPolicy, type PlaceOptions } from "../store/find-policy.ts";

/**
 * Natural-log probabilities of ids[1:], each given all ids before it. No tokenizer is needed.
 * @throws ConfigError if the model cannot score the ids, or does not fit into memory
 */
export async function modelLogprobs(
  path: string,
  ids: readonly number[],
  options: PlaceOptions = {},
): Promise<number[]> {
  const { directory, adapter } = await findLocalPolicy(path, options);
  const config = readModelConfig(directory);
  const { vocabSize, contextLength } = config;
  const beyond = ids.find((id) => !(Number.isInteger(id) && id >= 0 && id < vocabSize));
  if (beyond !== undefined)
    throw new ConfigError(`--ids holds ${beyond}; ${directory} has ids from 0 to ${vocabSize - 1}`);
  if (ids.length < 2 || ids.length > contextLength)
    throw new ConfigError(`--ids holds ${ids.length} tokens; from 2 to ${contextLength} can be scored`);
  await (await openWeights(directory, config)).close(); // errors are found before memory is allocated
  const threads = availableParallelism();
  const demand = {
    workers: 1,
    threads,
    context: ids.length,
    microBatchTokens: usualMicroBatch,
    wanted: 1,
  };
  planRun(config, { ...demand, learnt: "nothing" }, machineMemory());
  const engine = createEngine(
    { directory, config, tokenizer: byteTokenizer([]) }, // nothing is decoded
    {
      ...{ workers: 1, threads, training: false, maxSequences: 1, contextLength },
      settings: PolicySettings.parse({}),
      lora: adapter === undefined ? undefined : loraOf(adapter),
    },
  );
  await loadOrClose(engine, { directory, adapter }, config);
  try {
    const [logprobs] = await engine.logprobs([Int32Array.from(ids)]);
    return Array.from(logprobs!);
  } finally {
    await engine.close();
  }
}
