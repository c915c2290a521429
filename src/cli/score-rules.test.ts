import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, expect, test, vi } from "vitest";
import { DataError } from "../base/errors.ts";
import { command } from "./commands/score.ts";

const folder = mkdtempSync(join(tmpdir(), "score-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
afterEach(() => vi.restoreAllMocks());

const documents = "\n\n<|begin_of_documents|>\n(1)The assistant of a director.\n<|end_of_documents|>\n\n";
const row = {
  question: "Who directed it?",
  answer: "Emma",
  pred_ans: "Emma",
  gen_text_store: `I ask.<|begin_of_query|> director<|end_of_query|>${documents}So</think><answer> Emma </answer>`,
};

async function score(rows: readonly unknown[], ...args: string[]): Promise<unknown> {
  const file = join(folder, "results.jsonl");
  writeFileSync(file, rows.map((value) => `${JSON.stringify(value)}\n`).join(""));
  const written: string[] = [];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => written.push(String(text)) > 0);
  vi.spyOn(process.stderr, "write").mockImplementation(() => true);
  await command().parseAsync(["node", "score", file, "--json", ...args]);
  return JSON.parse(written.join("").trimEnd().split("\n").at(-1)!);
}

const metrics = { n: 1, em: 100, coverEm: 100, coverEm2: 100, f1: 100 };

test("score counts the rules that fired, and those that only documents made fire", async () => {
  const rules = (await score([row], "--rules", "code")) as { rules: { rules: readonly { rule: string }[] } };
  expect(rules).toMatchObject({
    ...metrics,
    rules: { preset: "code", n: 1, meanReward: -1, penalised: 1, penalisedOnDocumentsOnly: 1 },
  });
  expect(rules.rules.rules.find(({ rule }) => rule === "assistant")).toEqual({
    rule: "assistant",
    fired: 1,
    onDocumentsOnly: 1,
  });
});

test("a plain name of rewards is their second stage", async () => {
  expect(await score([row], "--rules", "fixed")).toEqual({
    ...metrics,
    rules: {
      preset: "fixed/stage-2",
      n: 1,
      meanReward: 1,
      penalised: 0,
      penalisedOnDocumentsOnly: 0,
      rules: [
        { rule: "f1", fired: 1, onDocumentsOnly: 0 },
        { rule: "format", fired: 0, onDocumentsOnly: 0 },
      ],
    },
  });
});

test("without --rules nothing but the metrics is printed, and no text of the attempt is needed", async () => {
  const { gen_text_store: _, ...bare } = row;
  expect(await score([bare])).toEqual(metrics);
  await expect(score([bare], "--rules", "code")).rejects.toThrow(DataError);
});
