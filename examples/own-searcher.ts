/** A searcher of your own: it is checked against the promises of every searcher, then training asks it. */
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, SearchError, train } from "r1-searcher";
import { analyze, type Passage, type Searcher } from "r1-searcher/search";
import { searcherConformance } from "r1-searcher/testing";

/** Without function words such as "the". */
const wordsOf = (text: string) => new Set(analyze(text));

/** Ranks passages by how many words of the query they hold. Yours may ask a server instead. */
function sharedWords(passages: readonly Passage[]): Searcher {
  let closed = false;
  const corpus = passages.map((passage) => ({ passage, words: wordsOf(`${passage.title} ${passage.text}`) }));
  const rank = (query: string, k: number) => {
    const asked = [...wordsOf(query)];
    const scored = corpus.map(({ passage, words }) => ({
      ...passage,
      score: asked.filter((w) => words.has(w)).length,
    }));
    const found = scored.filter(({ score }) => score > 0).sort((a, b) => b.score - a.score); // ties stay in order
    return found.slice(0, k).map((hit, i) => ({ ...hit, rank: i + 1 }));
  };
  return {
    info: () => ({ kind: "shared-words", passages: corpus.length, hash: "v1", settings: {} }),
    async search(queries, { k, signal }) {
      signal?.throwIfAborted();
      if (closed) throw new SearchError("the searcher is closed");
      if (!Number.isInteger(k) || k < 1) throw new ConfigError(`k is ${k}: expected a whole number from 1`);
      return queries.map((query) => ({ ok: true, hits: rank(query, k) }));
    },
    close: async () => void (closed = true),
  };
}

const checks = searcherConformance("shared words", async (passages) => sharedWords(passages));
for (const { name, run } of checks) await run().then(() => console.log(`kept: ${name}`));

await train({
  recipe: {
    extends: "nano",
    name: "own-searcher",
    stages: [{ name: "stage-1", steps: 2, reward: "fixed/stage-1", mix: { "1-hop": 1 } }],
    rolloutBatch: { questions: 4, siblings: 4 },
    rollout: { maxTokens: 128 },
    eval: { curve: { questions: 4 }, full: { questions: 4, decode: ["greedy"] } },
  },
  searcher: sharedWords, // nano's questions are about fictional worlds: it is called with the passages of each
  out: join(await mkdtemp(join(tmpdir(), "own-searcher-")), "run"),
  onEvent: (event) => {
    if (event.kind === "step") console.log(`step ${event.step}: ${(100 * event.searchRate).toFixed(0)} % searched`);
  },
});
