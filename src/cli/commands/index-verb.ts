import { Command } from "@commander-js/extra-typings";
import { build } from "../index-commands/build.ts";
import { check } from "../index-commands/check.ts";
import { append, merge } from "../index-commands/grow.ts";
import { plan } from "../index-commands/plan.ts";
import { search } from "../index-commands/search.ts";

export function command() {
  return new Command("index")
    .description("Build, search, check and extend a corpus index (BM25, dense, or both).")
    .addCommand(plan())
    .addCommand(build())
    .addCommand(search())
    .addCommand(check())
    .addCommand(append())
    .addCommand(merge());
}
