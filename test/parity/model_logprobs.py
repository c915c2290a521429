"""Log-probabilities of a Hugging Face folder in PyTorch, for compare-logprobs.ts.

stdin: JSON {"directory": ..., "ids": [...]}; stdout: JSON list, the natural-log probability of ids[1:] in float64.
Needs torch and transformers.
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM

request = json.load(sys.stdin)
model = AutoModelForCausalLM.from_pretrained(request["directory"], dtype=torch.float64)
ids = torch.tensor([request["ids"]])
with torch.no_grad():
    scores = torch.log_softmax(model(ids).logits[0, :-1], dim=-1)
print(json.dumps(scores.gather(1, ids[0, 1:, None])[:, 0].tolist()))
