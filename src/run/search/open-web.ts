/** @file From a provider's name to a searcher of the live web. Keys come from the environment alone. */
import { ConfigError } from "../../base/errors.ts";
import { guardedFetch } from "../../base/http/guarded-fetch.ts";
import { jsonClient } from "../../base/http/json-client.ts";
import { checkedList } from "../../base/http/public-address.ts";
import { type Digest, windowDigest } from "../../search/web/digest.ts";
import { modelDigest } from "../../search/web/model-digest.ts";
import { pageReader } from "../../search/web/page-reader.ts";
import { pageWorkers } from "../../search/web/page-workers.ts";
import type { WebProvider } from "../../search/web/provider.ts";
import { webProviderOf, webProviders } from "../../search/web/providers.ts";
import { type WebSearcher, webSearcher } from "../../search/web/web-searcher.ts";
import type { SearchConfig } from "../recipe/search-settings.ts";

/** Replies of providers are lists of links. */
const largestReply = 8 << 20;

/** @throws ConfigError where the provider, its address or its key is missing */
export function openWeb(search: SearchConfig): WebSearcher {
  const provider = providerOf(search.provider!);
  const { timeoutMs, mode = "pages", site, digest, allowAddresses = [] } = search;
  const address = addressOf(provider, search.url);
  const key = keyOf(provider);
  checkedList("search.allowAddresses", allowAddresses);
  const { OPENAI_API_KEY: digestKey } = process.env;
  const client = jsonClient({ timeoutMs, maxReplyBytes: largestReply });
  const digested: Digest = digest ? modelDigest({ client, ...digest, key: digestKey }) : windowDigest;
  return webSearcher({
    provider,
    client,
    address,
    key,
    secrets: [key, digest && digestKey].filter((secret) => secret !== undefined),
    mode,
    site,
    reader: pageReader({ fetch: guardedFetch({ allowed: allowAddresses }), workers: pageWorkers() }),
    digest: digested,
    digestName: digest ? `${digest.model}` : "window",
  });
}

function providerOf(name: string): WebProvider {
  const provider = webProviderOf(name);
  if (provider) return provider;
  throw new ConfigError(`search.provider is "${name}"`, {
    hint: `providers: ${webProviders.map((one) => one.name).join(", ")}`,
  });
}

function addressOf({ name, address }: WebProvider, given: string | undefined): string {
  const url = given ?? address;
  if (url === undefined) {
    throw new ConfigError(`search.url is missing: ${name} has no address of its own`, {
      hint: `write web:${name}?url=http://host:port`,
    });
  }
  if (URL.canParse(url) && /^https?:$/.test(new URL(url).protocol)) return url;
  throw new ConfigError(`search.url of ${name} is no address`, { hint: "write it as http://host:port" });
}

function keyOf({ name, keyName, isKeyOptional }: WebProvider): string | undefined {
  if (keyName === undefined) return undefined;
  const key = process.env[keyName]?.trim() || undefined;
  if (key !== undefined || isKeyOptional) return key;
  throw new ConfigError(`${name} needs a key, and the environment has no ${keyName}`, {
    hint: `set ${keyName}; tavily answers a little without one, wikipedia and searxng want none`,
  });
}
