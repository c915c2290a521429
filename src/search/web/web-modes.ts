/** "snippets": the provider's snippets. "pages": the best window of each page. "r1-searcher": see original-order.ts. */
export const webModes = ["snippets", "pages", "r1-searcher"] as const;
export type WebMode = (typeof webModes)[number];

export const isWebMode = (text: string): text is WebMode => (webModes as readonly string[]).includes(text);
