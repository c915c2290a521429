/** @file Folders of BERT's shape for tests, in Hugging Face's layout: eleven words, and a graph that the test makes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { GraphBuilder } from "../../../runtime/graph-builder.ts";

export const tinyWords = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "query", "red", "blue", "fox", "river", "##s", ":"];
const SPECIAL = 4;
const COUNT = tinyWords.length;

/** Writes the folder; a file given as undefined is left out. */
export function writeTinyBert(
  directory: string,
  graph: Uint8Array,
  files: Readonly<Record<string, unknown>> = {},
): string {
  const config = { model_type: "bert", hidden_size: COUNT, max_position_embeddings: 16 };
  const all = { "config.json": config, "tokenizer.json": tokenizer, ...files };
  for (const [name, content] of Object.entries(all)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    if (content !== undefined) writeFileSync(join(directory, name), JSON.stringify(content));
  }
  mkdirSync(join(directory, "onnx"), { recursive: true });
  writeFileSync(join(directory, "onnx", "model.onnx"), graph);
  return directory;
}

/** An encoder that is nothing but its embeddings: the state of a token is a unit vector of its own. */
export function embeddingGraph(): Uint8Array {
  const graph = new GraphBuilder();
  const ids = graph.input("input_ids", 2, "int64");
  const states = graph.node("Gather", [unitVectors(graph, 0), ids], {}, { type: "float32" });
  graph.output(states, "last_hidden_state", 3);
  return graph.bytes();
}

/** A cross-encoder that counts the pairs of equal words of its two texts; its outputs are that count, times each factor. */
export function overlapGraph(factors: readonly number[] = [1]): Uint8Array {
  const graph = new GraphBuilder();
  const ids = graph.input("input_ids", 2, "int64");
  const types = graph.input("token_type_ids", 2, "int64");
  const FLOAT = 1;
  const axis = (at: number) => graph.constant([at], [1], "int64");
  const words = graph.node("Gather", [unitVectors(graph, SPECIAL), ids], {}, { type: "float32" });
  const isSecond = graph.node("Unsqueeze", [graph.node("Cast", [types], { to: FLOAT }, { type: "float32" }), axis(2)]);
  const counts = (which: typeof words) =>
    graph.node("ReduceSum", [graph.node("Mul", [words, which]), axis(1)], { keepdims: 0 });
  const [second, first] = [counts(isSecond), counts(graph.node("Sub", [graph.scalar(1), isSecond]))];
  const overlap = graph.node("ReduceSum", [graph.node("Mul", [first, second]), axis(1)], { keepdims: 1 });
  graph.output(graph.node("Mul", [overlap, graph.constant(factors, [1, factors.length])]), "logits", 2);
  return graph.bytes();
}

/** [words, words]; those before `from` have none. */
function unitVectors(graph: GraphBuilder, from: number) {
  const rows = tinyWords.flatMap((_, i) => tinyWords.map((_, j) => Number(i === j && i >= from)));
  return graph.constant(rows, [COUNT, COUNT]);
}

const special = (content: string) => ({ id: content, type_id: 0 });
const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: [],
  normalizer: {
    type: "BertNormalizer",
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [{ SpecialToken: special("[CLS]") }, { Sequence: special("A") }, { SpecialToken: special("[SEP]") }],
    pair: [],
    special_tokens: {
      "[CLS]": { id: "[CLS]", ids: [2], tokens: ["[CLS]"] },
      "[SEP]": { id: "[SEP]", ids: [3], tokens: ["[SEP]"] },
    },
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(tinyWords.map((word, i) => [word, i])),
  },
};
