/**
 * @file Do texts and conversations become the same tokens as in transformers?
 *   PYTHON=python3 npm run experiment -- parity:templates [MODEL_DIR…]
 * 1,000 conversations of one to nine turns, half with tools, calls and results, spread over tokenizers that cut as
 * GPT-2's, SmolLM2's, Llama 3's and Qwen's do with templates in the shapes of Llama and Qwen, and over every folder
 * named with its own template; and as many single texts. Rendered text and ids must be equal. Exits 1 otherwise.
 */
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { programOptions } from "../../scripts/program-options.ts";
import { type Random, randomOf } from "../../src/base/random.ts";
import type { ChatMessage } from "../../src/base/tokenizer.ts";
import { loadTokenizer } from "../../src/engine/huggingface/tokenizer.ts";
import { chatTemplates } from "./chat-templates.ts";
import { askPython } from "./python.ts";
import { type Cutting, writeCuttingTokenizer } from "./random-models.ts";
import { randomText } from "./random-texts.ts";

const help = `Compares the tokens of 1,000 conversations and as many texts with those of transformers.
The variable PYTHON names a Python that has transformers (default: python3).

usage: npm run experiment -- parity:templates [MODEL_DIR…]
  MODEL_DIR…     Hugging Face folders that are compared too
  --help
`;
const given = programOptions(help, {}, true).positionals.map((folder) => resolve(folder));

const count = 1000;

interface Case {
  readonly folder: string;
  readonly messages: readonly ChatMessage[];
  readonly variables: Readonly<Record<string, unknown>>;
}

const searchTool = {
  type: "function",
  function: {
    name: "search",
    description: "Finds passages — “quoted”, <b>bold</b> & naïve.",
    parameters: {
      type: "object",
      properties: {
        query: { type: "string" },
        k: { type: "integer", default: 3, minimum: 0.5 },
        exact: { type: "boolean", enum: [true, false] },
      },
      required: ["query"],
      additionalProperties: null,
    },
  },
};
const clockTool = {
  type: "function",
  function: { name: "clock", description: "", parameters: { type: "object", properties: {} } },
};

/** One that every template takes: user and assistant in turn, a call answered by a result. */
function conversation(random: Random, withTools: boolean): ChatMessage[] {
  const messages: ChatMessage[] = [];
  if (random.int(2) === 0) messages.push({ role: "system", content: randomText(random) });
  const turns = 1 + random.int(4);
  for (let turn = 0; turn < turns; turn++) {
    messages.push({ role: "user", content: randomText(random) });
    if (withTools && random.int(2) === 0) {
      const call = {
        name: random.pick(["search", "clock"]),
        arguments: { query: randomText(random), k: random.int(9) },
      };
      messages.push({ role: "assistant", content: "", tool_calls: [{ type: "function", function: call }] });
      messages.push({ role: "tool", name: call.name, content: randomText(random) });
    }
    if (turn < turns - 1 || random.int(3) === 0) {
      const thought = random.int(2) === 0 ? `<think>\n${randomText(random)}\n</think>\n\n` : "";
      messages.push({ role: "assistant", content: `${thought}${randomText(random)}` });
    }
  }
  return messages;
}

function caseFor(folder: string, i: number): Case {
  const random = randomOf(11, "template", i);
  const withTools = i % 2 === 1;
  const messages = conversation(random, withTools);
  const variables = {
    add_generation_prompt: messages.at(-1)!.role !== "assistant",
    ...(withTools ? { tools: random.pick([[searchTool], [searchTool, clockTool]]) } : {}),
    ...(random.int(3) === 0 ? { enable_thinking: random.int(2) === 0 } : {}),
    ...(random.int(3) === 0 ? { date_string: "26 Nov 2026" } : {}),
  };
  return { folder, messages, variables };
}

function makeFolders(root: string, given: readonly string[]): string[] {
  const made = (["gpt-2", "smollm", "llama-3", "qwen"] as Cutting[]).flatMap((cutting) =>
    Object.entries(chatTemplates).map(([name, template]) => {
      const folder = join(root, `${cutting}-${name}`);
      mkdirSync(folder, { recursive: true });
      writeCuttingTokenizer(folder, cutting);
      writeFileSync(join(folder, "chat_template.jinja"), template);
      return folder;
    }),
  );
  const copied = given.flatMap((path, i) =>
    ["own", ...Object.keys(chatTemplates)].map((name) => {
      const folder = join(root, `given-${i}-${name}`);
      mkdirSync(folder);
      for (const file of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja"])
        if (existsSync(join(path, file))) cpSync(join(path, file), join(folder, file));
      if (name !== "own") writeFileSync(join(folder, "chat_template.jinja"), chatTemplates[name as "qwen"]);
      return folder;
    }),
  );
  return [...made, ...copied];
}

const root = mkdtempSync(join(tmpdir(), "r1-searcher-templates-"));
try {
  const folders = makeFolders(root, given);
  const cases = Array.from({ length: count }, (_, i) => caseFor(folders[i % folders.length]!, i));
  const random = randomOf(12, "texts");
  const texts = Array.from({ length: count }, (_, i) => ({
    folder: folders[i % folders.length]!,
    text: randomText(random),
  }));
  const oracle = askPython<{ renders: { text: string; ids: number[] }[]; texts: number[][] }>("folder_oracle.py", {
    renders: cases,
    texts,
  });
  const tokenizers = new Map(
    await Promise.all(folders.map(async (folder) => [folder, await loadTokenizer(folder)] as const)),
  );
  const faults: string[] = [];
  for (const [i, { folder, messages, variables }] of cases.entries()) {
    const tokenizer = tokenizers.get(folder)!;
    const text = tokenizer.chatTemplate!(messages, variables);
    const { text: theirs, ids } = oracle.renders[i]!;
    if (text !== theirs)
      faults.push(
        `${basename(folder)} renders ${JSON.stringify(text)}\n     and transformers ${JSON.stringify(theirs)}`,
      );
    else if (tokenizer.encodeTemplate(text).join() !== ids.join())
      faults.push(`${basename(folder)} encodes otherwise: ${JSON.stringify(text)}`);
  }
  const rendered = faults.length;
  for (const [i, { folder, text }] of texts.entries())
    if (tokenizers.get(folder)!.encodeTemplate(text).join() !== oracle.texts[i]!.join())
      faults.push(`${basename(folder)} encodes otherwise: ${JSON.stringify(text)}`);
  const withTools = cases.filter(({ variables }) => "tools" in variables).length;
  process.stdout.write(
    `${count - rendered}/${count} conversations (${withTools} with tools, ${cases.filter(({ messages }) => messages.length > 2).length} of several turns) and ${count - (faults.length - rendered)}/${count} texts equal, over ${folders.length} folders\n`,
  );
  for (const fault of faults.slice(0, 5)) process.stdout.write(`FAIL ${fault}\n`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  rmSync(root, { recursive: true, force: true });
}
