import { Command } from "@commander-js/extra-typings";
import { info } from "../model-commands/info.ts";
import { logprobs } from "../model-commands/logprobs.ts";
import { pretrain } from "../model-commands/pretrain.ts";

export function command() {
  return new Command("model")
    .description("Look at a policy, score tokens with it, or make a small one from nothing.")
    .addCommand(info())
    .addCommand(logprobs())
    .addCommand(pretrain());
}
