/**
 * @file Address of the hub, credentials and cache folder, from the environment variables that Hugging Face's tools use.
 */

import { homedir } from "node:os";
import { join } from "node:path";
import { ConfigError } from "../../../base/errors.ts";
import { withoutSlashes } from "../../../base/without-slashes.ts";

export interface HubSettings {
  /** Without a trailing slash. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** No network access. */
  readonly offline: boolean;
  /** The cache that transformers and others share. */
  readonly cache: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** @throws ConfigError if HF_ENDPOINT is not a valid address */
export function hubSettings(env: Environment): HubSettings {
  const endpoint = withoutSlashes(env["HF_ENDPOINT"] || "https://huggingface.co");
  if (!/^https?:\/\//.test(endpoint) || !URL.canParse(endpoint) || new URL(endpoint).username !== "")
    throw new ConfigError("HF_ENDPOINT is not the address of a hub", {
      hint: "give one that begins with https://, without user and password; HF_TOKEN is for the token",
    });
  return {
    endpoint,
    token: env["HF_TOKEN"]?.trim() || undefined,
    offline: /^(1|on|yes|true)$/i.test(env["HF_HUB_OFFLINE"] ?? ""),
    cache:
      env["HF_HUB_CACHE"] ||
      join(env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "huggingface"), "hub"),
  };
}
