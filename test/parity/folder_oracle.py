"""What transformers makes of model folders, for compare-export.ts and compare-templates.ts.

stdin: JSON {"logprobs": [{"folder", "ids"}], "renders": [{"folder", "messages", "variables"}], "texts": [{"folder", "text"}]}
stdout: JSON {"logprobs": [[...]], "renders": [{"text", "ids"}], "texts": [[ids]]}, all in order.
Needs torch and transformers.
"""
import functools
import json
import sys

request = json.load(sys.stdin)


@functools.cache
def tokenizer(folder):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@functools.cache
def model(folder):
    import torch
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def logprobs(folder, ids):
    import torch

    with torch.no_grad():
        scores = torch.log_softmax(model(folder)(torch.tensor([ids])).logits[0, :-1], -1)
    return scores.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def encode(folder, text):
    return tokenizer(folder)(text, add_special_tokens=False)["input_ids"]


def render(folder, messages, variables):
    text = tokenizer(folder).apply_chat_template(messages, tokenize=False, **variables)
    return dict(text=text, ids=encode(folder, text))


print(json.dumps(dict(
    logprobs=[logprobs(**one) for one in request.get("logprobs", [])],
    renders=[render(**one) for one in request.get("renders", [])],
    texts=[encode(**one) for one in request.get("texts", [])],
)))
