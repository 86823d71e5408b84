#!/usr/bin/env python3
"""100 training steps of small networks with batch normalization, in float64: golden/torch_norms.h, which
tests/optim/test_batch_norm_training.c reads. Both sides draw the same parameters, inputs and targets.

    PYTHON tests/golden/torch_norms.py      (PyTorch 2)
"""
import sys

import torch
import torch.nn.functional as F
from torch import nn

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_shared import Stream, array, filled, flat, write

STEPS, INPUTS, HIDDEN, OUTPUTS, RATE = 100, 4, 5, 2, 0.2

# Label, shape of the input, momentum (None: the plain average), ε
CASES = [("pictures", (6, 3, 2, INPUTS), 0.1, 1e-5),
         ("cumulative", (7, 3, INPUTS), None, 1e-5),
         ("vectors", (9, INPUTS), 0.3, 1e-2)]


class Network(nn.Module):
    """A linear layer, batch normalization, tanh, a linear layer, with the channels last."""

    def __init__(self, rank, momentum, eps):
        super().__init__()
        self.first = nn.Linear(INPUTS, HIDDEN)
        self.norm = (nn.BatchNorm2d if rank == 4 else nn.BatchNorm1d)(HIDDEN, eps, momentum)
        self.last = nn.Linear(HIDDEN, OUTPUTS)

    def forward(self, x):
        h = self.norm(self.first(x).movedim(-1, 1)).movedim(1, -1)
        return self.last(torch.tanh(h))


def run(shape, momentum, eps):
    """The losses; the running mean and variance and the parameters after the last step; in evaluation the output, and
    the gradients of the input and of the parameters."""
    model = Network(len(shape), momentum, eps)
    stream = Stream(22)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(filled(p.shape, -0.6, 0.6, stream))
    optimizer, losses = torch.optim.SGD(model.parameters(), RATE), []
    for step in range(STEPS):
        x = filled(shape, -2, 3, Stream(1000 + step))
        target = filled(shape[:-1] + (OUTPUTS,), -1, 1, Stream(2000 + step))
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), target)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    numbers = losses + flat(model.norm.running_mean) + flat(model.norm.running_var)
    for p in model.parameters():
        numbers += flat(p)
    model.eval()
    x = filled(shape, -2, 3, Stream(3000)).requires_grad_()
    y = model(x)
    grads = torch.autograd.grad(y, [x] + list(model.parameters()), filled(y.shape, -1, 1, Stream(4000)))
    numbers += flat(y)
    for g in grads:
        numbers += flat(g)
    return numbers


def main():
    rows, numbers = [], []
    for label, shape, momentum, eps in CASES:
        dims = ", ".join(map(str, shape))
        rows.append(f'    {{"{label}", {len(shape)}, {{{dims}}}, {momentum or 0}, {eps}, {len(numbers)}}},\n')
        numbers += run(shape, momentum, eps)
    write("torch_norms.h",
          f"enum {{ NORM_STEPS = {STEPS}, NORM_INPUTS = {INPUTS}, NORM_HIDDEN = {HIDDEN}, NORM_OUTPUTS = {OUTPUTS} }};\n"
          f"static const double norm_rate = {RATE};\n\n"
          "/* The losses; the running mean and variance and the parameters after the last step; in evaluation the\n"
          " * output, and the gradients of the input and of the parameters: at torch_norm_numbers[at]. */\n"
          "static const struct torch_norm {\n    const char *label;\n    int rank;\n"
          "    int64_t shape[4]; /* of the input */\n    double momentum; /* 0: the plain average */\n    double eps;\n"
          "    int at;\n} torch_norms[] = {\n"
          + "".join(rows) + "};\n" + array("static const double torch_norm_numbers[]", numbers))
    print(f"{len(rows)} networks, {len(numbers)} numbers", file=sys.stderr)


main()
