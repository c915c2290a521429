/**
 * @file The tensors of an adapter: their names in PEFT, and how they are packed to match the packed weights they adapt.
 */
import type { LoraShape } from "../lora.ts";
import { type ModelConfig, type Pack, type ParameterSpec, packs } from "./model-config.ts";

/** The adapter of one pack of weights, for some or all of its members. */
export interface AdaptedPack {
  /** The pack of weights that is adapted. */
  readonly pack: string;
  /** [adapted members · rank, in]. */
  readonly a: Pack;
  /** [Σ out of adapted members, rank]. */
  readonly b: Pack;
  /** The members of the adapted pack in order; each is a block of output columns. */
  readonly blocks: readonly { readonly name: string; readonly columns: number; readonly isAdapted: boolean }[];
}

/** PEFT's name of the A or B of the matrix `name`. */
export function peftName(name: string, letter: "A" | "B"): string {
  return `base_model.model.${name.replace(/weight$/, `lora_${letter}.weight`)}`;
}

/** @returns one entry for each pack with a target module, in the order of `packs` */
export function adaptedPacks(config: ModelConfig, { rank, targets }: LoraShape): AdaptedPack[] {
  return packs(config).flatMap(({ pack, members }) => {
    const adapted = members.filter(({ name, role }) => role === "matrix" && targets.some((it) => isCalled(name, it)));
    if (adapted.length === 0) return [];
    const side = (letter: "A" | "B", shapeOf: (out: number, into: number) => [number, number]): Pack => {
      const own = `${pack}.lora_${letter.toLowerCase()}`;
      const specs = adapted.map(
        ({ name, shape: [out, into] }): ParameterSpec => ({
          name: peftName(name, letter),
          shape: shapeOf(out!, into!),
          pack: own,
          role: "matrix",
        }),
      );
      const rows = specs.reduce((sum, { shape }) => sum + shape[0]!, 0);
      return { pack: own, shape: [rows, specs[0]!.shape[1]!], members: specs };
    };
    const blocks = members.map((member) => ({
      name: member.name,
      columns: member.shape[0]!,
      isAdapted: adapted.includes(member),
    }));
    return [{ pack, a: side("A", (_, into) => [rank, into]), b: side("B", (out) => [out, rank]), blocks }];
  });
}

/** Every tensor of an adapter. */
export function adapterSpecs(config: ModelConfig, lora: LoraShape): ParameterSpec[] {
  return adaptedPacks(config, lora).flatMap(({ a, b }) => [...a.members, ...b.members]);
}

/** Whether the tensor `name` belongs to the module that PEFT calls `target`. */
function isCalled(name: string, target: string): boolean {
  return name.endsWith(`.${target}.weight`);
}
