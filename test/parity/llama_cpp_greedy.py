"""What llama.cpp makes of a GGUF file in f32, for compare-export.ts.

stdin: JSON {"file": ..., "prompts": [[ids]], "generated": n, "texts": [...]}
stdout: JSON {"greedy": [[ids]], "gaps": [[between the top two logits]], "plain": [[ids]], "special": [[ids]]}
Needs llama-cpp-python and numpy.
"""
import json
import sys

import llama_cpp
import numpy as np

request = json.load(sys.stdin)
F32 = llama_cpp.GGML_TYPE_F32
model = llama_cpp.Llama(request["file"], n_ctx=512, n_threads=2, n_gpu_layers=0, type_k=F32, type_v=F32, verbose=False)


def greedy(prompt):
    model.reset()
    model.eval(prompt)
    ids, gaps = [], []
    for _ in range(request["generated"]):
        logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), (model.n_vocab(),))
        second, first = np.argpartition(logits, -2)[-2:]
        if logits[second] > logits[first]:
            first, second = second, first
        ids.append(int(first))
        gaps.append(float(logits[first] - logits[second]))
        model.eval([ids[-1]])
    return ids, gaps


written = [greedy(prompt) for prompt in request["prompts"]]
encode = lambda special: [model.tokenize(text.encode(), add_bos=False, special=special) for text in request["texts"]]
print(json.dumps(dict(
    greedy=[ids for ids, _ in written], gaps=[gaps for _, gaps in written], plain=encode(False), special=encode(True),
    template=model.metadata.get("tokenizer.chat_template"), end=model.token_eos(),
)))
