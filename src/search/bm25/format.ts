/**
 * @file An index on disk, version 2. A folder holds `manifest.json` and immutable segments; a segment is a run of
 * consecutive passages and six files, little endian:
 *
 * - `<segment>.passages.jsonl.gz`  one JSON record {id, title, text} per line, cut into gzip members of about 4 KiB: also
 *                               a corpus file of its own
 * - `<segment>.offsets`         per passage u48 where its member begins, u16 its place among the member's lines
 * - `<segment>.lengths`         u32 × passages: length in terms
 * - `<segment>.terms`           blocks of 32 terms sorted by UTF-8 bytes: u48 where the postings of the block's first term
 *                               begin; per term, as varints, the bytes it shares with the term before, the bytes it adds,
 *                               those bytes, the passages that hold it, the bytes of its postings. Then per block u48 its
 *                               end and a varint and the bytes of its first term; then u48 where that begins, u32 blocks,
 *                               u32 terms
 * - `<segment>.postings`        per term: where more than 128 passages hold it, a directory with, for every block of 128,
 *                               u32 last passage, u32 end of the block, u16 greatest frequency, u16 least length; then the
 *                               blocks: per passage a varint, its gap minus one doubled, plus one where a varint with its
 *                               frequency minus two follows
 * - `<segment>.sums`            CRC-32 of every page of 16 KiB of the five files, in this order: u32 each
 *
 * Frequencies and lengths are kept raw and statistics are summed over segments when a query comes: k1, b and the cut
 * into segments can change without a rebuild. (Greatest frequency, least length) bounds the scores of a block for any
 * k1, b and average length; 65535 stands for itself and all above.
 *
 * The manifest is summed, it sums the sums, and they sum the pages: every byte is checked before it is believed, and
 * none is read that is not needed.
 */
export const FORMAT = "r1-searcher/bm25";
export const VERSION = 2;
export const MANIFEST = "manifest.json";
/** Replaces the manifest while an index is being built: the segments it lists are complete, but not all are there. */
export const PROGRESS = "progress.json";
export const BLOCK = 128;
export const PAGE = 1 << 14;
/** The largest u16. */
export const CAP = 0xffff;

export const segmentParts = ["passages.jsonl.gz", "offsets", "lengths", "terms", "postings"] as const;
export type SegmentPart = (typeof segmentParts)[number];
