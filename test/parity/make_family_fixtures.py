#!/usr/bin/env python3
"""Writes fixtures/<name>.safetensors: gradients and log-probabilities of tiny models of each family in float64, of all
weights or, where the name ends in -lora, of a PEFT adapter's.

  python make_family_fixtures.py [NAME…]     all, or those named
Needs: pip install torch transformers safetensors peft. Run from anywhere; nobody who uses the project needs it.
Weights come from a formula that the TypeScript test repeats, so that only results are stored.
"""
import json
import math
import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

from families import logprobs, ppo_loss, tokens

HERE = pathlib.Path(__file__).parent
LLAMA3 = dict(rope_type="llama3", factor=4.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=16)


def llama(kv_heads: int, tied: bool, **extra):
    return dict(model_type="llama", architectures=["LlamaForCausalLM"], num_attention_heads=4,
                num_key_value_heads=kv_heads, tie_word_embeddings=tied, **extra)


def qwen(version: int, kv_heads: int, tied: bool, **extra):
    return dict(llama(kv_heads, tied, **extra), model_type=f"qwen{version}",
                architectures=[f"Qwen{version}ForCausalLM"])


CONFIGS = {
    "llama-mha-tied": llama(4, True),
    "llama-mha-untied": llama(4, False),
    "llama-gqa-tied": llama(2, True),
    "llama-gqa-untied": llama(1, False),
    "llama-llama3-scaling": llama(2, True, rope_scaling=LLAMA3),
    "qwen2-gqa-tied": qwen(2, 2, True),
    "qwen2-mha-untied-linear-scaling": qwen(2, 4, False, rope_scaling=dict(rope_type="linear", factor=2.0)),
    "qwen3-gqa-tied": qwen(3, 2, True, head_dim=16),
    "qwen3-mha-untied-llama3-scaling": qwen(3, 4, False, head_dim=8, rope_scaling=LLAMA3),
}
LORA = {
    "llama-gqa-untied-lora": dict(rank=3, alpha=6.0, targets=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj",
                                                              "up_proj", "down_proj"]),
    "qwen2-gqa-tied-lora": dict(rank=4, alpha=2.0, targets=["q_proj", "v_proj"]),
    "qwen3-gqa-tied-lora": dict(rank=2, alpha=16.0, targets=["k_proj", "o_proj", "up_proj"]),
}
LENGTHS = [13, 9, 17]


def formula(name: str, shape) -> torch.Tensor:
    """Smooth, different for every tensor, exact in both languages up to the last bit of float64."""
    seed = sum((i + 1) * ord(c) for i, c in enumerate(name)) % 1009
    count = math.prod(shape)
    values = [math.sin(0.37 * i + 1.3 * seed + 0.011 * (i % 97) * (i % 89)) for i in range(count)]
    scale, shift = (0.1, 1.0) if "norm" in name else (0.25, 0.0)
    # weights are f32 in the engine: round here as well, so that both sides see the same numbers
    return (torch.tensor(values, dtype=torch.float64) * scale + shift).float().double().reshape(shape)


def fill(parameters):
    with torch.no_grad():
        for key, value in parameters.items():
            value.copy_(formula(key, tuple(value.shape)))


def adapted(model, rank: int, alpha: float, targets):
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, lora_dropout=0.0, task_type="CAUSAL_LM")
    return get_peft_model(model, config).double()


def main():
    (HERE / "fixtures").mkdir(exist_ok=True)
    for name in sys.argv[1:] or [*CONFIGS, *LORA]:
        raw = dict(vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, rms_norm_eps=1e-5,
                   rope_theta=10000.0, max_position_embeddings=64, hidden_act="silu", bos_token_id=0, eos_token_id=0,
                   **CONFIGS[name.removesuffix("-lora")])
        # copied, because transformers changes what it is given
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**json.loads(json.dumps(raw)))).double()
        metadata = {"config": json.dumps(raw)}
        fill(dict(model.named_parameters()))
        if name in LORA:
            metadata["lora"] = json.dumps(LORA[name])
            model = adapted(model, **LORA[name])
        parameters = {key.replace(".default", ""): value for key, value in model.named_parameters() if value.requires_grad}
        if name in LORA:
            fill(parameters)
        total = torch.zeros((), dtype=torch.float64)
        out = {}
        for s, length in enumerate(LENGTHS):
            logprob = logprobs(model, tokens(s, length, raw["vocab_size"]))
            out[f"logprob.{s}"] = logprob.detach().float()
            loss, out[f"old.{s}"] = ppo_loss(logprob, s)
            total = total + loss
        total.backward()
        for key, value in parameters.items():
            out[f"gradient.{key}"] = value.grad.float()
        out["loss"] = total.detach().float().reshape(1)
        save_file({k: v.contiguous() for k, v in out.items()}, HERE / f"fixtures/{name}.safetensors",
                  metadata=metadata)
        print(name, float(total.detach()))


main()
