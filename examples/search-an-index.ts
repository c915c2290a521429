/** Builds an index of a corpus on disk, adds a passage to it, and searches it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appendToIndex, buildIndex, openIndex, type Passage } from "r1-searcher/search";

const passages: Passage[] = [
  { id: "dune", title: "Dune", text: "Dune is a novel by Frank Herbert, published in 1965." },
  { id: "herbert", title: "Frank Herbert", text: "Frank Herbert was born in Tacoma, Washington." },
  { id: "emma", title: "Emma", text: "Emma is a novel by Jane Austen, published in 1815." },
];

/** A corpus is anything that can be iterated; `readCorpus` reads files. */
async function* corpus(from: readonly Passage[]): AsyncGenerator<Passage> {
  yield* from;
}

const folder = await mkdtemp(join(tmpdir(), "search-an-index-"));
const index = join(folder, "index");
try {
  const { passages: count, bytes } = await buildIndex(corpus(passages), index);
  console.log(`${count} passages in ${bytes} bytes`);
  const more = { id: "austen", title: "Jane Austen", text: "Jane Austen was born in Steventon, Hampshire." };
  await appendToIndex(corpus([more]), index);

  const searcher = await openIndex(index);
  const queries = ["Where was Jane Austen born?", "Who wrote Dune?"];
  const results = await searcher.search(queries, { k: 2 });
  for (const [i, result] of results.entries()) {
    // One failing query never fails the others.
    if (!result.ok) throw new Error(result.error.message);
    console.log(queries[i]);
    for (const { rank, title, score } of result.hits) console.log(`  ${rank}. ${title} (${score.toFixed(2)})`);
  }
  await searcher.close();
} finally {
  await rm(folder, { recursive: true });
}
