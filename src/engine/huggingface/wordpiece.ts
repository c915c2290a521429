import { join } from "node:path";
import { Tokenizer as HuggingFaceTokenizer } from "@huggingface/tokenizers";
import { EngineError, messageOf } from "../../base/errors.ts";
import { isObject, readJsonObject, show } from "./json-file.ts";

const MAX_BYTES = 100 * 2 ** 20;

/**
 * The tokenizer of a BERT-like encoder: texts to ids, with the special tokens around them. Texts are plain here: no
 * policy reads what an encoder makes of a spelled-out special token.
 * @throws EngineError naming the file
 */
export function loadWordPiece(directory: string): (text: string) => number[] {
  const file = join(directory, "tokenizer.json");
  const json = readJsonObject(file, { maxBytes: MAX_BYTES, hint: "an encoder's folder needs its tokenizer.json" });
  const type = isObject(json["model"]) ? json["model"]["type"] : undefined;
  if (type !== "WordPiece")
    throw new EngineError(`${file}: its model is of type ${show(type)}; WordPiece is supported`, {
      hint: "serve other encoders over /v1/embeddings and give the address",
    });
  try {
    const tokenizer = new HuggingFaceTokenizer(json, {}); // padding and cutting are the encoder's
    return (text) => tokenizer.encode(text).ids;
  } catch (cause) {
    throw new EngineError(`${file} cannot be used: ${messageOf(cause)}`, { cause });
  }
}
