"""The same work in PyTorch: a Llama that samples with a KV cache, appends documents and learns by PPO.

Reads one JSON task per line on stdin and answers each with one JSON line on stdout. Sampling draws its tokens and then
writes the ones it was given, so that lengths and turns are those of the run it is compared with.
"""

import ctypes
import gc
import json
import os
import sys
import time

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import torch
import torch.nn.functional as F

torch.set_num_threads(int(os.environ.get("PEER_THREADS", "2")))
torch.manual_seed(0)


class Model(torch.nn.Module):
    def __init__(self, c, context):
        super().__init__()
        self.c = c
        matrix = lambda rows, columns: torch.nn.Parameter(torch.randn(rows, columns) * 0.02)
        gain = lambda: torch.nn.Parameter(torch.ones(c["width"]))
        self.embedding = matrix(c["vocabSize"], c["width"])
        packed = (c["heads"] + 2 * c["kvHeads"]) * c["headDim"]
        self.layers = torch.nn.ModuleList()
        for _ in range(c["layers"]):
            layer = torch.nn.Module()
            layer.norm1, layer.norm2 = gain(), gain()
            layer.qkv = matrix(packed, c["width"])
            layer.o = matrix(c["width"], c["heads"] * c["headDim"])
            layer.gate_up = matrix(2 * c["ffnWidth"], c["width"])
            layer.down = matrix(c["width"], c["ffnWidth"])
            self.layers.append(layer)
        self.norm = gain()
        half = c["headDim"] // 2
        angles = torch.arange(context)[:, None] * (c["ropeTheta"] ** (-torch.arange(half) / half))[None, :]
        self.cos = torch.cat([angles.cos(), angles.cos()], 1)  # [context, headDim]
        self.sin = torch.cat([-angles.sin(), angles.sin()], 1)

    def rotate(self, x, positions):
        """x [B, H, S, D], positions [B or 1, S]."""
        half = x.shape[-1] // 2
        turned = torch.cat([x[..., half:], x[..., :half]], -1)
        return x * self.cos[positions][:, None] + turned * self.sin[positions][:, None]

    def hidden(self, ids, positions, attend):
        """attend(layer, q, k, v) -> [B, H, S, D]"""
        c = self.c
        batch, length = ids.shape
        x = F.embedding(ids, self.embedding)
        for i, layer in enumerate(self.layers):
            qkv = F.linear(F.rms_norm(x, (c["width"],), layer.norm1, c["rmsEpsilon"]), layer.qkv)
            qkv = qkv.view(batch, length, c["heads"] + 2 * c["kvHeads"], c["headDim"]).transpose(1, 2)
            q, k, v = qkv.split([c["heads"], c["kvHeads"], c["kvHeads"]], 1)
            y = attend(i, self.rotate(q, positions), self.rotate(k, positions), v)
            x = x + F.linear(y.transpose(1, 2).reshape(batch, length, -1), layer.o)
            gate, up = F.linear(F.rms_norm(x, (c["width"],), layer.norm2, c["rmsEpsilon"]), layer.gate_up).chunk(2, -1)
            x = x + F.linear(F.silu(gate) * up, layer.down)
        return F.rms_norm(x, (c["width"],), self.norm, c["rmsEpsilon"])


class Rows:
    """Sequences with their cache [B, KV, maximum, D] per layer and how much of it is filled."""

    def __init__(self, model, count, maximum):
        c = model.c
        empty = lambda: torch.zeros(count, c["kvHeads"], maximum, c["headDim"])
        self.model = model
        self.keys = [empty() for _ in range(c["layers"])]
        self.values = [empty() for _ in range(c["layers"])]
        self.lengths = torch.zeros(count, dtype=torch.long)

    def take(self, index):
        taken = object.__new__(Rows)
        taken.model = self.model
        taken.keys = [k[index] for k in self.keys]
        taken.values = [v[index] for v in self.values]
        taken.lengths = self.lengths[index]
        return taken

    def put(self, index, other, which, upto):
        """Rows `which` of `other` over rows `index` of this, as far as they are filled."""
        for mine, theirs in zip(self.keys + self.values, other.keys + other.values):
            mine[index, :, :upto] = theirs[which, :, :upto]
        self.lengths[index] = other.lengths[which]

    def feed(self, ids, counts):
        """Feeds ids [B, S], of which counts [B] are real; returns the hidden state of each row's last."""
        batch, width = ids.shape
        positions = self.lengths[:, None] + torch.arange(width)[None, :]
        longest = int(self.lengths.max()) + width
        visible = torch.arange(longest)[None, None, :] <= positions[:, :, None]  # [B, S, keys]
        at = positions[:, None, :, None]
        grouped = self.model.c["heads"] != self.model.c["kvHeads"]

        def attend(i, q, k, v):
            spread = at.expand(-1, k.shape[1], -1, k.shape[3])
            self.keys[i].scatter_(2, spread, k)
            self.values[i].scatter_(2, spread, v)
            keys, values = self.keys[i][:, :, :longest], self.values[i][:, :, :longest]
            return F.scaled_dot_product_attention(q, keys, values, visible[:, None], enable_gqa=grouped)

        x = self.model.hidden(ids, positions, attend)
        self.lengths = self.lengths + counts
        return x[torch.arange(batch), counts - 1]


