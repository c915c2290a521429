/**
 * @file Makes models/nano-searcher from a run: the policy of its last checkpoint, without optimiser state, and the index
 * of the world that `ask --example` asks about. Usage: npx tsx scripts/bundle-searcher.ts runs/nano
 */
import { copyFileSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { bundled, exampleWorld } from "../src/run/engines/open-policy.ts";
import { findLocalPolicy } from "../src/run/store/find-policy.ts";
import { buildIndex } from "../src/search/bm25/build.ts";

const run = process.argv[2];
if (run === undefined) throw new Error("name the run: npx tsx scripts/bundle-searcher.ts runs/nano");
const { directory: from } = await findLocalPolicy(run, { warn: console.error });
const to = bundled("nano-searcher");
mkdirSync(to, { recursive: true });
const notPolicy = /^(optimizer-|cursor\.json|manifest\.json)/;
for (const name of readdirSync(from)) if (!notPolicy.test(name)) copyFileSync(join(from, name), join(to, name));
const { passages } = exampleWorld();
const report = await buildIndex(
  (async function* () {
    yield* passages;
  })(),
  join(to, "index"),
  { overwrite: true },
);
console.log(`${from} → ${to}, ${report.passages} passages`);
