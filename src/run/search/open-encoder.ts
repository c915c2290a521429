/** @file From a folder or an address to an encoder. Keys come from the environment. */
import { createHash } from "node:crypto";
import { ConfigError } from "../../base/errors.ts";
import { jsonClient } from "../../base/http/json-client.ts";
import { toJson } from "../../base/jsonl.ts";
import { loadWordPiece } from "../../engine/huggingface/wordpiece.ts";
import { type Encoder, remoteEncoder } from "../../search/dense/encoder.ts";
import type { EncoderOverrides } from "../../search/dense/encoder-settings.ts";
import { openOnnxEncoder } from "../../search/dense/onnx-encoder.ts";
import { openAiEmbeddings } from "../../search/remote/embeddings.ts";
import { checkNoPassword } from "../recipe/search-settings.ts";

export interface EncoderOptions extends EncoderOverrides {
  readonly threads?: number;
  readonly timeoutMs?: number;
}

/** @throws ConfigError on an address that says too little, DataError where a folder is no encoder */
export async function openEncoder(place: string, options: EncoderOptions = {}): Promise<Encoder> {
  const { timeoutMs = 30_000, ...rest } = options;
  if (/^https?:/i.test(place)) return openRemote(place, { ...rest, timeoutMs });
  return openOnnxEncoder(place, { tokenize: loadWordPiece(place), ...rest });
}

/** @param address up to and with /v1, then ?model=NAME */
function openRemote(address: string, options: EncoderOptions & { readonly timeoutMs: number }): Encoder {
  checkNoPassword(address);
  const place = URL.canParse(address) ? new URL(address) : undefined;
  const model = place?.searchParams.get("model");
  if (place === undefined || !model)
    throw new ConfigError(`${address} names no model`, {
      hint: "write http://host:port/v1?model=NAME, a server with OpenAI's /v1/embeddings",
    });
  const { queryPrefix = "", passagePrefix = "" } = options;
  const client = jsonClient({ timeoutMs: options.timeoutMs });
  const url = `${place.origin}${place.pathname}`;
  const encode = (prefix: string) => openAiEmbeddings({ client, url, model, prefix, key: process.env.OPENAI_API_KEY });
  const settings = { model, queryPrefix, passagePrefix };
  const fingerprint = createHash("sha256").update(toJson(settings)).digest("hex"); // wherever it is served
  return remoteEncoder({
    identity: { source: `${url}?model=${encodeURIComponent(model)}`, fingerprint, settings },
    queries: encode(queryPrefix),
    passages: encode(passagePrefix),
    close: client.close,
  });
}