def draw(model, hidden, forced):
    """Samples, as a sampler must, then takes the token it was given. Returns log-probabilities of the given tokens."""
    logprobs = torch.log_softmax(F.linear(hidden, model.embedding), -1)
    torch.multinomial(logprobs.exp(), 1)
    return logprobs.gather(1, forced[:, None])[:, 0]


def padded(lists):
    width = max(len(one) for one in lists)
    return torch.tensor([one + [0] * (width - len(one)) for one in lists]), torch.tensor([len(one) for one in lists])


def turns_of(attempt):
    """[(fed before, sampled)] of each turn: prompt or documents, then what the policy wrote."""
    turns, at, before = [], 0, []
    for author, length in attempt["runs"]:
        tokens = attempt["tokens"][at : at + length]
        at += length
        if author == "policy":
            turns.append((before, tokens))
            before = []
        else:
            before = before + tokens
    return turns


@torch.inference_mode()
def sample(model, attempts):
    """All attempts, turn by turn; a turn's finished rows are taken out of the batch. Returns the log-probabilities."""
    scripts = [turns_of(attempt) for attempt in attempts]
    maximum = max(len(attempt["tokens"]) for attempt in attempts) + 1
    every = Rows(model, len(attempts), maximum + 160)
    groups = sorted({attempt["group"] for attempt in attempts})
    first = {g: next(i for i, a in enumerate(attempts) if a["group"] == g) for g in groups}
    ids, counts = padded([scripts[first[g]][0][0] for g in groups])
    prompts = Rows(model, len(groups), maximum + 160)
    hidden = prompts.feed(ids, counts)
    which = torch.tensor([groups.index(attempt["group"]) for attempt in attempts])
    every.put(torch.arange(len(attempts)), prompts, which, ids.shape[1])  # siblings share the prompt
    hidden = hidden[which]
    logprobs = [[] for _ in attempts]
    for turn in range(max(len(script) for script in scripts)):
        live = [i for i, script in enumerate(scripts) if turn < len(script)]
        rows = every.take(torch.tensor(live))
        if turn == 0:
            hidden = hidden[torch.tensor(live)]
        else:
            ids, counts = padded([scripts[i][turn][0] for i in live])
            hidden = rows.feed(ids, counts)
        step = 0
        while live:
            written = [scripts[i][turn][1] for i in live]
            running = [row for row, tokens in enumerate(written) if step < len(tokens)]
            if len(running) <= 0.75 * len(live):
                done = [row for row in range(len(live)) if row not in set(running)]
                lengths = [every_length(scripts, live[row], turn) for row in done]
                index = torch.tensor([live[row] for row in done])
                every.put(index, rows, torch.tensor(done), max(lengths))
                every.lengths[index] = torch.tensor(lengths)
                if not running:
                    break
                keep = torch.tensor(running)
                rows, hidden = rows.take(keep), hidden[keep]
                live = [live[row] for row in running]
                written = [scripts[i][turn][1] for i in live]
            forced = torch.tensor([tokens[step] if step < len(tokens) else 0 for tokens in written])
            for i, tokens, value in zip(live, written, draw(model, hidden, forced).tolist()):
                if step < len(tokens):
                    logprobs[i].append(value)
            hidden = rows.feed(forced[:, None], torch.ones(len(live), dtype=torch.long))
            step += 1
    return logprobs


