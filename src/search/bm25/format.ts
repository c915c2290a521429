/**
 * @file An index on disk, version 1. A folder holds `manifest.json` and immutable segments; a segment is a run of
 * consecutive passages and five files, little endian:
 *
 * - `<segment>.passages.jsonl`  one JSON record {id, title, text} per line: also a corpus file of its own
 * - `<segment>.offsets`         u64 × (passages + 1): where each record begins, then the size of the file
 * - `<segment>.lengths`         u32 × passages: length in terms
 * - `<segment>.terms`           u64 count; per term, sorted by UTF-8 bytes: u32 end of its text, u32 passages that hold
 *                               it, u64 end of its postings; then all texts. Ends are exclusive and from 0; a thing
 *                               begins where the one before it ends
 * - `<segment>.postings`        per term, as varints: for every block of up to 128 passages {last passage − last passage of
 *                               the block before (which starts at −1), bytes, greatest frequency, least length}; then the
 *                               blocks, each first its passages as gaps minus one, then their frequencies
 *
 * Frequencies and lengths are kept raw and statistics are summed over segments when a query comes: k1, b and the cut
 * into segments can change without a rebuild. (Greatest frequency, least length) bounds the scores of a block for any
 * k1, b and average length.
 */
import { z } from "zod";

export const FORMAT = "r1-searcher/bm25";
export const VERSION = 1;
export const MANIFEST = "manifest.json";
export const BLOCK = 128;

export const segmentParts = ["passages.jsonl", "offsets", "lengths", "terms", "postings"] as const;
export type SegmentPart = (typeof segmentParts)[number];

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const segmentSchema = z.object({
  name: z.string().regex(/^segment-\d+$/),
  passages: count.positive(),
  /** Length in terms, summed over passages. */
  tokens: count,
  files: z
    .array(z.object({ name: z.string().regex(/^segment-\d+\.[a-z.]+$/), size: count, sha256 }))
    .length(segmentParts.length),
});

export const manifestSchema = z.object({
  format: z.literal(FORMAT),
  version: z.number(),
  analyzer: z.string(),
  k1: z.number(),
  b: z.number(),
  passages: count.positive(),
  /** SHA-256 of all passage records in order. */
  corpus: sha256,
  segments: z.array(segmentSchema).min(1),
  /** SHA-256 of this manifest's JSON without this field. */
  sha256,
});

export type Manifest = z.infer<typeof manifestSchema>;
export type SegmentManifest = z.infer<typeof segmentSchema>;
export type FileManifest = SegmentManifest["files"][number];
