/** @file A process that saves one checkpoint and says so: what `traced-save.ts` kills at every call. */
import { join } from "node:path";

/** The built package; where step 2 lies, whole; the folder of checkpoints that it is saved into. */
const [packaged, source, directory] = process.argv.slice(2);
const load = (path) => import(join(packaged, "dist", path));
const { openPolicy } = await load("run/engines/onnx-policy.js");
const { PolicySettings } = await load("run/recipe/policy-settings.js");
const { CheckpointStore } = await load("run/store/checkpoint-store.js");

const how = { workers: 1, threads: 1, training: true, maxSequences: 2, contextLength: 64 };
const { engine } = await openPolicy(source, { ...how, settings: PolicySettings.parse({}) });
await engine.load(source);
const store = new CheckpointStore({ directory, keep: 1, warn: () => {} });
await store.save({ step: 2, cursor: { step: 2 }, pinned: [], write: (into) => engine.save(into) });
process.stdout.write("saved\n");
await engine.close();
