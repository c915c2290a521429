import { DataError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { CorpusHash, passageRecord } from "./identity.ts";
import type { SegmentManifest } from "./manifest-schema.ts";

/**
 * Skips the passages of a corpus that the segments already contain, and yields the rest.
 * @throws DataError if the corpus does not begin with those passages: it is another corpus, or it was changed
 */
export async function* skipIndexed(
  corpus: AsyncIterable<Passage>,
  segments: readonly SegmentManifest[],
): AsyncGenerator<Passage> {
  let at = 0;
  let hash = new CorpusHash();
  for await (const passage of corpus) {
    const segment = segments[at];
    if (segment === undefined) {
      yield passage;
      continue;
    }
    hash.add(passageRecord(passage));
    if (hash.passages < segment.passages) continue;
    if (hash.digest() !== segment.corpus) throw changed();
    at++;
    hash = new CorpusHash();
  }
  if (at < segments.length) throw changed();
}

function changed(): DataError {
  return new DataError("the corpus no longer begins with the passages that the stopped build had read", {
    hint: "resume with the unchanged corpus, or start again with --overwrite",
  });
}
