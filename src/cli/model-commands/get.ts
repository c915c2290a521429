import { createProgressBar } from "../display/live-line.ts";
import { bytes, duration } from "../display/words.ts";
import { untilInterrupted } from "../interrupt.ts";
import { describedCommand, jsonOption } from "../options.ts";
import { createOutput, printable } from "../output.ts";

export function get() {
  return describedCommand(
    "get",
    "Download a model from the Hugging Face Hub: only the files that are needed, with checksums. If stopped, the same command continues.",
    "model get HuggingFaceTB/SmolLM2-135M-Instruct models/smollm2-135m-instruct",
    "model get Qwen/Qwen2.5-0.5B models/qwen2.5-0.5b --revision main",
  )
    .argument("<model>", "ORG/NAME")
    .argument("[dir]", "destination folder; without it, the model stays in the cache that Hugging Face's tools share")
    .option("--revision <name>", "branch, tag or commit", "main")
    .addOption(jsonOption())
    .addHelpText(
      "after",
      "\nHF_ENDPOINT names another hub, HF_TOKEN a token for private models, HF_HUB_OFFLINE=1 uses only the cache,\nHF_HUB_CACHE or HF_HOME set the location of the cache.",
    )
    .action(async (repo, directory, { revision, json }) => {
      const output = createOutput({ json });
      const { getModel } = await import("../../engine/huggingface/hub/get-model.ts");
      const { hubSettings } = await import("../../engine/huggingface/hub/hub-settings.ts");
      const bar = createProgressBar(output, "%");
      const began = performance.now();
      let first: number | undefined;
      const got = await untilInterrupted(
        output,
        (signal) =>
          getModel({
            ...{ repo, directory, revision, signal, hub: hubSettings(process.env) },
            onMessage: (text) => bar.say(printable(text)),
            onProgress: ({ bytes: done, total }) => {
              first ??= done;
              const rate = (done - first) / ((performance.now() - began) / 1000);
              const left = rate > 0 ? ` · ${bytes(rate)}/s · ${duration((total - done) / rate)} left` : "";
              bar.update(
                Math.floor((100 * done) / Math.max(1, total)),
                100,
                `${bytes(done)} of ${bytes(total)}${left}`,
              );
            },
          }),
        "\nstopping: files already downloaded are kept (press Ctrl-C again to stop at once) …",
      ).finally(bar.end);
      const size = got.files.reduce((sum, file) => sum + file.bytes, 0);
      output.say(`${got.repo} at commit ${got.commit}, ${bytes(size)}: ${printable(got.directory)}`);
      output.result(got);
    });
}
