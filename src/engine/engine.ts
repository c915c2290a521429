/**
 * @file What samples and learns: token ids in, numbers out. An engine knows nothing of search or reward.
 * Shaped like the Tinker API, so that the embedded engine and a remote one are interchangeable.
 */

/** What a draw depends on; together with the position in the tape it is the whole random key. */
export interface SampleKey {
  readonly seed: number;
  readonly step: number;
  /** A number of the question within the run, not within the batch. */
  readonly question: number;
  readonly sibling: number;
  readonly turn: number;
}

export interface SampleRequest {
  /** The whole tape so far, [T]. */
  readonly tokens: Int32Array;
  readonly maxTokens: number;
  /** 0 is greedy. */
  readonly temperature: number;
  readonly topP: number;
  /** 0 is off. */
  readonly topK: number;
  readonly stop: { readonly tokens: readonly number[]; readonly text: readonly string[] };
  readonly key: SampleKey;
  /** The most likely tokens to report at every sampled position, at most what `capabilities` offers; default 0. */
  readonly topLogprobs?: number;
}

export interface Sample {
  /** What was sampled, the stop included. */
  readonly tokens: Int32Array;
  /** Natural-log probabilities at temperature 1 over the whole vocabulary, one per token. */
  readonly logprobs: Float32Array;
  readonly ended: "stop" | "length";
  /** Of the weights that wrote it. */
  readonly policyVersion: number;
  /** One per token, where the request asked for them. */
  readonly topLogprobs?: readonly TopLogprobs[];
}

/** The most likely tokens of one position, the likeliest first; log-probabilities as in `Sample.logprobs`. */
export interface TopLogprobs {
  readonly ids: Int32Array;
  readonly logprobs: Float32Array;
}

export interface Sampler {
  readonly policyVersion: number;
  /** The longest tape the policy can hold. */
  readonly contextLength: number;
  /** Many calls may wait at once; the sampler batches whatever is waiting. Rejects with EngineError. */
  sample(request: SampleRequest, signal?: AbortSignal): Promise<Sample>;
  /** Says that no request will continue this tape (the turn does not matter), so that its cache can be given back. */
  finished?(key: SampleKey): void;
}

/** All [T]; weight 0 = not the policy's token, or not to be learnt from. Position t scores `tokens[t]`; weights[0] is 0. */
export interface TrainingSequence {
  readonly tokens: Int32Array;
  readonly weights: Float32Array;
  readonly advantages: Float32Array;
  readonly oldLogprobs: Float32Array;
  readonly referenceLogprobs?: Float32Array;
}

/**
 * Every loss is a SUM over positions of weight × term; normalisers are folded into the weights by the caller.
 * - "cross-entropy": −log π
 * - "ppo": −min(ρA, clip(ρ, 1 − clipLow, 1 + clipHigh) A) with ρ = exp(log π − oldLogprob);
 *   with `dualClip`, where A < 0, no more than −dualClip · A; with `kl`, plus coefficient × estimate, for which every
 *   sequence carries `referenceLogprobs`
 */
export type LossSpec =
  | { readonly kind: "cross-entropy" }
  | {
      readonly kind: "ppo";
      readonly clipLow: number;
      readonly clipHigh: number;
      /** Above 1; absent is off. */
      readonly dualClip?: number;
      readonly kl?: { readonly kind: "k2" | "k3"; readonly coefficient: number };
    };

export interface LossReport {
  /** The summed loss. */
  readonly loss: number;
  /** New log-probabilities, one array [T] per sequence; 0 where the weight is 0. */
  readonly logprobs: readonly Float32Array[];
}

export interface OptimSpec {
  readonly kind: "adamw" | "muon";
  readonly learningRate: number;
  /** For tensors that Muon leaves to AdamW (embedding, head, norms); default learningRate. */
  readonly adamLearningRate?: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Clip to this global L2 norm; 0 is off. */
  readonly maxGradNorm: number;
}

export interface OptimReport {
  readonly gradNorm: number;
  /**
   * False where the gradient or the loss it is of was not finite, or too large to be squared in f32: weights and
   * optimiser state are then bitwise unchanged.
   */
  readonly applied: boolean;
}

/** What an engine can do, as data: a recipe is compared with it before anything is loaded. */
export interface EngineCapabilities {
  readonly losses: readonly LossSpec["kind"][];
  /** Kinds of the KL term of a loss. */
  readonly klTerms: readonly ("k2" | "k3")[];
  readonly optimizers: readonly OptimSpec["kind"][];
  /** The training loop folds its normalisers into the weights, which needs sums. */
  readonly lossReduction: "sum" | "mean";
  /** What of a policy can be trained. */
  readonly trains: readonly ("weights" | "adapter")[];
  /** There is a frozen reference policy, which KL needs. */
  readonly reference: boolean;
  /** The same work gives the same bits. */
  readonly equalBits: boolean;
  /** An update that is not finite is refused, and weights and optimiser state stay as they were. */
  readonly refusesNonFinite: boolean;
  /** The longest tape; Infinity where the model alone limits it. */
  readonly contextLength: number;
  /** Attempts at once; Infinity where memory alone limits them. */
  readonly concurrency: number;
  /** The most `SampleRequest.topLogprobs`; 0 where there are none. */
  readonly topLogprobs: number;
}

/**
 * Calls take effect in the order in which they are made, awaited or not; one that fails does not hold up those after
 * it. So a remote engine may be sent the next call before the answer to the last one is there.
 */
export interface Learner {
  readonly capabilities: EngineCapabilities;
  /** Adds the gradient of a SUM to what is accumulated. */
  forwardBackward(batch: readonly TrainingSequence[], loss: LossSpec): Promise<LossReport>;
  /**
   * Applies and clears the accumulated gradient.
   * @throws EngineError where an update made the weights or the optimiser state not finite; they are then lost
   */
  optimStep(spec: OptimSpec): Promise<OptimReport>;
  /** Log-probability of each next token: [T−1] each. */
  logprobs(batch: readonly Int32Array[]): Promise<readonly Float32Array[]>;
  /** Makes the current weights available for sampling, under a new version. */
  publish(): Promise<Sampler>;
  /**
   * Writes the policy as a Hugging Face folder plus the optimiser state. An engine whose weights lie elsewhere writes
   * a reference to them instead (`writeRemoteReference`), which is all that `load` then needs.
   */
  save(directory: string): Promise<void>;
  /** Restores weights and, where the folder has it, the optimiser state. */
  load(directory: string): Promise<void>;
  /** Deletes what a remote reference names; its checkpoint is gone. Only for engines that leave references. */
  forget?(reference: string): Promise<void>;
  close(): Promise<void>;
}
