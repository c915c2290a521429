/** @file Makes a small policy from nothing: next-token training on documents of fictional worlds. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ConfigError, EngineError, InterruptedError } from "../../base/errors.ts";
import { writeAtomically } from "../../base/files.ts";
import { toJson } from "../../base/jsonl.ts";
import type { Tokenizer } from "../../base/tokenizer.ts";
import { documentsPerWorld, pretrainingDocument } from "../../data/world/pretrain.ts";
import { probes } from "../../data/world/probes.ts";
import { trainBpe, writeTokenizer } from "../../engine/huggingface/bpe.ts";
import { type ModelConfig, parseModelConfig, writeModelConfig } from "../../engine/huggingface/model-config.ts";
import { writeSafetensors } from "../../engine/huggingface/safetensors.ts";
import { loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import type { OnnxEngine } from "../../engine/onnx/engine.ts";
import { protocols, protocolTags } from "../../protocol/protocol.ts";
import { rankPassages } from "../../search/bm25/rank.ts";
import { createEngine } from "../engines/onnx-policy.ts";
import { type CardFacts, writeModelCard } from "../policy/model-card.ts";
import { PolicySettings } from "../recipe/policy-settings.ts";
import { initialWeights } from "./initial-weights.ts";
import { encodeDocument, probeSkill, toTrainingBatch, type WeightedTokens } from "./pretrain-batch.ts";
import { type PretrainConfig, rateAt } from "./pretrain-config.ts";

export interface PretrainProgress {
  readonly step: number;
  readonly steps: number;
  readonly tokens: number;
  readonly loss: number;
  readonly tokensPerSecond: number;
  readonly etaSeconds: number;
  /** Share of held-out facts read without one wrong token, by kind of probe; only on some steps. */
  readonly skill?: Readonly<Record<string, number>>;
}

interface Cursor {
  readonly step: number;
  readonly nextDocument: number;
  readonly tokens: number;
  readonly config: PretrainConfig;
}

const END = "<|endoftext|>";

/**
 * @param directory gets the finished policy; while it is made, its state lies in `directory`/.pretrain
 * @throws ConfigError where the folder holds something else, InterruptedError after saving on a signal
 */
export async function pretrain(
  config: PretrainConfig,
  directory: string,
  options: {
    readonly resume: boolean;
    readonly signal?: AbortSignal;
    readonly onProgress?: (progress: PretrainProgress) => void;
  },
): Promise<void> {
  const state = join(directory, ".pretrain");
  const started = existsSync(join(state, "cursor.json"));
  if (existsSync(join(directory, "config.json"))) {
    throw new ConfigError(`${directory} holds a finished policy already`, { hint: "name another folder with --out" });
  }
  if (started && !options.resume) {
    throw new ConfigError(`${directory} holds an unfinished policy`, {
      hint: "continue it with --resume, or name another folder with --out",
    });
  }
  mkdirSync(state, { recursive: true });
  if (!started) prepare(config, state);
  const model = modelConfig(config);
  const tokenizer = await loadTokenizer(state);
  const settings = PolicySettings.parse({
    prompt: "nano",
    rollout: { titles: false, contextLength: config.model.contextLength },
  });
  const engine = createEngine(
    { directory: state, config: model, tokenizer },
    { ...config.engine, training: true, maxSequences: 1, contextLength: config.model.contextLength, settings },
  );
  let last: PretrainProgress | undefined;
  const onProgress = (progress: PretrainProgress) => {
    last = progress;
    options.onProgress?.(progress);
  };
  try {
    const trainer = new Pretrainer({ config, engine, tokenizer, state });
    await trainer.run({ ...options, onProgress });
    await engine.savePolicy(directory);
    writeModelCard(directory, pretrainCard(config, last));
  } finally {
    await engine.close();
  }
  rmSync(state, { recursive: true }); // the policy is whole: nothing is left to continue
}

function pretrainCard(config: PretrainConfig, last: PretrainProgress | undefined): CardFacts {
  const done = last
    ? `: ${last.steps} steps, ${last.tokens} tokens, ${last.loss.toFixed(3)} nats per token at the end`
    : "";
  return {
    name: config.name,
    about: `A small language model, made from nothing on documents of fictional worlds${done}.`,
    origin: undefined,
    library: "transformers",
    command: "npx r1-searcher model pretrain recipe.yaml --out my-model",
    recipe: config,
    seed: config.seed,
    evaluations: [],
    metrics: [],
  };
}

function modelConfig({ model, tokenizer }: PretrainConfig): ModelConfig {
  const raw = {
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    vocab_size: tokenizer.vocabSize,
    hidden_size: model.width,
    intermediate_size: model.ffnWidth,
    num_hidden_layers: model.layers,
    num_attention_heads: model.heads,
    num_key_value_heads: model.kvHeads,
    max_position_embeddings: model.contextLength,
    rope_theta: model.ropeTheta,
    rms_norm_eps: 1e-5,
    hidden_act: "silu",
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: true,
    initializer_range: 0.02,
    torch_dtype: "float32",
  };
  return parseModelConfig(raw, "the pretraining recipe");
}

/** Learns the tokenizer and writes the untrained policy. */
function prepare(config: PretrainConfig, state: string): void {
  const specials = [...protocolTags(protocols["r1-searcher"]), END];
  const texts = function* () {
    for (let i = 0; i < config.tokenizer.documents; i++) {
      // each from a world of its own: no name is frequent enough to become one token
      const plain = documentAt(config, i * documentsPerWorld, 1).map(({ text, template }) =>
        template ? withoutTags(text, specials) : text,
      );
      yield* plain.flat();
    }
  };
  const json = trainBpe({ texts: texts(), vocabSize: config.tokenizer.vocabSize, specials });
  writeTokenizer(state, json, { eos: END, contextLength: config.model.contextLength });
  const model = modelConfig(config);
  writeModelConfig(state, model);
  writeSafetensors(join(state, "model.safetensors"), initialWeights(model, config.seed), { format: "pt" });
}

