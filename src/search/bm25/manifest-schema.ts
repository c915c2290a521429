/**
 * @file The schema of a manifest. It is separate from the format's constants so that the threads which write postings
 * do not load zod.
 */
import { z } from "zod";
import { FORMAT, segmentParts } from "./format.ts";

const count = z.number().int().nonnegative();
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const corpusHash = z.string().regex(/^[0-9a-f]{32}$/);

const segmentSchema = z.object({
  name: z.string().regex(/^segment-\d+$/),
  passages: count.positive(),
  /** Length in terms, summed over passages. */
  tokens: count,
  /** `CorpusHash` of the segment's passages. */
  corpus: corpusHash,
  /** Sizes of the files, in the order of the parts. */
  bytes: z.array(count).length(segmentParts.length),
  /** SHA-256 of the sums file. */
  sums: sha256,
});

export const manifestSchema = z.object({
  format: z.literal(FORMAT),
  version: z.number(),
  analyzer: z.string(),
  k1: z.number(),
  b: z.number(),
  passages: count,
  /** `CorpusHash` of all passages. */
  corpus: corpusHash,
  segments: z.array(segmentSchema),
  /** SHA-256 of this manifest's JSON without this field. */
  sha256,
});

export type Manifest = z.infer<typeof manifestSchema>;
export type SegmentManifest = z.infer<typeof segmentSchema>;
