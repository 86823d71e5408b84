#!/usr/bin/env python3
"""The networks of nn/networks in PyTorch: golden/torch_networks.h and files in golden/networks.

For each network, in float64: the keys of its state_dict, the outputs in evaluation, and the losses of 100
steps of the training with the running statistics at the end. Parameters and pictures are drawn by both
sides (fill below). The files are state_dicts in float32, with
num_batches_tracked, as safetensors.torch.save_file writes them.

The tolerance of the training is derived as in torch_training.py: the factor by which the problem amplifies
errors of δ in each step, times the rounding errors of a step. The longest sums are gradients of weights and
means of a batch norm, over batch·height·width = 4608 terms. Their rounding errors relative to the largest term
are below √4608 · 2^-53 in the mean; ROUNDINGS allows 256 for the two sides, and for chains of 20 operations.

    python3 tests/golden/torch_networks.py      (PyTorch 2, safetensors)
"""
import math
import os
import sys

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_models import LeNet, ResNet
from torch_shared import HERE, Stream, array, filled, flat, write

STEPS, DELTA, ROUNDINGS, FLOOR, MOST = 100, 1e-9, 256, 1e-12, 1e-9
BATCH, SAMPLES = 8, 32


# name, module, height and width and channels of a sample, classes
NETS = [
    ("lenet", lambda: LeNet(10), (28, 28, 1), 10),
    ("resnet8", lambda: ResNet(8, 4, 3, 2), (9, 11, 2), 3),
    ("resnet20", lambda: ResNet(20, 2, 3, 3), (8, 8, 3), 3),
    ("resnet18", lambda: ResNet(18, 2, 5, 3, imagenet=True), (40, 36, 3), 5),
    ("resnet34", lambda: ResNet(34, 1, 5, 3, imagenet=True), (33, 33, 3), 5),
]
FILES = ["resnet8", "resnet18"]
# name, module, sample, classes, the rule of swale, the optimizer
TRAINED = [
    ("lenet", lambda: LeNet(10), (28, 28, 1), 10, "sgd lr=0.02 momentum=0.9",
     lambda p: torch.optim.SGD(p, lr=0.02, momentum=0.9)),
    ("resnet8", lambda: ResNet(8, 16, 10, 1), (24, 24, 1), 10, "sgd lr=0.005 momentum=0.9 weight_decay=5e-4",
     lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.9, weight_decay=5e-4)),
]


def fill(net, seed):
    """Numbers for each array of the state_dict in turn; a stream of test_uniform, rounded to f32."""
    stream = Stream(seed)
    for key, value in net.state_dict().items():
        if key.endswith("num_batches_tracked"):
            value.fill_(7)
            continue
        if value.dim() > 1:
            bound = math.sqrt(6 * value.shape[0] / value.numel())
            low, high = -bound, bound
        elif key.endswith("running_var") or key.endswith(".weight"):
            low, high = 0.5, 1.5
        else:
            low, high = -0.2, 0.2
        value.copy_(filled(value.shape, low, high, stream))


def pictures(count, sample):
    return filled((count, *sample), -1, 1, Stream(21)).permute(0, 3, 1, 2).contiguous()


def keys(name, net):
    names = [key for key in net.state_dict() if not key.endswith("num_batches_tracked")]
    return (f"static const char *const {name}_keys[] = {{\n    " +
            ",\n    ".join(f'"{key}"' for key in names) + ", NULL};\n")


def output_text(name, make, sample):
    net = make()
    fill(net, 31)
    net.eval()
    with torch.no_grad():
        y = net(pictures(3, sample))
    if name in FILES:
        from safetensors.torch import save_file
        os.makedirs(os.path.join(HERE, "networks"), exist_ok=True)
        state = {key: value.float().contiguous() if value.is_floating_point() else value
                 for key, value in net.state_dict().items()}
        path = os.path.join(HERE, "networks", name + ".safetensors")
        save_file(state, path)
        print(f"{name}.safetensors: {os.path.getsize(path) / 1000:.0f} kB", file=sys.stderr)
    return keys(name, net) + array(f"static const double {name}_outputs[]", flat(y))


def noisy(t, generator):
    with torch.no_grad():
        noise = 2 * torch.rand(t.shape, generator=generator) - 1
        t += DELTA * t.abs().max() * noise * (t != 0)


def train(make, sample, classes, optimizer, noise=None):
    net = make()
    fill(net, 31)
    x, y = pictures(SAMPLES, sample), torch.arange(SAMPLES) % classes
    optim, losses = optimizer(net.parameters()), []
    for step in range(STEPS):
        at = step * BATCH % SAMPLES
        optim.zero_grad()
        loss = F.cross_entropy(net(x[at:at + BATCH]), y[at:at + BATCH])
        loss.backward()
        losses.append(loss.item())
        for p in net.parameters() if noise else ():
            noisy(p.grad, noise)
        optim.step()
        for p in net.parameters() if noise else ():
            noisy(p, noise)
    statistics = [value for key, value in net.state_dict().items() if ".running_" in key or key[:11] == "bn1.running"]
    return losses, [flat(s) for s in statistics]


def distance(one, other):
    """Of losses each relative to the first one; of statistics relative to their largest element."""
    worst = max(abs(a - b) for a, b in zip(one[0], other[0])) / other[0][0]
    for p, q in zip(one[1], other[1]):
        worst = max(worst, max(abs(a - b) for a, b in zip(p, q)) / max(map(abs, q)))
    return worst


def main():
    text = "".join(output_text(name, make, sample) + "\n" for name, make, sample, _ in NETS)
    rows = ""
    for name, make, sample, classes, rule, optimizer in TRAINED:
        run = train(make, sample, classes, optimizer)
        growth = max(distance(train(make, sample, classes, optimizer, torch.Generator().manual_seed(seed)), run) / DELTA
                     for seed in (1, 2))
        tolerance = max(FLOOR, growth * ROUNDINGS * 2.0**-53)
        print(f"{name}, {rule}: loss {run[0][0]:.3g} to {run[0][-1]:.3g}, growth {growth:.3g}, "
              f"tolerance {tolerance:.2g}", file=sys.stderr)
        if tolerance > MOST:
            sys.exit(f"torch_networks.py: a tolerance above {MOST:g}: a gentler problem is needed")
        text += array(f"static const double {name}_losses[]", [float(f"{v:.14g}") for v in run[0]])
        text += array(f"static const double {name}_statistics[]",
                      [float(f"{v:.14g}") for s in run[1] for v in s] or [0])
        rows += f'    {{"{name}", "{rule}", {tolerance:.2g}, /* noise grows {growth:.0f} times */\n'
        rows += f"     {name}_losses, {name}_statistics}},\n"
    text += (f"\nenum {{ TORCH_STEPS = {STEPS}, TORCH_BATCH = {BATCH}, TORCH_SAMPLES = {SAMPLES} }};\n\n"
             "/* The losses of all steps, each before its step, with an error relative to the first one; and all\n"
             " * running statistics at the end, in the order of the parameters. */\n"
             "static const struct torch_training {\n    const char *net, *rule;\n    double tolerance;\n"
             "    const double *losses, *statistics;\n} torch_trainings[] = {\n" + rows + "};\n")
    write("torch_networks.h", text)


main()
