#!/usr/bin/env python3
"""100 steps of small networks under torch.optim in float64: golden/torch_training.h, which
tests/optim/rules/test_torch_training.c follows. A rule is one line of RULES: swale's spec, and torch's
class with its options; a network is an entry of NETS.

The tolerance is derived as follows. Two correct programs round differently in every operation, and the
problem amplifies these errors from step to step. Therefore each run is repeated with noise in every step:
δ = 1e-9 times a random number in [-1, 1], relative to the largest element of the tensor, is added to
gradients and parameters. Sums round in the same way, because an element may be a difference of larger
terms. Zeros stay zero, because both sides multiply by 0 behind a dead ReLU. The distance of the two runs
divided by δ is the factor by which the problem amplifies relative errors. The rounding errors of each side
are below ROUNDINGS · 2^-53 of the largest element in a step: no sum has more than 20 terms, and no chain
more than a few dozen operations. The tolerance is the product of both, and at least FLOOR (the tolerance of
one operation; the 13 digits of the fixture lose 5e-14). If it is above 1e-10, the required accuracy of 100
steps, the script fails.

    /usr/bin/python3 tests/golden/torch_training.py     (Debian's python3-torch)
"""
import sys

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_shared import Stream, filled, flat, write

STEPS, DELTA, ROUNDINGS, FLOOR, MOST = 100, 1e-9, 128, 1e-12, 1e-10


class MuonAndAdamW:
    """torch.optim.Muon for matrices and torch.optim.AdamW for the rest, as route=matrices. Muon rounds to bfloat16: the
    name stands for float64 here, so that PyTorch's code computes in it throughout. Its ε is the least norm, and not
    added to it: with 1e-30 both are equal."""

    class Torch:
        def __getattr__(self, name):
            return torch.float64 if name == "bfloat16" else getattr(torch, name)

    def __init__(self, w, lr, ratio, weight_decay, **options):
        import torch.optim._muon as module  # PyTorch 2.9
        module.torch = self.Torch()
        matrices, rest = [p for p in w if p.dim() == 2], [p for p in w if p.dim() != 2]
        self.both = (torch.optim.Muon(matrices, lr=lr, weight_decay=weight_decay, eps=1e-30, **options),
                     torch.optim.AdamW(rest, lr=ratio * lr, betas=(0.9, 0.95), eps=1e-10, weight_decay=weight_decay))

    def zero_grad(self):
        for optim in self.both:
            optim.zero_grad()

    def step(self):
        for optim in self.both:
            optim.step()


