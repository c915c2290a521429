"""What the scripts about model families share: token ids, log-probabilities and a PPO loss that are formulas."""
import math

import torch

CLIP_LOW, CLIP_HIGH = 0.2, 0.3


def tokens(sequence: int, length: int, vocab: int):
    return [(7 * i * i + 13 * i + 29 * sequence + 3) % vocab for i in range(length)]


def logprobs(model, ids):
    """[T - 1]: of every next token."""
    logits = model(torch.tensor([ids])).logits[0]
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
