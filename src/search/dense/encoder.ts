import type { EncodeQueries } from "../remote/embeddings.ts";

/** Turns texts into vectors. It applies its own prefixes, pooling and normalisation. */
export interface Encoder {
  /** Length of its vectors; for a server that does not tell it, undefined until the first reply. */
  readonly dimension: number | undefined;
  /** Equal identities give equal vectors. */
  readonly identity: EncoderIdentity;
  /** In the order of the texts. A vector does not depend on the other texts of the call. */
  encodeQueries(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>;
  encodePassages(texts: readonly string[], signal?: AbortSignal): Promise<readonly Float32Array[]>;
  close(): Promise<void>;
}

export interface EncoderIdentity {
  /** Folder or address of the model. */
  readonly source: string;
  /** A hash of everything that its vectors depend on, as far as it is known here. */
  readonly fingerprint: string;
  /** Prefixes, pooling and other settings in use. */
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
