/** @file Texts that tokenizers and templates get wrong first: scripts, spaces, digits, signs, spelled-out special tokens. */
import type { Random } from "../../src/base/random.ts";

const parts = [
  ..."The river Elm|flows past| 1,234.5|\n\n\t|don't|WE'LL|'s| I'd|x²+y³|日本語の文|🙂‍↔️👩🏽‍🚀|naïve|ﬁne|  |   \n|Ünïcödé|\u200b|العربية|{}[]|".split(
    "|",
  ),
  ..."def f(x):\n    return x|</think>|<|im_start|>|<|eot_id|>|<tool_call>|{{ x }}|{% if %}|\\n|½ Ⅷ 三|e\u0301|\u1e9b\u0323|\r\n|A.B.C.|…—–|#@!?|ǅ|ß|".split(
    "|",
  ),
  ...[
    "<|im_start|>",
    "<|im_end|>",
    "<|endoftext|>",
    "<|eot_id|>",
    "\u00a0",
    "𝔘𝔫𝔦",
    "한국어",
    "ไทย",
    "हिन्दी",
    "0000012345",
  ],
].filter((part) => part !== "");

export function randomText(random: Random): string {
  const count = 1 + random.int(14);
  const glue = random.pick(["", " ", "\n"]);
  return Array.from({ length: count }, () => random.pick(parts)).join(glue);
}
