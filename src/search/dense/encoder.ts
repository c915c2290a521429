import type { EncodeQueries } from "../remote/embeddings.ts";

/** Turns texts into vectors: prefixes, pooling and normalisation are its own business. */
export interface Encoder {
  /** Length of its vectors; undefined until one was seen, where the other side does not tell. */
  readonly dimension: number | undefined;
  /** Equal identities give equal vectors. */
  readonly identity: EncoderIdentity;
  /** In the order of the texts. A text does not feel its neighbours. */
  encodeQueries(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>;
  encodePassages(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>;
  close(): Promise<void>;
}

export interface EncoderIdentity {
  /** Where it lies: folder or address. */
  readonly source: string;
  /** A hash of all that its vectors depend on, as far as it can be known from here. */
  readonly fingerprint: string;
  /** Prefixes, pooling and the like, as they were in use. */
  readonly settings: Readonly<Record<string, string | number | boolean>>;
}

export interface RemoteEncoderParts {
  readonly identity: EncoderIdentity;
  readonly queries: EncodeQueries;
  readonly passages: EncodeQueries;
  readonly close: () => Promise<void>;
}

/** An encoder behind a server's `/v1/embeddings`. */
export function remoteEncoder({ identity, queries, passages, close }: RemoteEncoderParts): Encoder {
  const floats = (encode: EncodeQueries) => async (texts: readonly string[], signal?: AbortSignal) =>
    (await encode(texts, signal)).map((vector) => Float32Array.from(vector));
  return { dimension: undefined, identity, encodeQueries: floats(queries), encodePassages: floats(passages), close };
}
