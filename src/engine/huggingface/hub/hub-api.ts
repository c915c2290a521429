/**
 * @file Asks a hub about a model: its commit, files, sizes and checksums. The hub's refusals become clear error
 * messages.
 */
import { z } from "zod";
import { ConfigError, EngineError } from "../../../base/errors.ts";
import type { FileClient } from "../../../base/http/file-client.ts";
import { HttpError } from "../../../base/http/http-error.ts";
import { retry } from "../../../base/retry.ts";
import type { HubSettings } from "./hub-settings.ts";

export interface HubFile {
  readonly name: string;
  readonly bytes: number;
  /** SHA-256 for files in large-file storage, otherwise git's SHA-1. */
  readonly checksum: string;
}

export interface HubModel {
  readonly repo: string;
  /** 40 hexadecimal digits. */
  readonly commit: string;
  /** From the model card. */
  readonly license: string | undefined;
  readonly files: ReadonlyMap<string, HubFile>;
}

/** Git's hash of a commit or a file. */
export const GitHash = z.string().regex(/^[0-9a-f]{40}$/);
export const isCommit = (revision: string) => GitHash.safeParse(revision).success;

const Reply = z.object({
  sha: GitHash,
  siblings: z.array(
    z.object({
      rfilename: z.string(),
      size: z.int().min(0).nullish(),
      blobId: GitHash.nullish(),
      lfs: z.object({ sha256: z.string().regex(/^[0-9a-f]{64}$/), size: z.int().min(0) }).nullish(),
    }),
  ),
  cardData: z
    .object({ license: z.string().optional().catch(undefined) })
    .nullish()
    .catch(undefined),
});

/** @throws ConfigError if it is not ORG/NAME */
export function checkRepo(repo: string): void {
  const part = "[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?";
  if (new RegExp(`^${part}/${part}$`).test(repo) && repo.length <= 96 && !/--|\.\./.test(repo)) return;
  throw new ConfigError(`${JSON.stringify(repo)} is not the name of a model on a hub`, {
    hint: "write it as ORG/NAME, for example Qwen/Qwen2.5-0.5B-Instruct",
  });
}

/** @throws ConfigError if it cannot be a branch, a tag or a commit */
export function checkRevision(revision: string): void {
  if (/^[A-Za-z0-9][\w./-]*$/.test(revision) && !/\.\.|\/\/|\/$/.test(revision) && revision.length <= 200) return;
  throw new ConfigError(`--revision ${JSON.stringify(revision)} is neither a branch, a tag nor a commit`);
}

/** @throws EngineError with a message for the user; HttpError without a status if the hub cannot be reached */
export async function askHub(
  client: FileClient,
  { endpoint, token }: HubSettings,
  {
    repo,
    revision,
    signal,
  }: { readonly repo: string; readonly revision: string; readonly signal?: AbortSignal | undefined },
): Promise<HubModel> {
  const url = `${endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
  const text = await withRetries(() => client.text({ url, token, signal }), signal).catch((cause: unknown) => {
    throw explained(cause, { repo, revision, hasToken: token !== undefined });
  });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  const reply = Reply.safeParse(json);
  if (!reply.success)
    throw new EngineError(`${endpoint} does not answer as a hub does: ${z.prettifyError(reply.error).split("\n")[0]}`, {
      hint: "check HF_ENDPOINT",
    });
  const { sha, siblings, cardData } = reply.data;
  const files = siblings.flatMap(({ rfilename: name, size, blobId, lfs }): HubFile[] => {
    const checksum = lfs?.sha256 ?? blobId;
    const bytes = lfs?.size ?? size;
    return checksum && bytes !== undefined && bytes !== null ? [{ name, bytes, checksum }] : [];
  });
  if (files.length === 0)
    throw new EngineError(`${endpoint} names no file of ${repo} with a checksum`, { hint: "ask a hub that does" });
  return { repo, commit: sha, license: cardData?.license, files: new Map(files.map((file) => [file.name, file])) };
}

/** Retries a few times, with the pauses that the hub requests. */
export function withRetries<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  return retry(work, {
    tries: 5,
    firstPauseMs: 300,
    longestPauseMs: 20_000,
    isRetryable: (error) => error instanceof HttpError && error.retryable,
    pauseAskedMs: (error) => (error instanceof HttpError ? error.retryAfterMs : undefined),
    signal,
  });
}

/** Turns a hub's refusal into an error with a remedy; any other error is unchanged. */
export function explained(
  cause: unknown,
  { repo, revision, hasToken }: { readonly repo: string; readonly revision: string; readonly hasToken: boolean },
): unknown {
  if (!(cause instanceof HttpError) || cause.status === undefined) return cause;
  const refusal = (what: string, hint: string) =>
    new EngineError(`${repo}: ${what} (${cause.message})`, { hint, cause });
  switch (cause.status) {
    case 401:
      return hasToken
        ? refusal(
            "the hub does not accept HF_TOKEN",
            "make a new token on the hub, or unset HF_TOKEN for public models",
          )
        : refusal("the hub has no such public model", "check the name; for a private one put a token into HF_TOKEN");
    case 403:
      return refusal(
        "the hub does not let you read it",
        "accept the model's terms on its page, and put your token into HF_TOKEN",
      );
    case 404:
      return refusal(`the hub has no such model, or no revision ${revision}`, "check the name and --revision");
    case 429:
      return refusal(
        "the hub asks to try again later",
        "wait some minutes and run the same command again; files already downloaded are kept",
      );
    default:
      return refusal("the hub failed", "run the same command again later; what was loaded stays");
  }
}
