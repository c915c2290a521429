/**
 * @file Arenas: non-shared WebAssembly memories that hold weights, gradients and optimiser state, so that ONNX Runtime
 * and the WebAssembly kernels read and write the same bytes. ONNX Runtime refuses shared memory, and growing a memory
 * detaches its views, so every size is known before the first view exists.
 */
import { EngineError, messageOf } from "../base/errors.ts";

/** The part of WebAssembly.Memory that this project needs (the configured TypeScript libraries do not declare it). */
export interface ArenaMemory {
  readonly buffer: ArrayBuffer;
}

/** Where a view lies: the index of its memory, and the offset in bytes. */
export interface ArenaPlace {
  readonly memory: number;
  readonly byteOffset: number;
}

type MemoryConstructor = new (size: { initial: number; maximum: number }) => ArenaMemory;

const GIB = 2 ** 30;
const PAGE = 65_536;
const ALIGNMENT = 64;
/** The limit of 32-bit addresses. */
const LARGEST_MEMORY = 4 * GIB;

const memories = new WeakMap<ArrayBuffer, ArenaMemory>();

export class Arenas {
  /** One array of zeroed views per group, in the order requested; each view begins on a 64-byte boundary. */
  readonly views: readonly (readonly Float32Array[])[];
  readonly memories: readonly ArenaMemory[];

  private constructor(memories: readonly ArenaMemory[], views: readonly (readonly Float32Array[])[]) {
    this.memories = memories;
    this.views = views;
  }

  /**
   * @param groups lengths in floats; the views of one group share a memory, so that one kernel can read them all
   * @param options.maxArenaBytes groups fill memories up to this size (default 1 GiB); a larger group gets one of its own
   * @throws EngineError where a group exceeds 4 GiB or the machine has no memory left
   */
  static create(groups: readonly (readonly number[])[], options: { readonly maxArenaBytes?: number } = {}): Arenas {
    const plan = planArenas(groups, options.maxArenaBytes ?? GIB);
    const made = plan.sizes.map(newMemory);
    const views = groups.map((lengths, group) => {
      const { memory, byteOffsets } = plan.places[group]!;
      return lengths.map((length, i) => new Float32Array(made[memory]!.buffer, byteOffsets[i]!, length));
    });
    return new Arenas(made, views);
  }

  get totalBytes(): number {
    return this.memories.reduce((sum, { buffer }) => sum + buffer.byteLength, 0);
  }

  /** Also works for a subarray of a view. Throws if the view is in none of these memories. */
  locate(view: Float32Array): ArenaPlace {
    const memory = this.memories.findIndex(({ buffer }) => buffer === view.buffer);
    if (memory < 0) throw new Error("the view does not lie in these arenas");
    return { memory, byteOffset: view.byteOffset };
  }
}

/** The memory that holds a view made by any `Arenas`; throws for any other array. */
export function memoryOf(view: Float32Array): ArenaMemory {
  const memory = memories.get(view.buffer as ArrayBuffer);
  if (!memory) throw new Error("the array does not lie in an arena");
  return memory;
}

export interface ArenaPlan {
  /** Size of each memory in bytes. */
  readonly sizes: readonly number[];
  readonly places: readonly { readonly memory: number; readonly byteOffsets: readonly number[] }[];
}

/** Assigns groups to memories in order and begins a new memory where the next group would exceed `maxArenaBytes`. */
export function planArenas(groups: readonly (readonly number[])[], maxArenaBytes: number): ArenaPlan {
  const sizes: number[] = [];
  const places = groups.map((lengths, index) => {
    const bytes = lengths.reduce((sum, length) => sum + aligned(length), 0);
    if (bytes > LARGEST_MEMORY) {
      throw new EngineError(`group ${index} needs ${(bytes / GIB).toFixed(2)} GiB in one arena; an arena holds 4 GiB`, {
        hint: "one tensor with its gradient and optimiser state must fit: train a smaller model or LoRA, or use a remote engine",
      });
    }
    const last = sizes.at(-1);
    if (last === undefined || (last + bytes > maxArenaBytes && last > 0)) sizes.push(0);
    const memory = sizes.length - 1;
    let offset = sizes[memory]!;
    const byteOffsets = lengths.map((length) => {
      const at = offset;
      offset += aligned(length);
      return at;
    });
    sizes[memory] = offset;
    return { memory, byteOffsets };
  });
  return { sizes, places };
}

function aligned(length: number): number {
  if (!Number.isSafeInteger(length) || length < 0) throw new Error(`${length} is not a valid array length`);
  return Math.ceil((length * 4) / ALIGNMENT) * ALIGNMENT;
}

function newMemory(bytes: number): ArenaMemory {
  const { Memory } = (globalThis as unknown as { WebAssembly: { Memory: MemoryConstructor } }).WebAssembly;
  const pages = Math.ceil(bytes / PAGE);
  try {
    const memory = new Memory({ initial: pages, maximum: pages });
    memories.set(memory.buffer, memory);
    return memory;
  } catch (cause) {
    throw new EngineError(`an arena of ${(bytes / GIB).toFixed(2)} GiB could not be allocated: ${messageOf(cause)}`, {
      hint: "free memory, use fewer workers, or train a smaller model",
      cause,
    });
  }
}
