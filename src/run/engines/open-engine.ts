/** @file From a kind of engine to a policy that is open. */
import { openOnnx } from "./open-onnx.ts";
import type { OpenOptions, OpenPolicy } from "./open-policy.ts";

/** @param path as for `findPolicy` */
export function openEngine(path: string, options: OpenOptions): Promise<OpenPolicy> {
  const kind = options.engine?.kind ?? "onnx";
  switch (kind) {
    case "onnx":
      return openOnnx(path, options);
  }
}
