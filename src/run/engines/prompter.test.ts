import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { ConfigError } from "../../base/errors.ts";
import { packagePath } from "../../base/package.ts";
import { loadTokenizer } from "../../engine/huggingface/tokenizer.ts";
import { protocols } from "../../protocol/protocol.ts";
import { PolicySettings } from "../recipe/policy-settings.ts";
import { prompterOf } from "./prompter.ts";

const folder = mkdtempSync(join(tmpdir(), "prompts-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  ["kind: base\ntext: [", /mine\.yaml:\d is not usable YAML/],
  ["kind: &x [*x]", /mine\.yaml:1 is not usable YAML: an alias stands for a value that contains itself/],
  ["[".repeat(20_000), /mine\.yaml:\d+ is not usable YAML/],
  ["", /is no prompt template/],
])("a prompt file that is no YAML is a mistake of the user: %.20s", async (text, message) => {
  const promptFile = join(folder, "mine.yaml");
  writeFileSync(promptFile, text);
  const tokenizer = await loadTokenizer(packagePath("models/nano"));
  const open = () => prompterOf(PolicySettings.parse({ promptFile }), tokenizer, protocols["r1-searcher"]);
  expect(open).toThrow(ConfigError);
  expect(open).toThrow(message);
});

test("a prompt file that is not there is named", async () => {
  const tokenizer = await loadTokenizer(packagePath("models/nano"));
  const settings = PolicySettings.parse({ promptFile: join(folder, "none.yaml") });
  expect(() => prompterOf(settings, tokenizer, protocols["r1-searcher"])).toThrow(/none\.yaml cannot be read: ENOENT/);
});
