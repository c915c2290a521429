import { loadWordPiece } from "../../engine/huggingface/wordpiece.ts";
import { openOnnxReranker } from "../../search/rerank/onnx-reranker.ts";
import type { Reranker } from "../../search/rerank/reranker.ts";

/** @throws DataError where the folder is no cross-encoder of the BERT family, EngineError where it cannot be run */
export async function openReranker(directory: string, options: { readonly threads?: number } = {}): Promise<Reranker> {
  return openOnnxReranker(directory, { tokenize: loadWordPiece(directory), ...options });
}