/** A tag ends a word, so what stands on its two sides is learnt apart. */
function withoutTags(text: string, tags: readonly string[]): string[] {
  return tags.reduce((parts, tag) => parts.flatMap((part) => part.split(tag)), [text]).filter((part) => part !== "");
}

function documentAt(config: PretrainConfig, index: number, share: number) {
  return pretrainingDocument({
    index,
    seed: config.seed,
    phase: share < config.firstPhase ? 1 : 2,
    makeSearch: (passages) => rankPassages(passages),
  });
}

class Pretrainer {
  readonly #config: PretrainConfig;
  readonly #engine: OnnxEngine;
  readonly #tokenizer: Tokenizer;
  readonly #state: string;
  #step = 0;
  #nextDocument = 0;
  #tokens = 0;

  constructor(parts: { config: PretrainConfig; engine: OnnxEngine; tokenizer: Tokenizer; state: string }) {
    this.#config = parts.config;
    this.#engine = parts.engine;
    this.#tokenizer = parts.tokenizer;
    this.#state = parts.state;
  }

  async run({
    signal,
    onProgress,
  }: {
    readonly signal?: AbortSignal;
    readonly onProgress?: (progress: PretrainProgress) => void;
  }): Promise<void> {
    await this.#restore();
    const steps = Math.ceil(this.#config.tokens / this.#config.batchTokens);
    const began = { at: performance.now(), tokens: this.#tokens };
    let batch = this.#nextBatch();
    while (this.#step < steps) {
      const training = this.#engine.forwardBackward(toTrainingBatch(batch), { kind: "cross-entropy" });
      this.#tokens += batch.reduce((sum, { tokens }) => sum + tokens.length, 0);
      batch = this.#nextBatch(); // made while the workers compute
      const { loss } = await training;
      const { applied } = await this.#engine.optimStep(this.#optimSpec(steps));
      if (!applied)
        throw new EngineError(`the gradient of pretraining step ${this.#step} is not finite`, {
          hint: "lower optimizer.learningRate",
        });
      this.#step++;
      const seconds = (performance.now() - began.at) / 1000;
      const tokensPerSecond = (this.#tokens - began.tokens) / seconds;
      const due = this.#step % this.#config.probeEvery === 0 || this.#step === steps;
      onProgress?.({
        step: this.#step,
        steps,
        tokens: this.#tokens,
        loss,
        tokensPerSecond,
        etaSeconds: ((steps - this.#step) * this.#config.batchTokens) / tokensPerSecond,
        ...(due ? { skill: await this.#skill() } : {}),
      });
      if (this.#step % this.#config.saveEvery === 0 || signal?.aborted) await this.#save(batch.length);
      if (signal?.aborted)
        throw new InterruptedError(`pretraining stopped at step ${this.#step} of ${steps}`, {
          hint: "continue with --resume",
        });
    }
  }

  #nextBatch(): WeightedTokens[] {
    const documents: WeightedTokens[] = [];
    for (let tokens = 0; tokens < this.#config.batchTokens; ) {
      const share = (this.#tokens + tokens) / this.#config.tokens;
      const document = encodeDocument(
        this.#tokenizer,
        documentAt(this.#config, this.#nextDocument++, share),
        this.#config.model.contextLength,
      );
      documents.push(document);
      tokens += document.tokens.length;
    }
    return documents;
  }

  #optimSpec(steps: number) {
    const { learningRate, adamLearningRate, beta1, beta2, epsilon, weightDecay, maxGradNorm } = this.#config.optimizer;
    const rate = rateAt(this.#step, steps, this.#config.optimizer);
    return {
      kind: "muon",
      learningRate: learningRate * rate,
      adamLearningRate: adamLearningRate * rate,
      beta1,
      beta2,
      epsilon,
      weightDecay,
      maxGradNorm,
    } as const;
  }

  /** Teacher-forced: is every token of the answer the most likely one? */
  async #skill(): Promise<Record<string, number>> {
    return probeSkill(
      { logprobs: (batch) => this.#engine.logprobs(batch) },
      this.#tokenizer,
      probes(this.#config.seed, 200),
    );
  }

  async #restore(): Promise<void> {
    const file = join(this.#state, "cursor.json");
    if (!existsSync(file)) return this.#engine.load(this.#state);
    const cursor = JSON.parse(readFileSync(file, "utf8")) as Cursor;
    const [was, now] = [toJson(cursor.config), toJson(this.#config)];
    if (was !== now)
      throw new ConfigError(`the recipe changed since ${file} was written`, {
        hint: "continue with the old recipe, or start in a new folder",
      });
    await this.#engine.load(join(this.#state, `step-${cursor.step}`));
    this.#step = cursor.step;
    this.#nextDocument = cursor.nextDocument;
    this.#tokens = cursor.tokens;
  }

  /** @param waiting documents made for the next batch, to be made again after a resume */
  async #save(waiting: number): Promise<void> {
    const directory = join(this.#state, `step-${this.#step}`);
    mkdirSync(directory, { recursive: true });
    await this.#engine.save(directory);
    const cursor: Cursor = {
      step: this.#step,
      nextDocument: this.#nextDocument - waiting,
      tokens: this.#tokens,
      config: this.#config,
    };
    writeAtomically(join(this.#state, "cursor.json"), toJson(cursor));
  }
}
