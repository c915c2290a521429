/** @file `npm run experiment`: lists the experiments, or runs the one that is named. */
import { runNamed } from "../../scripts/named-programs.ts";
import { experiments } from "./table.ts";

await runNamed(experiments);
