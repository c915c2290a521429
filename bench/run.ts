/** @file `npm run bench`: runs the benchmark that is named, or that of nano. */
import { runNamed } from "../scripts/named-programs.ts";
import { benchmarks } from "./table.ts";

await runNamed(benchmarks);
