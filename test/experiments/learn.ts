/** @file Experiments as one command: recipes × seeds, trained and evaluated, and their tables written into the docs. */
import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { programOptions, refuse, wholeNumber } from "../../scripts/program-options.ts";
import { ConfigError, messageOf, R1SearcherError } from "../../src/base/errors.ts";
import { writeAtomically } from "../../src/base/files.ts";
import { type WorldSplit, worldSplits } from "../../src/data/world/splits.ts";
import { packageFolder } from "../support/cli-process.ts";
import { Jobs, Stopped } from "./learn/jobs.ts";
import { insertTables } from "./learn/page.ts";
import { type PlanOptions, planRuns } from "./learn/plan.ts";
import { readRuns } from "./learn/runs.ts";
import { tablesOf } from "./learn/tables.ts";

const help = `Trains each recipe with the seeds 0 to n-1, evaluates what comes out, and writes the tables of
docs/results.md from all finished runs in the folder; recipes without a run there keep their lines. Ctrl-C saves; the same command continues. A finished run is taken
as it is, as long as its recipe and the weights that it began with are the same.

usage: npm run experiment -- learn [options]
  --recipe <a,b,…>    recipes by name or path; those in ablations/ have a table of their own (default: nano)
  --seeds <n>         how many (default: 5)
  --jobs <n>          runs at once; they share the machine, so minutes mean less (default: 1)
  --splits <a,b,…>    other kinds of questions for base and stage ends, or none (default: templates,noisy,3-hop)
  --set <key=value>   a setting over every recipe; repeatable
  --out <dir>         where the runs are (default: runs/learn)
  --docs <file>       the page with the tables (default: docs/results.md)
  --help

examples:
  npm run experiment -- learn --seeds 5
  npm run experiment -- learn --seeds 2 --recipe ablations/no-search,ablations/no-masking --set eval.every=0
  npm run experiment -- learn --seeds 1 --recipe nano-short --out runs/try --docs my-page.md
`;

interface Options extends PlanOptions {
  readonly splits: readonly WorldSplit[];
  readonly docs: string;
}

const say = (line: string) => void process.stdout.write(`${line}\n`);

function optionsOf(): Options {
  const { values } = programOptions(help, {
    recipe: { type: "string", default: "nano" },
    seeds: { type: "string", default: "5" },
    jobs: { type: "string", default: "1" },
    splits: { type: "string", default: "templates,noisy,3-hop" },
    set: { type: "string", multiple: true, default: [] },
    out: { type: "string", default: join("runs", "learn") },
    docs: { type: "string", default: join(packageFolder, "docs", "results.md") },
  });
  const splits = values.splits === "none" ? [] : values.splits.split(",");
  const unknown = splits.find((split) => !worldSplits.some((known) => known === split && known !== "iid"));
  if (unknown !== undefined)
    refuse(
      new ConfigError(`--splits names "${unknown}"`, {
        hint: `give ${worldSplits.slice(1).join(", ")}, with commas, or none`,
      }),
    );
  return {
    recipes: values.recipe.split(",").filter((name) => name !== ""),
    seeds: wholeNumber("seeds", values.seeds, 1),
    jobs: wholeNumber("jobs", values.jobs, 1),
    splits: splits as WorldSplit[],
    set: values.set,
    out: values.out,
    docs: values.docs,
  };
}

async function main(): Promise<number> {
  const options = optionsOf();
  insertTables(readFileSync(options.docs, "utf8"), tablesOf([])); // a page without markers is found before hours of work
  const planned = await planRuns(options);
  const jobs = new Jobs(planned, { jobs: options.jobs, splits: options.splits, say });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      say("stopping: the runs save what is whole (press Ctrl-C again to stop at once) …");
      jobs.stop();
    });
  }
  try {
    await jobs.run();
  } catch (error) {
    if (!(error instanceof Stopped)) throw error;
    say("stopped: the same command continues");
    return 130;
  }
  const runs = readRuns(options.out);
  writeAtomically(options.docs, insertTables(readFileSync(options.docs, "utf8"), tablesOf(runs)));
  say(`${relative(process.cwd(), options.docs)}: tables of ${runs.length} runs in ${options.out}`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const hint = error instanceof R1SearcherError && error.hint !== undefined ? `\nhint: ${error.hint}` : "";
  process.stderr.write(`error: ${messageOf(error)}${hint}\n`);
  process.exitCode = 1;
}