def every_length(scripts, attempt, turn):
    return sum(len(before) + len(tokens) for before, tokens in scripts[attempt][: turn + 1])


def micro_batches(sequences, tokens):
    batches = []
    for sequence in sorted(sequences, key=lambda one: -len(one["tokens"])):
        if batches and len(batches[-1][0]["tokens"]) * (len(batches[-1]) + 1) <= tokens:
            batches[-1].append(sequence)
        else:
            batches.append([sequence])
    return batches


def learn(model, optimizer, updates, tokens):
    """One optimiser step per update; each is a list of sequences with weights, advantages and old log-probabilities.
    Returns each update's loss and gradient norm."""
    learnt = []
    grouped = model.c["heads"] != model.c["kvHeads"]
    attend = lambda i, q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
    for update in updates:
        total = 0.0
        for batch in micro_batches(update, tokens):
            ids, _ = padded([one["tokens"] for one in batch])
            width = ids.shape[1]
            column = lambda name: torch.tensor([one[name] + [0.0] * (width - len(one[name])) for one in batch])
            weights, advantages, old = column("weights"), column("advantages"), column("oldLogprobs")
            scored = weights[:, 1:] != 0
            hidden = model.hidden(ids[:, :-1], torch.arange(ids.shape[1] - 1)[None, :], attend)[scored]
            logits = F.linear(hidden, model.embedding)
            new = -F.cross_entropy(logits, ids[:, 1:][scored], reduction="none")
            ratio = (new - old[:, 1:][scored]).clamp(-20, 20).exp()
            gain = advantages[:, 1:][scored]
            bounded = torch.minimum(ratio * gain, ratio.clamp(0.8, 1.2) * gain)
            loss = -(bounded * weights[:, 1:][scored]).sum()
            loss.backward()
            total += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)
        learnt.append({"loss": total, "gradNorm": norm.item()})
    return learnt


models = {}


def model_of(c, context):
    key = json.dumps(c, sort_keys=True)
    if key not in models:
        model = Model(c, context)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        models[key] = (model, optimizer)
    return models[key]


def best_micro_batch(model, optimizer, updates):
    """The fastest of three sizes, as someone who cares would choose it; tried once, outside of any measurement."""
    if not hasattr(model, "micro_batch"):
        seconds = {}
        learn(model, optimizer, updates[:1], 512)
        for tokens in (512, 1024, 4096):
            began = time.perf_counter()
            learn(model, optimizer, updates[:1], tokens)
            seconds[tokens] = time.perf_counter() - began
        model.micro_batch = min(seconds, key=seconds.get)
    return model.micro_batch


def timed(work):
    began, cpu = time.perf_counter(), time.process_time()
    work()
    return {"seconds": time.perf_counter() - began, "cpuSeconds": time.process_time() - cpu}


def run_step(task):
    with open(task["file"]) as file:
        step = json.load(file)
    model, optimizer = model_of(step["config"], step["context"])
    tokens = best_micro_batch(model, optimizer, step["updates"]) if step["updates"] else 0
    return {
        "sample": timed(lambda: sample(model, step["attempts"])),
        "learn": timed(lambda: learn(model, optimizer, step["updates"], tokens)),
        "microBatchTokens": tokens,
    }


def run_decode(task):
    model, _ = model_of(task["config"], task["context"])
    attempts = [{"tokens": row, "runs": task["runs"], "group": i} for i, row in enumerate(task["rows"])]
    return timed(lambda: sample(model, attempts))


def run_train(task):
    model, optimizer = model_of(task["config"], task["context"])
    tokens = best_micro_batch(model, optimizer, [task["sequences"]])
    return {**timed(lambda: learn(model, optimizer, [task["sequences"]], tokens)), "microBatchTokens": tokens}


def run_about(_):
    return {
        "torch": torch.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "mkl": torch.backends.mkl.is_available(),
        "threads": torch.get_num_threads(),
    }


tasks = {"about": run_about, "step": run_step, "decode": run_decode, "train": run_train}


def serve(known):
    for line in sys.stdin:
        task = json.loads(line)
        answer = json.dumps(known[task["task"]](task))
        give_memory_back()
        print(answer, flush=True)


def give_memory_back():
    """While this waits, others are measured; what the allocator keeps free is theirs then."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim:
        trim(0)


if __name__ == "__main__":
    serve(tasks)
