/** @file The one rule for names that a recipe, a run or another program gives, and that become a part of a path. */

/**
 * Letters, digits, "_", "-", "." and spaces, at most 100; begins with a letter, a digit or "_", and ends with neither a
 * point nor a space. So it names an entry of one folder on every system, and never another folder.
 */
const fileName = /^[\p{L}\p{N}_](?:[\p{L}\p{M}\p{N}_. -]{0,98}[\p{L}\p{M}\p{N}_-])?$/u;
/** Windows opens a device under these names, whatever follows a point. */
const device = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)/i;

/** What a message may say where `isFileName` is false. */
export const fileNameRule =
  "expected letters, digits, spaces, dots and dashes, at most 100, with a letter or digit first and no dot at the end";

export function isFileName(text: string): boolean {
  return fileName.test(text) && !device.test(text);
}
