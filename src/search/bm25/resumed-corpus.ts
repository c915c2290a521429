import { DataError } from "../../base/errors.ts";
import type { Passage } from "../../protocol/passage.ts";
import { CorpusHash, passageRecord } from "./identity.ts";
import type { SegmentManifest } from "./manifest-schema.ts";

/**
 * The passages of a corpus behind those that the segments hold.
 * @throws DataError where it does not begin with them: it is another corpus, or was changed
 */
export async function* notYetIn(
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
  return new DataError("the corpus does not begin as it did when the build was begun", {
    hint: "resume with the corpus as it was, or begin anew with --overwrite",
  });
}
