/** @file Output that nobody can receive any more must not end the work that reports through it. */

/** A closed pipe (`| head`), and a terminal that is gone. */
const goneReader: ReadonlySet<string> = new Set([
  "EPIPE",
  "EIO",
  "ENXIO",
  "ENOTTY",
  "ECONNRESET",
  "ERR_STREAM_DESTROYED",
]);

/**
 * Runs `work` to its end although stdout or stderr loses its reader: what is written from then on is dropped. Output
 * that fails for another reason, such as a full disk, lets the work finish too, but is not a success.
 *
 * @param work gives its exit code
 * @returns that code, or 1 where it is 0 and output was lost on the way to a file
 */
export async function withoutReaders(work: () => Promise<number>): Promise<number> {
  let lost: NodeJS.ErrnoException | undefined;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (!goneReader.has(error.code ?? "")) lost ??= error;
    });
  }
  const exitCode = await work();
  await flushed(process.stdout); // an error of the last write is reported after it
  if (lost === undefined || exitCode !== 0) return exitCode;
  process.stderr.write(`error: output could not be written: ${lost.message}\nhint: free space on the disk\n`);
  return 1;
}

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => stream.write("", () => resolve()));
}
