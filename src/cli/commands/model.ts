import { Command } from "@commander-js/extra-typings";
import { exportCommand } from "../model-commands/export.ts";
import { get } from "../model-commands/get.ts";
import { info } from "../model-commands/info.ts";
import { logprobs } from "../model-commands/logprobs.ts";
import { pretrain } from "../model-commands/pretrain.ts";

export function command() {
  return new Command("model")
    .description(
      "Download a model from a hub, show its properties, score tokens with it, export it for other programs, or make a small one.",
    )
    .addCommand(get())
    .addCommand(info())
    .addCommand(logprobs())
    .addCommand(pretrain())
    .addCommand(exportCommand());
}
