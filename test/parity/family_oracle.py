"""Random models of each family, and models named, and what transformers makes of them in f32, for compare-families.ts.

  python family_oracle.py make DIR [MODEL_DIR…]   writes DIR/<name>/ (a model folder) and DIR/<name>.safetensors (the results)
  python family_oracle.py check DIR SAVED         prints, as JSON by name, log-probabilities of the folders in SAVED
Needs torch, transformers and safetensors.
"""
import json
import pathlib
import sys

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from families import configs, logprobs, place, ppo_loss, text_tokens, tokens

torch.set_num_threads(1)  # tiny models: more threads only wait for each other

LENGTH, PROMPT, GENERATED = 256, 24, 64


def make(directory: pathlib.Path, *models: str):
    for number, (name, raw) in enumerate(configs()):
        torch.manual_seed(number)
        folder = directory / name
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(raw))))
        with torch.no_grad():
            for key, value in model.named_parameters():
                value.normal_(1.0 if "norm" in key else 0.0, 0.15)
        model.save_pretrained(folder)
        (folder / "config.json").write_text(json.dumps(raw))
        ask(directory, name, tokens(0, LENGTH, 199), tokens(1, PROMPT, 199))
    for model in map(pathlib.Path, models):
        place(directory / model.resolve().name, model)
        ask(directory, model.resolve().name, text_tokens(model, 0, LENGTH), text_tokens(model, 1, PROMPT))


def ask(directory: pathlib.Path, name: str, ids, prompt):
    model = AutoModelForCausalLM.from_pretrained(directory / name, dtype=torch.float32)
    model.get_input_embeddings().padding_idx = None  # or its row would get no gradient where it is read
    save_file(results(model, ids, prompt), directory / f"{name}.safetensors")
    print(name, file=sys.stderr)


def results(model, ids, prompt):
    out = dict(ids=torch.tensor(ids).float(), prompt=torch.tensor(prompt).float())
    logprob = logprobs(model, ids)
    loss, old = ppo_loss(logprob, 0)
    loss.backward()
    out |= {f"gradient.{key}": value.grad for key, value in model.named_parameters()}
    with torch.no_grad():
        ids = list(prompt)
        gaps = []
        for _ in range(GENERATED):
            top = model(torch.tensor([ids])).logits[0, -1].topk(2)
            gaps.append(float(top.values[0] - top.values[1]))
            ids.append(int(top.indices[0]))
    out |= dict(logprob=logprob.detach(), old=old, gaps=torch.tensor(gaps), greedy=torch.tensor(ids[len(prompt):]).float())
    return {key: value.float().contiguous() for key, value in out.items()}


def check(directory: pathlib.Path, saved: str):
    found = {}
    for folder in sorted(path for path in pathlib.Path(saved).iterdir() if path.is_dir()):
        model = AutoModelForCausalLM.from_pretrained(folder)
        with safe_open(directory / f"{folder.name}.safetensors", "pt") as asked, torch.no_grad():
            found[folder.name] = logprobs(model, asked.get_tensor("ids").long().tolist()).tolist()
    print(json.dumps(found))


dict(make=make, check=check)[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])
