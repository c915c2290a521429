"""Random models of each family and what transformers makes of them in f32, for compare-families.ts.

  python family_oracle.py make DIR      writes DIR/<name>/ (a model folder) and DIR/<name>.safetensors (the results)
  python family_oracle.py check DIR     prints, as JSON by name, log-probabilities of the folders in DIR
Needs torch, transformers and safetensors.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from families import configs, logprobs, ppo_loss, tokens

torch.set_num_threads(1)  # tiny models: more threads only wait for each other

LENGTH, PROMPT, GENERATED = 256, 24, 64
def make(directory: pathlib.Path):
    for number, (name, raw) in enumerate(configs()):
        torch.manual_seed(number)
        folder = directory / name
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(raw))))
        with torch.no_grad():
            for key, value in model.named_parameters():
                value.normal_(1.0 if "norm" in key else 0.0, 0.15)
        model.save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps(raw))
        save_file(results(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)), directory / f"{name}.safetensors")
        print(name, file=sys.stderr)


def results(model):
    vocab = model.config.vocab_size
    logprob = logprobs(model, tokens(0, LENGTH, vocab))
    loss, old = ppo_loss(logprob, 0)
    loss.backward()
    out = {f"gradient.{key}": value.grad for key, value in model.named_parameters()}
    with torch.no_grad():
        ids = tokens(1, PROMPT, vocab)
        gaps = []
        for _ in range(GENERATED):
            top = model(torch.tensor([ids])).logits[0, -1].topk(2)
            gaps.append(float(top.values[0] - top.values[1]))
            ids.append(int(top.indices[0]))
    out |= dict(logprob=logprob.detach(), old=old, gaps=torch.tensor(gaps), greedy=torch.tensor(ids[PROMPT:]).float())
    return {key: value.contiguous() for key, value in out.items()}


def check(directory: pathlib.Path):
    found = {}
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        model = AutoModelForCausalLM.from_pretrained(folder)
        with torch.no_grad():
            found[folder.name] = logprobs(model, tokens(0, LENGTH, model.config.vocab_size)).tolist()
    print(json.dumps(found))


dict(make=make, check=check)[sys.argv[1]](pathlib.Path(sys.argv[2]))
