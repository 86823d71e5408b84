#!/usr/bin/env python3
"""100 steps of an LSTM and of a GRU, two layers and a linear head at every step of the sequence, under torch.optim.Adam
in float64: golden/torch_recurrent.h, which tests/nn/layers/test_torch_recurrent.c follows. Sequences have different
lengths; PyTorch computes them as packed sequences.

The tolerance is derived as in torch_training.py: the factor by which the problem amplifies errors of δ in the gradients
and parameters of each step, times the rounding errors of a step. The longest sums are gradients of weights, over 8 · 6
terms, behind chains of 6 steps of 10 operations in 2 layers; ROUNDINGS allows 1024 for the two sides.

    python3 tests/golden/torch_recurrent.py      (PyTorch 2)
"""
import sys

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_shared import Stream, filled, write

STEPS, DELTA, ROUNDINGS, FLOOR, MOST = 100, 1e-9, 1024, 1e-12, 1e-9
SAMPLES, BATCH, TIME, INPUTS, HIDDEN, CLASSES = 24, 8, 6, 3, 7, 4


class Net(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer, self.head = layer(INPUTS, HIDDEN, 2, batch_first=True), nn.Linear(HIDDEN, CLASSES)

    def forward(self, x, lengths):
        y = self.layer(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[0]
        return self.head(pad_packed_sequence(y, batch_first=True, total_length=TIME)[0])


def data():
    """The class of a step: by the sum of the inputs up to it."""
    x = filled((SAMPLES, TIME, INPUTS), -1, 1, Stream(11))
    total = x.sum(2).cumsum(1)
    ids = (total > -0.5).long() + (total > 0).long() + (total > 0.5).long()
    return x, ids, torch.tensor([1 + 5 * i % TIME for i in range(SAMPLES)])


def noisy(t, stream):
    with torch.no_grad():
        t += DELTA * t.abs().max() * filled(tuple(t.shape), -1, 1, stream)


def train(layer, noise=None):
    net, stream = Net(layer).double(), Stream(13)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(filled(p.shape, -0.6, 0.6, stream))
    x, ids, lengths = data()
    optim, losses = torch.optim.Adam(net.parameters(), lr=0.01), []
    for t in range(STEPS):
        at = t * BATCH % SAMPLES
        part = slice(at, at + BATCH)
        optim.zero_grad()
        loss = F.cross_entropy(net(x[part], lengths[part]).flatten(0, 1), ids[part].flatten())
        loss.backward()
        losses.append(float(loss))
        for p in net.parameters() if noise else []:
            noisy(p.grad, noise)
        optim.step()
        for p in net.parameters() if noise else []:
            noisy(p, noise)
    return losses


def main():
    text = []
    for name, layer in (("lstm", nn.LSTM), ("gru", nn.GRU)):
        run = train(layer)
        growth = max(max(abs(a - b) / abs(b) for a, b in zip(train(layer, Stream(seed)), run)) / DELTA
                     for seed in (1, 2))
        tolerance = max(FLOOR, growth * ROUNDINGS * 2.0**-53)
        print(f"{name}: loss {run[0]:.3g} to {run[-1]:.3g}, growth {growth:.3g}, tolerance {tolerance:.2g}",
              file=sys.stderr)
        if tolerance > MOST:
            sys.exit(f"torch_recurrent.py: a tolerance above {MOST:g}: a gentler problem is needed")
        lines = [", ".join(f"{v:.13g}" for v in run[i:i + 5]) for i in range(0, STEPS, 5)]
        text.append(f'    {{"{name}",\n     {tolerance:.2g}, /* noise grows {growth:.0f} times */\n     {{'
                    + ",\n      ".join(lines) + "}},\n")
    sizes = dict(SAMPLES=SAMPLES, BATCH=BATCH, TIME=TIME, INPUTS=INPUTS, HIDDEN=HIDDEN, CLASSES=CLASSES, STEPS=STEPS)
    write("torch_recurrent.h",
          "enum { " + ", ".join(f"{key} = {value}" for key, value in sizes.items()) + " };\n\n"
          "/* The losses of all steps, each before its step. */\n"
          "static const struct torch_recurrent {\n    const char *layer;\n    double tolerance, losses[STEPS];\n"
          "} torch_recurrent[] = {\n" + "".join(text) + "};\n")


main()
