/**
 * @file Event files for TensorBoard and whatever else reads them. Scalars are those of metrics.jsonl and timing.jsonl;
 * nothing here is read back by a run.
 *
 * Every process writes a file of its own and opens it with a session log START at the step where it begins; a run that
 * goes back to a checkpoint writes another. On START TensorBoard drops what it holds of that step and later ones, so no
 * step shows twice. Truncating the older files as metrics.jsonl is truncated would do the same on disk, but a TensorBoard
 * that follows a file remembers its place in it and would read on in the middle of a record. A program that ignores
 * session logs takes the last value of a step.
 *
 * Events hold the time of day and a process more or less is a file more or less: they are outside what is byte for byte
 * the same after a resume.
 */
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { crc32c } from "@aws-crypto/crc32c";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

export interface EventLog {
  /** The next record is of `step`; earlier records of it and of later steps are discarded. */
  restart(step: number): void;
  /** @param values by slash-grouped name */
  record(step: number, values: Readonly<Record<string, number>>): void;
}

export interface EventLogOptions {
  readonly directory: string;
  /** Shown at step 0 as they are, by name. */
  readonly texts: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** No file is written before the first record. */
export function openEventLog({ directory, texts, now = Date.now }: EventLogOptions): EventLog {
  let file: string | undefined;
  let from: number | undefined;
  return {
    restart: (step) => {
      from = step;
    },
    record: (step, values) => {
      const wallTime = now() / 1000;
      const events: Uint8Array[] = [];
      if (file === undefined) {
        mkdirSync(directory, { recursive: true });
        file = join(directory, nextName(readdirSync(directory), wallTime));
        events.push(fileVersion(wallTime));
        from ??= step;
      }
      if (from !== undefined) {
        events.push(sessionStart(from, wallTime));
        if (from === 0) events.push(...Object.entries(texts).map(([tag, text]) => textEvent({ tag, text, wallTime })));
        from = undefined;
      }
      events.push(scalars({ step, values, wallTime }));
      append(file, Buffer.concat(events.map(framed)));
    },
  };
}

/**
 * Readers take the files of a folder in the order of their names, so a later process needs a later name, even within
 * one second and after the clock was set back.
 */
function nextName(existing: readonly string[], wallTime: number): string {
  const stamps = existing.map((name) => Number(/^events\.out\.tfevents\.(\d+)\./.exec(name)?.[1] ?? 0));
  const stamp = Math.max(Math.floor(wallTime), 1 + Math.max(0, ...stamps));
  return `events.out.tfevents.${String(stamp).padStart(10, "0")}.r1-searcher`;
}

function append(file: string, bytes: Uint8Array): void {
  const handle = openSync(file, "a");
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(handle, bytes, at);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

/** TFRecord: length (8 bytes) and its checksum, data and its checksum; little-endian. */
function framed(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + 4 + data.length + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, maskedCrc(data), true);
  return record;
}

/** CRC-32C, rotated right by 15 bits, plus a constant: how the format stores a checksum. */
export function maskedCrc(data: Uint8Array): number {
  const crc = crc32c(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** Numbers of the fields used, as in TensorFlow's event.proto, summary.proto and tensor.proto. */
const event = { wallTime: 1, step: 2, fileVersion: 3, summary: 5, sessionLog: 7 };
const sessionLog = { status: 1, start: 1 };
const summary = { value: 1 };
const value = { tag: 1, simpleValue: 2, tensor: 8, metadata: 9 };
const metadata = { plugin: 1, pluginName: 1, dataClass: 4, tensorClass: 2 };
const tensor = { type: 1, stringType: 7, shape: 2, string: 8 };

function begun(wallTime: number, step = 0): BinaryWriter {
  return new BinaryWriter()
    .tag(event.wallTime, WireType.Bit64)
    .double(wallTime)
    .tag(event.step, WireType.Varint)
    .int64(step);
}

/** Version 2 makes readers respect session logs. */
function fileVersion(wallTime: number): Uint8Array {
  return begun(wallTime).tag(event.fileVersion, WireType.LengthDelimited).string("brain.Event:2").finish();
}

function sessionStart(step: number, wallTime: number): Uint8Array {
  const writer = begun(wallTime, step).tag(event.sessionLog, WireType.LengthDelimited).fork();
  return writer.tag(sessionLog.status, WireType.Varint).int32(sessionLog.start).join().finish();
}

function scalars({
  step,
  values,
  wallTime,
}: {
  readonly step: number;
  readonly values: Readonly<Record<string, number>>;
  readonly wallTime: number;
}): Uint8Array {
  const writer = begun(wallTime, step).tag(event.summary, WireType.LengthDelimited).fork();
  for (const [tag, number] of Object.entries(values)) {
    writer.tag(summary.value, WireType.LengthDelimited).fork();
    writer.tag(value.tag, WireType.LengthDelimited).string(tag);
    writer.tag(value.simpleValue, WireType.Bit32).float(number).join();
  }
  return writer.join().finish();
}

/** A string tensor without dimensions, for TensorBoard's text plugin; indented, since that reads it as Markdown. */
function textEvent({
  tag,
  text,
  wallTime,
}: {
  readonly tag: string;
  readonly text: string;
  readonly wallTime: number;
}) {
  const nested = WireType.LengthDelimited;
  const writer = begun(wallTime).tag(event.summary, nested).fork().tag(summary.value, nested).fork();
  writer.tag(value.tag, nested).string(tag);
  writer.tag(value.metadata, nested).fork();
  writer.tag(metadata.plugin, nested).fork().tag(metadata.pluginName, nested).string("text").join();
  writer.tag(metadata.dataClass, WireType.Varint).int32(metadata.tensorClass).join();
  writer.tag(value.tensor, nested).fork().tag(tensor.type, WireType.Varint).int32(tensor.stringType);
  writer.tag(tensor.shape, nested).fork().join();
  writer.tag(tensor.string, nested).string(text.trimEnd().replace(/^/gm, "    ")).join();
  return writer.join().join().finish();
}
