/** @file How a sentence encoder is used, according to its folder or to the model card of its family. */
import { basename, join, resolve } from "node:path";
import { z } from "zod";
import { ConfigError, DataError } from "../../base/errors.ts";
import { readBertConfig, readFolderJson } from "./bert-folder.ts";

export const poolings = ["cls", "mean"] as const;
export type Pooling = (typeof poolings)[number];

export interface EncoderSettings {
  /** How a text's token vectors become one: the first token's vector, or their mean. */
  readonly pooling: Pooling;
  /** Vectors are scaled to length 1. */
  readonly normalize: boolean;
  readonly queryPrefix: string;
  readonly passagePrefix: string;
  /** Longer texts are truncated. */
  readonly maxTokens: number;
  readonly dimension: number;
}

/** Settings that a user may override. */
export type EncoderOverrides = Partial<Omit<EncoderSettings, "dimension">>;

interface Family {
  readonly name: RegExp;
  readonly pooling: Pooling;
  readonly queryPrefix: string;
  readonly passagePrefix: string;
}

/** From the model cards; a folder's own files take precedence. */
const families: readonly Family[] = [
  {
    name: /\bbge-(small|base|large)-en\b/i,
    pooling: "cls",
    queryPrefix: "Represent this sentence for searching relevant passages: ",
    passagePrefix: "",
  },
  { name: /\be5-(small|base|large)\b/i, pooling: "mean", queryPrefix: "query: ", passagePrefix: "passage: " },
  { name: /\bMiniLM-L\d+/i, pooling: "mean", queryPrefix: "", passagePrefix: "" },
];

const PoolingFile = z.object({ pooling_mode_cls_token: z.boolean(), pooling_mode_mean_tokens: z.boolean() });
const Modules = z.array(z.object({ type: z.string() }));
const SentenceFile = z.object({ max_seq_length: z.int().positive().nullish() });
const Prompts = z.object({ prompts: z.record(z.string(), z.string()).default({}) });

/** @throws DataError if the folder is not an encoder of the BERT family; ConfigError if its pooling is unknown */
export function readEncoderSettings(directory: string, overrides: EncoderOverrides = {}): EncoderSettings {
  const config = readBertConfig(directory, "encoder");
  const names = [basename(resolve(directory)), config._name_or_path];
  const family = names.map((name) => families.find((one) => one.name.test(name))).find((found) => found);
  const prompts = readFolderJson(directory, "config_sentence_transformers.json", Prompts)?.prompts ?? {};
  const pooling = overrides.pooling ?? poolingOf(directory) ?? family?.pooling;
  if (pooling === undefined)
    throw new ConfigError(`${directory} does not say how its encoder pools`, {
      hint: "give --pooling cls or --pooling mean, as its model card says",
    });
  const modules = readFolderJson(directory, "modules.json", Modules);
  const longest = readFolderJson(directory, "sentence_bert_config.json", SentenceFile)?.max_seq_length;
  return {
    pooling,
    // the file is absent: all known families use cosine similarity
    normalize: overrides.normalize ?? modules?.some(({ type }) => type.endsWith("Normalize")) ?? true,
    queryPrefix: overrides.queryPrefix ?? prompts["query"] ?? family?.queryPrefix ?? "",
    passagePrefix: overrides.passagePrefix ?? prompts["passage"] ?? prompts["document"] ?? family?.passagePrefix ?? "",
    maxTokens: Math.min(overrides.maxTokens ?? longest ?? 512, config.max_position_embeddings),
    dimension: config.hidden_size,
  };
}

function poolingOf(directory: string): Pooling | undefined {
  const file = readFolderJson(directory, join("1_Pooling", "config.json"), PoolingFile);
  if (file === undefined) return undefined;
  if (file.pooling_mode_cls_token !== file.pooling_mode_mean_tokens)
    return file.pooling_mode_cls_token ? "cls" : "mean";
  throw new DataError(`${join(directory, "1_Pooling", "config.json")}: neither cls nor mean pooling alone`, {
    hint: "give --pooling to choose one",
  });
}
