#!/usr/bin/env python3
"""Trains the GPT and the LSTM of examples/gpt.c on a text, in swale and in PyTorch, and compares their val_loss.

Both sides have the same network, initial distributions, data, rule, schedule and clipping; the random numbers differ.
The means over the seeds must differ by at most --most. Prints "name value" lines; see tests/README.md.

The setting is nanoGPT's for a processor, which is the default of examples/gpt.c: characters, the last tenth of the text
for validation; 4 layers, 4 heads, width 128, windows of 64, batches of 12 windows drawn without replacement; 2000 steps
of AdamW with betas 0.9 and 0.99 and a weight decay of 0.1 for matrices; a learning rate that rises to 1e-3 in the first
twentieth of the steps and falls to 1e-4 by half a cosine wave; gradients clipped to norm 1; no dropout. Layers have
biases. val_loss is the mean over all windows of the last tenth, which do not overlap.
"""
import argparse
import gzip
import math
import os
import statistics
import subprocess
import sys

import torch
from torch import nn
from torch.nn import functional

sys.path.append(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "bench", "peers"))
from gpt_torch import Gpt, Task

BLOCK, BATCH, WIDTH, LAYERS = 64, 12, 128, 4


def read_text(path):
    with (gzip.open if path.endswith(".gz") else open)(path, "rb") as file:
        return file.read().decode()


def initialize_gpt(net):
    """GPT-2's: gpt_torch.py draws all weights with 0.02; those before a residual connection are smaller."""
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif name.endswith(("c_proj.weight", "out.weight")):
            nn.init.normal_(parameter, 0, 0.02 / math.sqrt(2 * LAYERS))
    return net


class Lstm(nn.Module):
    """The initial values are PyTorch's, which swale's layers have too, except for the head."""

    def __init__(self, vocabulary):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH)
        self.lstm = nn.LSTM(WIDTH, WIDTH, num_layers=2, batch_first=True)
        self.head = nn.Linear(WIDTH, vocabulary)
        nn.init.kaiming_uniform_(self.head.weight, nonlinearity="relu")
        nn.init.zeros_(self.head.bias)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0])


def network(kind, vocabulary):
    return initialize_gpt(Gpt(Task(vocabulary, BLOCK, LAYERS, BATCH, BLOCK, False))) if kind == "gpt" else Lstm(vocabulary)


def factor(step, steps):
    """Of the learning rate: the schedule "cosine warmup=5% final=0.1"."""
    warmup = round(0.05 * steps)
    if step < warmup:
        return (step + 1) / warmup
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (step - warmup) / (steps - warmup)))


def loss_of(net, ids, starts, reduction="mean"):
    windows = torch.stack([ids[start:start + BLOCK + 1] for start in starts])
    return functional.cross_entropy(net(windows[:, :-1]).flatten(0, 1), windows[:, 1:].flatten(), reduction=reduction)


@torch.inference_mode()
def validate(net, ids):
    starts = range(0, len(ids) - BLOCK, BLOCK)
    parts = [starts[i:i + 100] for i in range(0, len(starts), 100)]
    return sum(loss_of(net, ids, part, "sum").item() for part in parts) / (len(starts) * BLOCK)


def torch_loss(kind, text, seed, steps):
    torch.manual_seed(seed)
    characters = {c: i for i, c in enumerate(sorted(set(text)))}
    ids = torch.tensor([characters[c] for c in text])
    first = len(ids) - len(ids) // 10
    train, rest = ids[:first], ids[first:]
    net = network(kind, len(characters))
    groups = [{"params": [p for p in net.parameters() if (p.dim() == 2) == matrices], "weight_decay": decay}
              for matrices, decay in ((True, 0.1), (False, 0))]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    order = torch.randperm(len(train) - BLOCK)[:steps * BATCH].view(steps, BATCH).tolist()
    for step, starts in enumerate(order):
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * factor(step, steps)
        optimizer.zero_grad()
        loss_of(net, train, starts).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1)
        optimizer.step()
    return validate(net.eval(), rest)


def swale_loss(kind, path, seed, steps):
    command = [os.path.join(os.environ.get("SWALE_BUILD", "build"), "examples", "gpt"), "--text", path, "--model", kind,
               "--steps", str(steps), "--seed", str(seed), "--sample", "0", "--quiet"]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("val_loss "))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--text", required=True, help="a text, plain or gzip")
    parser.add_argument("--seeds", type=int, default=3, help="the seeds 1 to N")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--models", nargs="+", default=["gpt", "lstm"], choices=["gpt", "lstm"])
    parser.add_argument("--most", type=float, default=0.03, help="the largest difference of the means")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of PyTorch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    text, good = read_text(options.text), True
    for kind in options.models:
        losses = {"swale": [], "torch": []}
        for seed in range(1, options.seeds + 1):
            losses["swale"].append(swale_loss(kind, options.text, seed, options.steps))
            losses["torch"].append(torch_loss(kind, text, seed, options.steps))
            for name, values in losses.items():
                print(f"{kind}_{name}_seed_{seed} {values[-1]:.4f}", flush=True)
        means = {name: statistics.mean(values) for name, values in losses.items()}
        difference = means["swale"] - means["torch"]
        good = good and abs(difference) <= options.most
        print(f"{kind}_swale_mean {means['swale']:.4f}\n{kind}_torch_mean {means['torch']:.4f}\n"
              f"{kind}_difference {difference:.4f} {'ok' if abs(difference) <= options.most else 'short'}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
