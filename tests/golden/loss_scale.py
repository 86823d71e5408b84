#!/usr/bin/env python3
"""Scales of PyTorch's GradScaler for tests/optim/test_loss_scale.c.

An entry has the first scale, the growth interval, and for each step whether its gradient held an Inf ("1") and the scale
after the step, as a power of 2. The scale stays between 1 and 2^24, the bounds of swale, which GradScaler does not have.

    python loss_scale.py > loss_scale.h        (torch 2)
"""
import math
import random

import torch

STEPS = 120
CASES = [(2.0**16, 7, 0.2), (2.0**4, 1, 0.45), (2.0**10, 3, 0.1), (2.0**13, 2000, 0.05)]


def run(initial, interval, share, seed):
    draw = random.Random(seed)
    x = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([x], lr=0.0)
    scaler = torch.amp.GradScaler("cpu", init_scale=initial, growth_interval=interval)
    found, powers = "", []
    for _ in range(STEPS):
        power = math.log2(powers and 2.0 ** powers[-1] or initial)
        infinite = power > 2 and (power > 22 or draw.random() < share)
        scaler.scale(torch.zeros(1))  # makes the scale, as for a loss
        x.grad = torch.tensor([math.inf if infinite else 1.0])
        scaler.step(optimizer)
        scaler.update()
        found += "1" if infinite else "0"
        powers.append(int(math.log2(scaler.get_scale())))
    assert min(powers) >= 0 and max(powers) <= 24
    return found, powers


print("/* Made by loss_scale.py: do not edit. Scales of torch.amp.GradScaler: see there. */")
print("#ifndef LOSS_SCALE_GOLDEN_H\n#define LOSS_SCALE_GOLDEN_H\n")
print(f"enum {{ GOLDEN_STEPS = {STEPS} }};")
print("typedef struct golden_scale {\n    double initial;\n    int interval;\n    const char *found_inf;")
print("    int power[GOLDEN_STEPS];\n} golden_scale;\nstatic const golden_scale golden_scales[] = {")
for seed, (initial, interval, share) in enumerate(CASES):
    found, powers = run(initial, interval, share, seed)
    print(f"    {{{initial:g}, {interval},\n     \"{found}\",\n     {{", end="")
    for i, power in enumerate(powers):
        print(power, end="}" if i == STEPS - 1 else "," if i % 30 != 29 else ",\n      ")
        if i % 30 != 29 and i != STEPS - 1:
            print(" ", end="")
    print("},")
print("};\n\n#endif")
