import { Command } from "@commander-js/extra-typings";
import { exportCommand } from "../model-commands/export.ts";
import { get } from "../model-commands/get.ts";
import { info } from "../model-commands/info.ts";
import { logprobs } from "../model-commands/logprobs.ts";
import { pretrain } from "../model-commands/pretrain.ts";

export function command() {
  return new Command("model")
    .description(
      "Load a model from a hub, look at one, score tokens with it, write it for other programs, or make a small one from nothing.",
    )
    .addCommand(get())
    .addCommand(info())
    .addCommand(logprobs())
    .addCommand(pretrain())
    .addCommand(exportCommand());
}
