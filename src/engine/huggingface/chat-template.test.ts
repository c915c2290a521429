import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { EngineError } from "../../base/errors.ts";
import { readChatTemplate } from "./chat-template.ts";

const folder = () => mkdtempSync(join(tmpdir(), "r1-chat-"));
const source = `{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content | trim }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}`;
const settings = { bos_token: "<s>", eos_token: { content: "</s>" }, chat_template: source };
const messages = [
  { role: "system", content: "be brief" },
  { role: "user", content: "who <|x|>?" },
];

test("messages are rendered with the model's own tokens, ready for a reply", () => {
  expect(readChatTemplate(folder(), settings)!(messages)).toBe(
    "<s>[system]be brief</s>[user]who <|x|>?</s>[assistant]",
  );
});

test("a special token that the model does not have renders as nothing, and so does content that is null", () => {
  const render = readChatTemplate(folder(), { chat_template: source })!;
  expect(render([{ role: "user", content: null as unknown as string }])).toBe("[user][assistant]");
});

test("chat_template.jinja takes precedence over tokenizer_config.json", () => {
  const directory = folder();
  writeFileSync(join(directory, "chat_template.jinja"), "{{ messages[0]['content'] }}!");
  expect(readChatTemplate(directory, settings)!(messages)).toBe("be brief!");
});

test("of several templates the default one is taken; a model may have none", () => {
  const several = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "plain" },
  ];
  expect(readChatTemplate(folder(), { chat_template: several })!(messages)).toBe("plain");
  expect(readChatTemplate(folder(), { chat_template: several.slice(0, 1) })).toBeUndefined();
  expect(readChatTemplate(folder(), {})).toBeUndefined();
  expect(readChatTemplate(folder(), { chat_template: null })).toBeUndefined();
});

test("a template that cannot be parsed, or rejects the messages, is reported with its file", () => {
  const directory = folder();
  const file = join(directory, "tokenizer_config.json");
  const failing = (work: () => unknown, message: RegExp) => {
    expect(work).toThrow(EngineError);
    expect(work).toThrow(message);
    expect(work).toThrow(file);
  };
  failing(() => readChatTemplate(directory, { chat_template: "{% for x %}" }), /chat template fails/);
  failing(() => readChatTemplate(directory, { chat_template: 7 }), /"chat_template" is 7/);
  const strict = readChatTemplate(directory, { chat_template: "{{ raise_exception('no system role') }}" })!;
  failing(() => strict(messages), /no system role/);
});

test("the characters passed to strip functions are respected, whatever calls them", () => {
  const source =
    "{{ messages[0].content.lstrip('\\n') }}|{{ ('x' ~ messages[0].content).rstrip('\\n \\t').strip('x') }}|{{ messages[0].content.strip() }}|{% macro m(t) %}{{ t.split('a')[-1].strip('\\n') }}{% endmacro %}{{ m(messages[0].content) }}";
  const render = readChatTemplate(folder(), { chat_template: source })!;
  expect(render([{ role: "user", content: "\n \tab \n" }])).toBe(" \tab \n|\n \tab|ab|b ");
});

test("tools and calls reach the template", () => {
  const source =
    "{% for tool in tools %}{{ tool | tojson }}{% endfor %}{% for m in messages %}{% for call in m.tool_calls or [] %}{{ call.function.name }}({{ call.function.arguments | tojson }}){% endfor %}{{ m.content }}{% endfor %}{{ add_generation_prompt }}";
  const render = readChatTemplate(folder(), { chat_template: source })!;
  const call = { function: { name: "search", arguments: { query: "naïve" } } };
  const asked = [
    { role: "assistant", content: "", tool_calls: [call] },
    { role: "tool", content: "found" },
  ];
  expect(render(asked, { tools: [{ name: "search" }], add_generation_prompt: false })).toBe(
    '{"name": "search"}search({"query": "naïve"})foundfalse',
  );
});
