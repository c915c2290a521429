#!/usr/bin/env python3
"""Writes fixtures/llama-<name>.safetensors: gradients and log-probabilities of tiny Llama models in float64.

Needs: pip install torch transformers safetensors. Run from anywhere; nobody who uses the project needs it.
Weights come from a formula that the TypeScript test repeats, so that only results are stored.
"""
import json
import math
import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

HERE = pathlib.Path(__file__).parent
CONFIGS = {
    "mha-tied": dict(num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=True),
    "mha-untied": dict(num_attention_heads=4, num_key_value_heads=4, tie_word_embeddings=False),
    "gqa-tied": dict(num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
    "gqa-untied": dict(num_attention_heads=4, num_key_value_heads=1, tie_word_embeddings=False),
}
LENGTHS = [13, 9, 17]
CLIP_LOW, CLIP_HIGH = 0.2, 0.3


def formula(name: str, shape) -> torch.Tensor:
    """Smooth, different for every tensor, exact in both languages up to the last bit of float64."""
    seed = sum((i + 1) * ord(c) for i, c in enumerate(name)) % 1009
    count = math.prod(shape)
    values = [math.sin(0.37 * i + 1.3 * seed + 0.011 * (i % 97) * (i % 89)) for i in range(count)]
    scale, shift = (0.1, 1.0) if "norm" in name else (0.25, 0.0)
    # weights are f32 in the engine: round here as well, so that both sides see the same numbers
    return (torch.tensor(values, dtype=torch.float64) * scale + shift).float().double().reshape(shape)


def tokens(sequence: int, length: int, vocab: int):
    return [(7 * i * i + 13 * i + 29 * sequence + 3) % vocab for i in range(length)]


def main():
    (HERE / "fixtures").mkdir(exist_ok=True)
    for name, extra in CONFIGS.items():
        config = LlamaConfig(
            vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, rms_norm_eps=1e-5,
            rope_theta=10000.0, max_position_embeddings=64, attention_bias=False, mlp_bias=False, **extra)
        model = LlamaForCausalLM(config).double()
        parameters = dict(model.named_parameters())
        with torch.no_grad():
            for key, value in parameters.items():
                value.copy_(formula(key, tuple(value.shape)))
        loss = torch.zeros((), dtype=torch.float64)
        out = {}
        for s, length in enumerate(LENGTHS):
            ids = tokens(s, length, config.vocab_size)
            logits = model(torch.tensor([ids])).logits[0]
            logprob = torch.log_softmax(logits[:-1], -1)[torch.arange(length - 1), torch.tensor(ids[1:])]
            out[f"logprob.{s}"] = logprob.detach().float()
            for t in range(1, length):
                if (t + s) % 3 == 0:
                    continue  # not the policy's token
                advantage = math.sin(1.7 * t + s)
                old = float(logprob[t - 1].detach()) + 0.35 * math.cos(2.1 * t + s)
                out.setdefault(f"old.{s}", torch.zeros(length))[t] = old
                old = float(torch.tensor(old).float())
                ratio = torch.exp(logprob[t - 1] - old)
                clipped = torch.clamp(ratio, 1 - CLIP_LOW, 1 + CLIP_HIGH)
                weight = float(torch.tensor(0.05 + 0.01 * t).float())
                advantage = float(torch.tensor(advantage).float())
                loss = loss - weight * torch.minimum(ratio * advantage, clipped * advantage)
        loss.backward()
        for key, value in parameters.items():
            out[f"gradient.{key}"] = value.grad.float()
        out["loss"] = loss.detach().float().reshape(1)
        raw = dict(vocab_size=61, hidden_size=32, intermediate_size=40, num_hidden_layers=2, rms_norm_eps=1e-5,
                   rope_theta=10000.0, max_position_embeddings=64, model_type="llama",
                   architectures=["LlamaForCausalLM"], hidden_act="silu", bos_token_id=0, eos_token_id=0, **extra)
        save_file({k: v.contiguous() for k, v in out.items()}, HERE / f"fixtures/llama-{name}.safetensors",
                  metadata={"config": json.dumps(raw)})
        print(name, float(loss))


main()
