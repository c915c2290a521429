import type { Sample, SampleKey, SampleRequest } from "../../engine.ts";
export class Decoder {
  static async create(_: unknown): Promise<Decoder> { return new Decoder(); }
  submit(_request: SampleRequest, _done: (result: Sample | Error) => void): void { throw new Error("not built"); }
  async step(): Promise<boolean> { return false; }
  finished(_key: SampleKey): void {}
  release(): void {}
}