RULES = [
    ("sgd lr=0.1", torch.optim.SGD, dict(lr=0.1)),
    ("sgd lr=0.05 momentum=0.9", torch.optim.SGD, dict(lr=0.05, momentum=0.9)),
    ("sgd lr=0.05 momentum=0.8 dampening=0.5", torch.optim.SGD,
     dict(lr=0.05, momentum=0.8, dampening=0.5)),
    ("sgd lr=0.05 momentum=0.9 nesterov", torch.optim.SGD,
     dict(lr=0.05, momentum=0.9, nesterov=True)),
    ("sgd lr=0.1 weight_decay=0.05", torch.optim.SGD, dict(lr=0.1, weight_decay=0.05)),
    ("adam lr=0.01", torch.optim.Adam, dict(lr=0.01)),
    ("adam lr=0.01 beta1=0.8 beta2=0.95 eps=1e-4 weight_decay=0.1", torch.optim.Adam,
     dict(lr=0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ("adamw lr=0.01 weight_decay=0.1", torch.optim.AdamW, dict(lr=0.01, weight_decay=0.1)),
    ("asgd lr=0.05 lambda=0.01 t0=50", torch.optim.ASGD, dict(lr=0.05, lambd=0.01, t0=50)),
    ("rprop lr=0.01", torch.optim.Rprop, dict(lr=0.01)),
    ("amsgrad lr=0.01 beta2=0.9 decoupled weight_decay=0.1", torch.optim.AdamW,
     dict(lr=0.01, betas=(0.9, 0.9), amsgrad=True, weight_decay=0.1)),
    ("amsgrad lr=0.01 beta2=0.9", torch.optim.Adam, dict(lr=0.01, betas=(0.9, 0.9), amsgrad=True)),
    ("adagrad lr=0.05 lr_decay=0.01 initial=0.01", torch.optim.Adagrad,
     dict(lr=0.05, lr_decay=0.01, initial_accumulator_value=0.01)),
    ("rmsprop lr=0.005 eps=1e-3", torch.optim.RMSprop, dict(lr=0.005, eps=1e-3)),
    ("rmsprop lr=0.002 alpha=0.9 eps=1e-2 centered momentum=0.8", torch.optim.RMSprop,
     dict(lr=0.002, alpha=0.9, eps=1e-2, centered=True, momentum=0.8)),
    ("adadelta lr=1 eps=1e-4", torch.optim.Adadelta, dict(lr=1, eps=1e-4)),
    # 1.13 is right with foreach alone: see pytorch/pytorch, pull request 92699.
    ("nadam lr=0.01 weight_decay=0.01", torch.optim.NAdam,
     dict(lr=0.01, weight_decay=0.01, foreach=True)),
    ("radam lr=0.02 beta2=0.95", torch.optim.RAdam, dict(lr=0.02, betas=(0.9, 0.95))),
    ("adamax lr=0.02", torch.optim.Adamax, dict(lr=0.02)),
    ("adafactor lr=0.02 weight_decay=0.01", torch.optim.Adafactor, dict(lr=0.02, weight_decay=0.01)),
    ("muon lr=0.002 adamw_lr_ratio=1 eps=1e-30 weight_decay=0.01 route=matrices", MuonAndAdamW,
     dict(lr=0.002, ratio=1, weight_decay=0.01)),
    ("muon lr=0.002 adamw_lr_ratio=1 eps=1e-30 momentum=0.8 nesterov=false scale=moonshot route=matrices", MuonAndAdamW,
     dict(lr=0.002, ratio=1, weight_decay=0, momentum=0.8, nesterov=False, adjust_lr_fn="match_rms_adamw")),
]


# ---- The networks: shapes of the parameters, samples, samples in a step, data, loss ----

def product_data(n):
    x = filled((n, 2), -1, 1, Stream(11))
    return x, (x[:, 0] * x[:, 1]).reshape(n, 1)


def tanh_regression(w, x, y):
    h = torch.tanh(F.linear(x, w[0], w[1]))
    h = torch.tanh(F.linear(h, w[2], w[3]))
    return F.mse_loss(F.linear(h, w[4], w[5]), y)


def class_data(n):
    x = filled((n, 4), -1, 1, Stream(12))
    ids = [2 if a + b > 0.5 else 1 if a > c else 0 for a, b, c, _ in x.tolist()]
    return x, torch.tensor(ids)


def relu_classifier(w, x, y):
    return F.cross_entropy(F.linear(F.relu(F.linear(x, w[0], w[1])), w[2], w[3]), y)


def surface_data(n):
    x = filled((n, 3), -1, 1, Stream(14))
    a, b, c = x.unbind(1)
    return x, torch.stack([2 * a * b, c * c - a], 1)


def smooth_residual(w, x, y):
    h = F.silu(F.linear(x, w[0], w[1]))
    h = h + F.gelu(F.linear(h, w[2], w[3]))
    return F.huber_loss(F.linear(h, w[4], w[5]), y, delta=0.3)


NETS = [
    ("tanh regression", [(16, 2), (16,), (16, 16), (16,), (1, 16), (1,)], 64, 16, product_data,
     tanh_regression),
    ("relu classifier", [(12, 4), (12,), (3, 12), (3,)], 60, 20, class_data, relu_classifier),
    ("smooth residual", [(8, 3), (8,), (8, 8), (8,), (2, 8), (2,)], 48, 16, surface_data,
     smooth_residual),
]


def noisy(t, stream):
    with torch.no_grad():
        noise = torch.tensor([stream.uniform(-1, 1) for _ in range(t.numel())]).reshape(t.shape)
        t += DELTA * t.abs().max() * noise * (t != 0)


def train(net, rule, noise=None):
    _, shapes, n, batch, data, loss_of = net
    _, make, options = rule
    stream = Stream(13)
    w = [filled(s, -0.6, 0.6, stream).requires_grad_() for s in shapes]
    x, y = data(n)
    optim, losses = make(w, **options), []
    for t in range(STEPS):
        at = t * batch % n
        optim.zero_grad()
        loss = loss_of(w, x[at:at + batch], y[at:at + batch])
        loss.backward()
        losses.append(float(loss))
        if noise:
            for p in w:
                noisy(p.grad, noise)
        optim.step()
        if noise:
            for p in w:
                noisy(p, noise)
    return losses, [flat(p) for p in w]


def distance(one, other):
    """Of losses each relative to itself; of a parameter relative to its largest element."""
    worst = max(abs(a - b) / abs(b) for a, b in zip(one[0], other[0]))
    for p, q in zip(one[1], other[1]):
        worst = max(worst, max(abs(a - b) for a, b in zip(p, q)) / max(map(abs, q)))
    return worst


def digits(values):
    lines, line = [], "       "
    for v in values:
        item = f" {v:.13g},"
        if len(line) + len(item) > 100:
            lines.append(line)
            line = "       "
        line += item
    return "\n".join(lines + [line])


def main():
    text, failed = [], False
    for net in NETS:
        for rule in RULES:
            run = train(net, rule)
            growth = max(distance(train(net, rule, Stream(seed)), run) / DELTA for seed in (1, 2))
            tolerance = max(FLOOR, growth * ROUNDINGS * 2.0**-53)
            print(f"{net[0]}, {rule[0]}: loss {run[0][0]:.3g} to {run[0][-1]:.3g}, growth "
                  f"{growth:.3g}, tolerance {tolerance:.2g}", file=sys.stderr)
            failed |= tolerance > MOST
            numbers = run[0] + [v for p in run[1] for v in p]
            text.append(f'    {{"{net[0]}",\n     "{rule[0]}",\n     {tolerance:.2g}, /* noise grows '
                        f"{growth:.0f} times */\n     (const double[]){{\n{digits(numbers)}\n"
                        "     }},\n")
    if failed:
        sys.exit(f"torch_training.py: a tolerance above {MOST:g}: a gentler problem is needed")
    write("torch_training.h",
          f"enum {{ TORCH_STEPS = {STEPS} }};\n\n"
          "/* Losses of all steps, each before its step; then the parameters at the end. */\n"
          "static const struct torch_run {\n    const char *net, *rule;\n    double tolerance;\n"
          "    const double *numbers;\n} torch_runs[] = {\n" + "".join(text) + "};\n")


main()
