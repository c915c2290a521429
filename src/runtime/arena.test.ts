import fc from "fast-check";
import { expect, test } from "vitest";
import { Arenas, memoryOf, planArenas } from "./arena.ts";

test("views are zeroed, aligned to 64 bytes, of the length asked for, and do not overlap", () => {
  fc.assert(
    fc.property(fc.array(fc.array(fc.nat(5000), { maxLength: 4 }), { maxLength: 8 }), (groups) => {
      const { views } = Arenas.create(groups, { maxArenaBytes: 65_536 });
      expect(views.map((group) => group.map(({ length }) => length))).toEqual(groups);
      let mark = 0;
      for (const view of views.flat()) {
        expect(view.byteOffset % 64).toBe(0);
        expect(view.every((x) => x === 0)).toBe(true); // values that an earlier view left behind would show here
        view.fill(++mark);
      }
      mark = 0;
      for (const view of views.flat()) {
        mark++;
        expect(view.every((x) => x === mark)).toBe(true);
      }
    }),
    { numRuns: 50 },
  );
});

test("the views of a group share a memory, and groups that do not fit together do not", () => {
  const arenas = Arenas.create([[1000, 1000], [20_000, 1], [500]], { maxArenaBytes: 65_536 });
  const places = arenas.views.map((group) => group.map((view) => arenas.locate(view)));
  expect(places.map((group) => group.map(({ memory }) => memory))).toEqual([[0, 0], [1, 1], [2]]);
  expect(places[0]).toEqual([
    { memory: 0, byteOffset: 0 },
    { memory: 0, byteOffset: 4032 },
  ]);
  expect(arenas.memories.map(({ buffer }) => buffer.byteLength)).toEqual([65_536, 131_072, 65_536]);
  expect(arenas.totalBytes).toBe(262_144);
  expect(memoryOf(arenas.views[1]![0]!.subarray(7))).toBe(arenas.memories[1]);
});

test("a group larger than the arena size gets a memory of its own", () => {
  const plan = planArenas([[16], [1000], [16]], 1024);
  expect(plan.sizes).toEqual([64, 4032, 64]);
});

test("a group beyond 32-bit addresses is refused, with its size and a remedy", () => {
  expect(() => planArenas([[10], [2 ** 30, 16]], 2 ** 30)).toThrowError(/group 1 needs 4\.00 GiB/);
});

test("an array outside any arena has no place", () => {
  const arenas = Arenas.create([[4]]);
  expect(() => arenas.locate(new Float32Array(4))).toThrowError(/does not lie/);
  expect(() => memoryOf(new Float32Array(4))).toThrowError(/does not lie/);
});
