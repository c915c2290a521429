"""What the scripts about model families share: small configs of each, models that are folders, and token ids, log-probabilities and a PPO loss that are formulas."""
import itertools
import math
import pathlib

import torch
from transformers import AutoTokenizer

CLIP_LOW, CLIP_HIGH = 0.2, 0.3
ROPES = {
    "plain": {},
    "linear": dict(rope_type="linear", factor=2.0),
    "llama3": dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=128),
}


def configs():
    shapes = itertools.product(["llama", "qwen2", "qwen3"], [4, 2], [True, False])
    for i, (family, kv_heads, tied) in enumerate(shapes):
        rope = list(ROPES)[i % len(ROPES)]
        raw = dict(model_type=family, architectures=[f"{family.capitalize()}ForCausalLM"], vocab_size=199,
                   hidden_size=64, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4,
                   num_key_value_heads=kv_heads, max_position_embeddings=512, rms_norm_eps=1e-6,
                   tie_word_embeddings=tied, bos_token_id=None, eos_token_id=None,
                   **(dict(head_dim=32) if family == "qwen3" else {}))
        spelling = 4 + i % 2
        if spelling == 4:
            raw |= dict(torch_dtype="float32", rope_theta=50000.0, rope_scaling=ROPES[rope] or None)
        else:
            raw |= dict(dtype="float32", rope_parameters=dict(dict(rope_type="default"), **ROPES[rope], rope_theta=50000.0))
        yield f"{family}-{'mha' if kv_heads == 4 else 'gqa'}-{'tied' if tied else 'untied'}-{rope}-v{spelling}", raw


def place(directory: pathlib.Path, model: pathlib.Path):
    """A model that is there already, at `directory` as if it had been made there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.symlink_to(model.resolve(), target_is_directory=True)


def text_tokens(model: pathlib.Path, sequence: int, length: int):
    """Ids of a text of this project: what a model that was trained expects better than a formula."""
    readme = pathlib.Path(__file__).parents[2] / "README.md"
    ids = AutoTokenizer.from_pretrained(model)(readme.read_text(), add_special_tokens=False)["input_ids"]
    return ids[sequence * length:][:length]


def tokens(sequence: int, length: int, vocab: int):
    return [(7 * i * i + 13 * i + 29 * sequence + 3) % vocab for i in range(length)]


def logprobs(model, ids):
    """[T - 1]: of every next token. In f64 from the model's logits, for over 49,152 words torch.log_softmax loses up to
    2e-5 of the sum in f32, which moves gradients of SmolLM2 by 3e-4 from those of the whole model in f64."""
    logits = model(torch.tensor([ids])).logits[0].double()
    return torch.log_softmax(logits[:-1], -1)[torch.arange(len(ids) - 1), torch.tensor(ids[1:])]


def ppo_loss(logprob: torch.Tensor, sequence: int):
    """The summed loss of one sequence and what it was compared with, [T], 0 where the token is not the policy's."""
    length = len(logprob) + 1
    loss = torch.zeros((), dtype=logprob.dtype)
    old = torch.zeros(length)
    for t in range(1, length):
        if (t + sequence) % 3 == 0:
            continue  # not the policy's token
        # what the engine gets in f32 is rounded here as well, so that both sides see the same numbers
        old[t] = float(logprob[t - 1].detach()) + 0.35 * math.cos(2.1 * t + sequence)
        ratio = torch.exp(logprob[t - 1] - float(old[t]))
        clipped = torch.clamp(ratio, 1 - CLIP_LOW, 1 + CLIP_HIGH)
        weight = float(torch.tensor(0.05 + 0.01 * t).float())
        advantage = float(torch.tensor(math.sin(1.7 * t + sequence)).float())
        loss = loss - weight * torch.minimum(ratio * advantage, clipped * advantage)
    return loss, old
