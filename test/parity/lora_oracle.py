"""Random models of each family, and models named, with a random PEFT adapter, and what PEFT makes of them in f32, for compare-lora.ts.

  python lora_oracle.py make DIR [MODEL_DIR…]   writes DIR/<name>/model, DIR/<name>/adapter (a PEFT folder), DIR/<name>.safetensors
  python lora_oracle.py check DIR               prints, as JSON by name, log-probabilities of DIR/<name>/ours over DIR/<name>/model
Needs torch, transformers, safetensors and peft.
"""
import json
import pathlib
import sys

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from families import configs, logprobs, place, ppo_loss, text_tokens, tokens

torch.set_num_threads(1)

LENGTH = 256
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS = [dict(r=8, lora_alpha=16, target_modules=ALL), dict(r=4, lora_alpha=4, target_modules=["q_proj", "v_proj"]),
            dict(r=16, lora_alpha=8, target_modules=["k_proj", "o_proj", "up_proj", "down_proj"])]
# epsilon this large keeps the step a smooth function of the gradient: with a small one, every number moves by the
# learning rate and the sign of a gradient that is all but 0 decides the direction
STEP = dict(lr=0.01, betas=(0.9, 0.95), eps=0.1, weight_decay=0.01)


def make(directory: pathlib.Path, *models: str):
    for number, (name, raw) in enumerate(configs()):
        torch.manual_seed(number)
        folder = directory / name
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(raw))))
        with torch.no_grad():
            for key, value in model.named_parameters():
                value.normal_(1.0 if "norm" in key else 0.0, 0.15)
        model.save_pretrained(folder / "model")
        (folder / "model" / "config.json").write_text(json.dumps(raw))
        ask(directory, name, ADAPTERS[number % 3], tokens(0, LENGTH, 199))
    for model in map(pathlib.Path, models):
        torch.manual_seed(0)
        place(directory / model.resolve().name / "model", model)
        ask(directory, model.resolve().name, ADAPTERS[0], text_tokens(model, 0, LENGTH))


def ask(directory: pathlib.Path, name: str, adapter: dict, ids):
    model = AutoModelForCausalLM.from_pretrained(directory / name / "model", dtype=torch.float32)
    peft = get_peft_model(model, LoraConfig(**adapter, lora_dropout=0.0, task_type="CAUSAL_LM"))
    with torch.no_grad():
        for key, value in peft.named_parameters():
            if "lora_B" in key:
                value.normal_(0.0, 0.05)
    peft.save_pretrained(directory / name / "adapter")
    save_file(results(peft, ids), directory / f"{name}.safetensors")
    print(name, file=sys.stderr)


def results(peft, ids):
    logprob = logprobs(peft, ids)
    loss, old = ppo_loss(logprob, 0)
    loss.backward()
    learnt = {key.replace(".default", ""): value for key, value in peft.named_parameters() if value.requires_grad}
    out = {f"gradient.{key}": value.grad.clone() for key, value in learnt.items()}
    with peft.disable_adapter(), torch.no_grad():
        out["base"] = logprobs(peft, ids)
        before = {key: value.clone() for key, value in matrices(peft).items()}
    torch.optim.AdamW(learnt.values(), **STEP).step()
    with torch.no_grad():
        out["stepped"] = logprobs(peft, ids)
        merged = dict(peft.merge_and_unload().named_parameters())
    out |= {f"change.{key}": merged[key] - value for key, value in before.items()}
    out |= dict(logprob=logprob.detach(), old=old, ids=torch.tensor(ids).float())
    return {key: value.detach().float().contiguous() for key, value in out.items()}


def matrices(peft):
    """Every adapted matrix, as the model without PEFT calls it."""
    return {key.removeprefix("base_model.model.").replace(".base_layer", ""): value
            for key, value in peft.named_parameters() if ".base_layer.weight" in key}


def check(directory: pathlib.Path):
    found = {}
    for folder in sorted(path for path in directory.iterdir() if (path / "ours").is_dir()):
        model = AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
        with safe_open(directory / f"{folder.name}.safetensors", "pt") as asked, torch.no_grad():
            peft = PeftModel.from_pretrained(model, folder / "ours")
            found[folder.name] = logprobs(peft, asked.get_tensor("ids").long().tolist()).tolist()
    print(json.dumps(found))


dict(make=make, check=check)[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])
