import type { WebProvider } from "./provider.ts";
import { brave } from "./providers/brave.ts";
import { searxng } from "./providers/searxng.ts";
import { serper } from "./providers/serper.ts";
import { tavily } from "./providers/tavily.ts";
import { wikipedia } from "./providers/wikipedia.ts";

export const webProviders: readonly WebProvider[] = [serper, tavily, brave, searxng, wikipedia];

export function webProviderOf(name: string): WebProvider | undefined {
  return webProviders.find((provider) => provider.name === name);
}
