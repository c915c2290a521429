import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, expect, test } from "vitest";
import { maskedCrc, openEventLog } from "./tensorboard.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});

function newFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "events-"));
  folders.push(folder);
  return folder;
}

/** CRC-32C bit by bit (polynomial 1EDC6F41, reflected), to check the table of the package that the writer uses. */
function slowCrc(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

const unmask = (masked: number) => {
  const rotated = (masked - 0xa282ead8) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
};

/** The records of a file up to a torn one. */
function recordsOf(bytes: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = 0; at + 12 <= bytes.length; ) {
    const length = Number(bytes.readBigUInt64LE(at));
    expect(unmask(bytes.readUInt32LE(at + 8))).toBe(slowCrc(bytes.subarray(at, at + 8)));
    const end = at + 12 + length;
    if (end + 4 > bytes.length) break;
    const data = bytes.subarray(at + 12, end);
    expect(unmask(bytes.readUInt32LE(end))).toBe(slowCrc(data));
    records.push(data);
    at = end + 4;
  }
  return records;
}

type Field = number | Buffer;

/** Protocol buffers, just enough: varints as numbers, fixed widths and nested messages as bytes. */
function fieldsOf(bytes: Buffer): Map<number, Field[]> {
  const fields = new Map<number, Field[]>();
  let at = 0;
  const varint = () => {
    let result = 0;
    for (let shift = 1; ; shift *= 128) {
      const byte = bytes[at++]!;
      result += (byte & 127) * shift;
      if (byte < 128) return result;
    }
  };
  const take = (length: number) => bytes.subarray(at, (at += length));
  while (at < bytes.length) {
    const key = varint();
    const type = key & 7;
    const field = type === 0 ? varint() : take(type === 1 ? 8 : type === 5 ? 4 : varint());
    fields.set(key >>> 3, [...(fields.get(key >>> 3) ?? []), field]);
  }
  expect(at).toBe(bytes.length);
  return fields;
}

const bytesAt = (fields: Map<number, Field[]>, number: number) => fields.get(number)?.[0] as Buffer | undefined;

interface Event {
  readonly wallTime: number;
  readonly step: number;
  readonly version?: string;
  readonly start?: true;
  readonly scalars?: Record<string, number>;
  readonly text?: { tag: string; plugin: string; text: string };
}

function eventOf(record: Buffer): Event {
  const fields = fieldsOf(record);
  const head = { wallTime: bytesAt(fields, 1)!.readDoubleLE(), step: fields.get(2)![0] as number };
  const [version, summary, session] = [3, 5, 7].map((number) => bytesAt(fields, number));
  if (version) return { ...head, version: version.toString() };
  if (session) {
    expect(fieldsOf(session)).toEqual(new Map([[1, [1]]]));
    return { ...head, start: true };
  }
  const scalars: Record<string, number> = Object.create(null); // a tag may be called __proto__
  for (const bytes of fieldsOf(summary!).get(1) ?? []) {
    const value = fieldsOf(bytes as Buffer);
    const tag = bytesAt(value, 1)!.toString();
    const [number, tensor, metadata] = [2, 8, 9].map((field) => bytesAt(value, field));
    if (!tensor) {
      scalars[tag] = number!.readFloatLE();
      continue;
    }
    const plugin = bytesAt(fieldsOf(bytesAt(fieldsOf(metadata!), 1)!), 1)!.toString();
    expect([fieldsOf(metadata!).get(4), fieldsOf(tensor).get(1)]).toEqual([[2], [7]]); // tensor class, strings
    return { ...head, text: { tag, plugin, text: bytesAt(fieldsOf(tensor), 8)!.toString() } };
  }
  return { ...head, scalars };
}

const eventsOf = (directory: string) =>
  readdirSync(directory)
    .sort()
    .map((name) => recordsOf(readFileSync(join(directory, name))).map(eventOf));

/** What TensorBoard shows of a folder: the files one after another, START dropping that step and later ones. */
function shown(directory: string, tag: string): [step: number, value: number][] {
  let points: [number, number][] = [];
  for (const { step, start, scalars } of eventsOf(directory).flat()) {
    if (start) points = points.filter(([old]) => old < step);
    if (scalars && tag in scalars) points.push([step, scalars[tag]!]);
  }
  return points;
}

