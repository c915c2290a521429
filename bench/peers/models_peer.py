"""A step of training a real model in PyTorch, twice: as one would write it first, and tuned.

"plain" is transformers as it comes: `generate` for every turn, which computes the tape anew, and logits of every
position in learning. "tuned" is the program of torch_peer.py with the model's weights: a KV cache that is kept between
turns, prompts prefilled once for siblings, finished rows taken out, and only scored rows of the head in learning.
Both write the tokens they are given. Tasks and answers are JSON lines, as in torch_peer.py.
"""

import json
import os
import resource

import torch_peer  # sets threads, and hides any GPU
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LogitsProcessor, LogitsProcessorList
from transformers.utils import logging

logging.set_verbosity_error()


class Tuned:
    """torch_peer's model with a checkpoint's weights."""

    def __init__(self, directory, c, context):
        files = [name for name in sorted(os.listdir(directory)) if name.endswith(".safetensors")]
        weights = {}
        for name in files:
            weights.update(load_file(os.path.join(directory, name)))
        take = lambda *names: torch.nn.Parameter(torch.cat([weights[f"{name}.weight"].float() for name in names]))
        if "lm_head.weight" in weights and not torch.equal(weights["lm_head.weight"], weights["model.embed_tokens.weight"]):
            raise SystemExit("the tuned program knows tied heads only")
        model = torch_peer.Model(c, context)
        model.embedding = take("model.embed_tokens")
        model.norm = take("model.norm")
        for i, layer in enumerate(model.layers):
            at = f"model.layers.{i}"
            layer.norm1, layer.norm2 = take(f"{at}.input_layernorm"), take(f"{at}.post_attention_layernorm")
            layer.qkv = take(*[f"{at}.self_attn.{part}_proj" for part in "qkv"])
            layer.o = take(f"{at}.self_attn.o_proj")
            layer.gate_up = take(f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj")
            layer.down = take(f"{at}.mlp.down_proj")
        self.model = model
        self.optimizer = optimizer_of(model)

    def sample(self, attempts):
        return torch_peer.sample(self.model, attempts)

    def learn(self, updates):
        tokens = torch_peer.best_micro_batch(self.model, self.optimizer, updates)
        return lambda: torch_peer.learn(self.model, self.optimizer, updates, tokens)


class Force(LogitsProcessor):
    """Lets a row write what it is given, then end."""

    def __init__(self, rows, width, end):
        self.rows, self.width, self.end = rows, width, end

    def __call__(self, ids, scores):
        step = ids.shape[1] - self.width
        wanted = torch.tensor([row[step] if step < len(row) else self.end for row in self.rows])[:, None]
        return torch.full_like(scores, float("-inf")).scatter_(1, wanted, 0.0)


class Plain:
    batch = 4

    def __init__(self, directory, _c, _context):
        self.model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
        self.optimizer = optimizer_of(self.model)

    @torch.inference_mode()
    def sample(self, attempts):
        """Without log-probabilities: those of learning are compared."""
        scripts = [torch_peer.turns_of(attempt) for attempt in attempts]
        used = {token for attempt in attempts for token in attempt["tokens"]}
        end = next(token for token in range(self.model.config.vocab_size) if token not in used)
        contexts = [[] for _ in attempts]
        for turn in range(max(len(script) for script in scripts)):
            live = [i for i, script in enumerate(scripts) if turn < len(script)]
            for i in live:
                contexts[i] = contexts[i] + scripts[i][turn][0]
            width = max(len(contexts[i]) for i in live)
            pad = lambda values, fill: torch.tensor([[fill] * (width - len(one)) + one for one in values])
            written = [scripts[i][turn][1] for i in live]
            output = self.model.generate(
                pad([contexts[i] for i in live], end),
                attention_mask=pad([[1] * len(contexts[i]) for i in live], 0),
                max_new_tokens=max(len(tokens) for tokens in written),
                do_sample=True,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                eos_token_id=end,
                pad_token_id=end,
                logits_processor=LogitsProcessorList([Force(written, width, end)]),
            )
            for i, tokens, row in zip(live, written, output[:, width:].tolist()):
                assert row[: len(tokens)] == tokens
                contexts[i] = contexts[i] + tokens

    def learn(self, updates):
        def work():
            learnt = []
            for update in updates:
                total = 0.0
                for at in range(0, len(update), self.batch):
                    part = update[at : at + self.batch]
                    ids, lengths = torch_peer.padded([one["tokens"] for one in part])
                    width = ids.shape[1]
                    column = lambda name: torch.tensor([one[name] + [0.0] * (width - len(one[name])) for one in part])[:, 1:]
                    mask = (torch.arange(width)[None, :] < lengths[:, None]).long()
                    logits = self.model(ids, attention_mask=mask).logits[:, :-1]
                    new = torch.log_softmax(logits, -1).gather(2, ids[:, 1:, None])[..., 0]
                    ratio = (new - column("oldLogprobs")).clamp(-20, 20).exp()
                    gain = column("advantages")
                    bounded = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
                    loss = -(bounded * column("weights")).sum()
                    loss.backward()
                    total += loss.item()
                norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                self.optimizer.step()
                self.optimizer.zero_grad(set_to_none=False)
                learnt.append({"loss": total, "gradNorm": norm.item()})
            return learnt

        return work


def optimizer_of(model):
    """A learning rate of 0 does all of the work and leaves every round the same weights."""
    return torch.optim.AdamW(model.parameters(), lr=0.0, betas=(0.9, 0.95), weight_decay=0.0, fused=True)


programs = {"plain": Plain, "tuned": Tuned}
opened = {}


def open_program(name, work):
    """One at a time, so that the other does not count in the memory of this."""
    if name not in opened:
        opened.clear()
        opened[name] = programs[name](work["model"], work["config"], work["context"])
    return opened[name]


def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def run_step(task):
    with open(task["file"]) as file:
        work = json.load(file)
    program = open_program(task["program"], work)
    kept = {}
    learning = program.learn(work["updates"])
    return {
        "sample": torch_peer.timed(lambda: kept.update(logprobs=program.sample(work["attempts"]))),
        "learn": torch_peer.timed(lambda: kept.update(learnt=learning())),
        "peakBytes": peak_bytes(),
        **kept,
    }


def run_decode(task):
    with open(task["file"]) as file:
        work = json.load(file)
    program = open_program(task["program"], work)
    return torch_peer.timed(lambda: program.sample(work["attempts"]))


def run_train(task):
    with open(task["file"]) as file:
        work = json.load(file)
    return torch_peer.timed(open_program(task["program"], work).learn(work["updates"]))


def run_llama(task):
    """Tokens per second of llama.cpp, one sequence."""
    from llama_cpp import Llama

    model = Llama(task["gguf"], n_ctx=task["prompt"] + task["sampled"] + 8, n_threads=torch.get_num_threads(), verbose=False)
    prompt = [1 + i % 1000 for i in range(task["prompt"])]
    rounds = []
    for _ in range(task["rounds"] + 1):
        model.reset()
        model.eval(prompt)

        def decode():
            for _ in range(task["sampled"]):
                model.eval([model.sample()])

        rounds.append(torch_peer.timed(decode)["seconds"])
    rounds = sorted(rounds[1:])
    return {"tokensPerSecond": task["sampled"] / rounds[len(rounds) // 2]}


if __name__ == "__main__":
    about = torch_peer.tasks["about"]
    torch_peer.serve({"about": about, "step": run_step, "decode": run_decode, "train": run_train, "llama": run_llama})
