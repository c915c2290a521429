"""Advantages and losses of five estimators, restated from their formulas alone, for compare-estimators.ts.

Reads batches and writes results, one JSON document a line. Needs Python 3 and nothing else. Everything here works on
whole token rows with a 0/1 mask; the TypeScript works on the policy's tokens alone. They share no code and no layout.

For each attempt: `mask` marks the policy's tokens, `old` are the sampler's log-probabilities, `ref` the frozen
reference's, `learner` the learner's before its first update, `new` the learner's now. `reward` is null where the
environment failed the attempt.
"""

import json
import math
import sys

ESTIMATORS = ["reinforce++-baseline", "reinforce++", "grpo", "rloo", "dr-grpo"]
KL_MODES = ["off", "k1", "k2", "k3"]
NORMALISERS = ["sequence", "token"]
KL_BOUND = 10.0


def clamp(x, low, high):
    return max(low, min(high, x))


def mean(xs):
    return sum(xs) / len(xs)


def kl(mode, policy, reference):
    gap = policy - reference
    if mode == "k1":
        estimate = gap
    elif mode == "k2":
        estimate = gap**2 / 2
    else:
        estimate = math.exp(-gap) - 1 + gap
    return clamp(estimate, -KL_BOUND, KL_BOUND)


def shaped(estimator, rewards, bound):
    """One group: what each sibling's reward becomes."""
    n = len(rewards)
    if estimator == "reinforce++":
        return [clamp(r, -bound, bound) for r in rewards]
    if n < 2:
        return [0.0] * n
    if estimator == "rloo":
        return [clamp(r - mean(rewards[:i] + rewards[i + 1 :]), -bound, bound) for i, r in enumerate(rewards)]
    m = mean(rewards)
    if estimator == "grpo":
        std = math.sqrt(sum((r - m) ** 2 for r in rewards) / (n - 1))
        return [(r - m) / (std + 1e-9) for r in rewards]
    return [clamp(r - m, -bound, bound) for r in rewards]


def survivors(estimator, group):
    """Indices; none where too few are left to compare."""
    alive = [i for i, attempt in enumerate(group) if attempt["reward"] is not None]
    needed = 1 if estimator == "reinforce++" else math.ceil(3 * len(group) / 4)
    return alive if len(alive) >= needed else []


def returns(attempt, last, beta):
    """Reward to go with discount 1, [T]: a masked token adds nothing and takes nothing away."""
    mask = attempt["mask"]
    rewards = [-beta * kl("k1", o, r) * m if m else 0.0 for o, r, m in zip(attempt["old"], attempt["ref"], mask)]
    ends = [t for t, m in enumerate(mask) if m]
    if ends:
        rewards[ends[-1]] += last
    out, running = [0.0] * len(mask), 0.0
    for t in reversed(range(len(mask))):
        running += rewards[t]
        out[t] = running * mask[t]
    return out


def whiten(rows, how):
    """rows: (attempt, [T]) of the whole batch."""
    values = [v for attempt, row in rows for v, m in zip(row, attempt["mask"]) if m]
    if how == "none" or not values:
        return rows
    centre = mean(values)
    variance = max(mean([(v - centre) ** 2 for v in values]), 1e-8)
    shift = centre if how == "batch" else 0.0
    return [
        (attempt, [(v - shift) / math.sqrt(variance) if m else 0.0 for v, m in zip(row, attempt["mask"])])
        for attempt, row in rows
    ]


def advantages(batch, estimator, beta):
    rows = []
    for group in batch["groups"]:
        alive = survivors(estimator, group)
        for i, value in zip(alive, shaped(estimator, [group[i]["reward"] for i in alive], batch["clip"])):
            rows.append((group[i], returns(group[i], value, beta)))
    default = "none" if estimator in ("grpo", "dr-grpo") else "batch"
    return whiten(rows, batch["whiten"] or default)


def token_loss(batch, attempt, t, advantage, kl_mode):
    before = attempt["old"][t]
    if batch["truncateRatio"] is not None:
        advantage *= min(batch["truncateRatio"], math.exp(attempt["learner"][t] - before))
        before = attempt["learner"][t]
    ratio = math.exp(attempt["new"][t] - before)
    held = clamp(ratio, 1 - batch["clipLow"], 1 + batch["clipHigh"])
    objective = min(ratio * advantage, held * advantage)
    if batch["dualClip"] is not None and advantage < 0:
        objective = max(objective, batch["dualClip"] * advantage)
    loss = -objective
    if kl_mode in ("k2", "k3"):
        loss += batch["coefficient"] * kl(kl_mode, attempt["new"][t], attempt["ref"][t])
    return loss


def batch_loss(batch, rows, kl_mode, normaliser):
    losses = [
        [token_loss(batch, attempt, t, row[t], kl_mode) for t, m in enumerate(attempt["mask"]) if m]
        for attempt, row in rows
    ]
    losses = [one for one in losses if one]
    if not losses:
        return 0.0
    if normaliser == "token":
        return mean([loss for one in losses for loss in one])
    return mean([mean(one) for one in losses])


def results(batch):
    out = {"advantages": {}, "losses": {}}
    for estimator in ESTIMATORS:
        for kl_mode in KL_MODES:
            rows = advantages(batch, estimator, batch["coefficient"] if kl_mode == "k1" else 0.0)
            values = [[v for v, m in zip(row, attempt["mask"]) if m] for attempt, row in rows]
            out["advantages"][f"{estimator} {kl_mode}"] = values
            for normaliser in NORMALISERS:
                name = f"{estimator} {kl_mode} {normaliser}"
                out["losses"][name] = batch_loss(batch, rows, kl_mode, normaliser)
    return out


for line in sys.stdin:
    print(json.dumps(results(json.loads(line))))