const texts = { recipe: "name: tiny\nseed: 0\n" };

test("checksums are those of published vectors", () => {
  expect(unmask(maskedCrc(Buffer.from("123456789")))).toBe(0xe3069283);
  expect(unmask(maskedCrc(new Uint8Array(32)))).toBe(0x8a9136aa);
  expect(unmask(maskedCrc(new Uint8Array(32).fill(255)))).toBe(0x62a8ab43);
});

test("an independent reader finds the version, the session's start, the recipe and every value", () => {
  const directory = join(newFolder(), "tensorboard");
  const log = openEventLog({ directory, texts, now: () => 1_700_000_000_500 });
  log.restart(0);
  log.record(0, { "reward/total": -2, "optim/lr": 2e-6 });
  log.record(300, { "reward/total": 0.5 });
  expect(readdirSync(directory)).toEqual(["events.out.tfevents.1700000000.r1-searcher"]);
  const wallTime = 1_700_000_000.5;
  expect(eventsOf(directory)).toEqual([
    [
      { wallTime, step: 0, version: "brain.Event:2" },
      { wallTime, step: 0, start: true },
      { wallTime, step: 0, text: { tag: "recipe", plugin: "text", text: "    name: tiny\n    seed: 0" } },
      { wallTime, step: 0, scalars: { "reward/total": -2, "optim/lr": Math.fround(2e-6) } },
      { wallTime, step: 300, scalars: { "reward/total": 0.5 } },
    ],
  ]);
});

test("any names and numbers come back as they were, as floats", () => {
  fc.assert(
    fc.property(
      fc.nat(2 ** 31),
      fc.dictionary(fc.string({ unit: "grapheme", minLength: 1 }), fc.double({ noNaN: true, max: 3e38, min: -3e38 })),
      (step, values) => {
        const directory = newFolder();
        openEventLog({ directory, texts: {} }).record(step, values);
        const event = eventsOf(directory)[0]!.at(-1)!;
        expect(event.step).toBe(step);
        expect(Object.entries(event.scalars!)).toEqual(Object.entries(values).map(([tag, n]) => [tag, Math.fround(n)]));
      },
    ),
    { numRuns: 50 },
  );
});

test("a resumed run shows each step once, even when it died in the middle of an event and within one second", () => {
  const directory = newFolder();
  const process = (from: number, to: number, value: number) => {
    const log = openEventLog({ directory, texts, now: () => 1000 });
    log.restart(from);
    for (let step = from; step < to; step++) log.record(step, { x: value });
  };
  process(0, 6, 1);
  const [first] = readdirSync(directory);
  truncateSync(join(directory, first!), readFileSync(join(directory, first!)).length - 5);
  process(4, 6, 2);
  for (let later = 0; later < 10; later++) process(5, 7, 3);
  expect(shown(directory, "x")).toEqual(
    [0, 1, 2, 3]
      .map((step) => [step, 1])
      .concat([
        [4, 2],
        [5, 3],
        [6, 3],
      ]),
  );
  const recipes = eventsOf(directory)
    .flat()
    .filter(({ text }) => text);
  expect(recipes.length).toBe(1);
});

test("a run that goes back within a process shows the second time only", () => {
  const directory = newFolder();
  const log = openEventLog({ directory, texts });
  log.restart(0);
  for (const step of [0, 1, 2]) log.record(step, { x: 1 });
  log.restart(1);
  for (const step of [1, 2]) log.record(step, { x: 2 });
  expect(readdirSync(directory).length).toBe(1);
  expect(shown(directory, "x")).toEqual([
    [0, 1],
    [1, 2],
    [2, 2],
  ]);
});

test("a process that records nothing leaves no file", () => {
  const directory = join(newFolder(), "tensorboard");
  openEventLog({ directory, texts }).restart(3);
  expect(() => readdirSync(directory)).toThrow(/ENOENT/);
});
