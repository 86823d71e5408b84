#!/usr/bin/env python3
"""Averages of a given path for tests/optim/averages/test_averages.c, from their equations in float64.

Every average is computed as an explicit sum, with math.fsum, instead of by its recursion:
    ema       βᵗ θ0 + (1-β) Σ βᵗ⁻ᵏ θk;  without bias (1-β) Σ βᵗ⁻ᵏ θk / (1-βᵗ)
    lawa_ema  over snapshots s1, …, sn: βⁿ⁻¹ s1 + (1-β) Σ βⁿ⁻ᵏ sk, k from 2
    the rest  equal weights of the snapshots that count
Snapshots are taken at steps t ≥ start that are multiples of `every`; parts of the run are rounded up to
whole steps, as the LAWA submissions to AlgoPerf 2024 do. Before there is one the point is θ itself.

    python averages.py > averages.h        (NumPy)
"""
import math

import numpy as np

STEPS, DIM = 120, 18
CHECKED = [1, 2, 3, 4, 11, 12, 13, 29, 30, 31, 47, 60, 89, 90, 91, 92, 119, 120]
# A path that drifts while it shakes; exact in float32, and made again by the test.
T, I = np.meshgrid(np.arange(STEPS + 1), np.arange(DIM), indexing="ij")
PATH = (T * 7919 + I * 613 + T * T * 31) % 1009 / 64 + T / 32


def weighted(weights):  # {step: weight}
    return [math.fsum(w * PATH[k, i] for k, w in weights.items()) for i in range(DIM)]


def ema(t, beta, debias=False):
    weights = {k: (1 - beta) * beta ** (t - k) for k in range(1, t + 1)}
    if debias:
        return weighted({k: w / (1 - beta ** t) for k, w in weights.items()})
    return weighted(weights | {0: beta ** t})


def snapshots(t, start, every):
    return [k for k in range(1, t + 1) if k >= start and k % every == 0]


def lawa_ema(t, beta, start, every):
    s = snapshots(t, start, every)
    weights = {k: (1 - beta if i else 1) * beta ** (len(s) - 1 - i) for i, k in enumerate(s)}
    return weighted(weights) if s else PATH[t]


def mean(t, start, every=1):
    s = snapshots(t, start, every)
    return weighted({k: 1 / len(s) for k in s}) if s else PATH[t]


def queue(t, length, start, every):
    s = snapshots(t, start, every)[-length:]
    return weighted({k: 1 / length for k in s}) if len(s) == length else PATH[t]


CASES = [
    ("none", lambda t: PATH[t]),
    ("ema decay=0.9", lambda t: ema(t, 0.9)),
    ("ema", lambda t: ema(t, 0.999)),
    ("ema decay=0.95 debias", lambda t: ema(t, 0.95, True)),
    ("polyak", lambda t: mean(t, 0)),
    ("polyak start=30", lambda t: mean(t, 30)),
    ("polyak start=10%", lambda t: mean(t, 12)),
    ("swa", lambda t: mean(t, 90, 2)),
    ("swa start=0 every=10", lambda t: mean(t, 0, 10)),
    ("swa start=12 every=7", lambda t: mean(t, 12, 7)),
    ("swa start=25% every=2.5%", lambda t: mean(t, 30, 3)),
    ("lawa_queue", lambda t: queue(t, 10, 3, 1)),
    ("lawa_queue length=4 start=20 every=5%", lambda t: queue(t, 4, 20, 6)),
    ("lawa_queue length=1 every=10", lambda t: queue(t, 1, 3, 10)),
    ("lawa_queue length=3 start=0 every=1", lambda t: queue(t, 3, 0, 1)),
    ("lawa_ema", lambda t: lawa_ema(t, 0.95, 3, 1)),
    ("lawa_ema decay=0.8 start=10% every=5", lambda t: lawa_ema(t, 0.8, 12, 5)),
    ("lawa_ema decay=0 every=4", lambda t: lawa_ema(t, 0, 3, 4)),
]


print("/* Made by averages.py: do not edit. From the equations, in float64: see there. */")
print("#ifndef AVERAGES_GOLDEN_H\n#define AVERAGES_GOLDEN_H\n")
print(f"enum {{ STEPS = {STEPS}, DIM = {DIM}, CHECKED = {len(CHECKED)}, SEEN = 2 }};")
print("static const int checked[CHECKED] = {" + ", ".join(map(str, CHECKED)) + "};")
print("/* The first and the last element of the point in the steps checked. */")
print("typedef struct golden {\n    const char *average;\n    double point[CHECKED][SEEN];\n} golden;")
print("static const golden goldens[] = {")
for spec, f in CASES:
    print(f'    {{"{spec}",\n     {{')
    for t in CHECKED:
        point = f(t)
        print("        {" + f"{point[0]:.17g}, {point[DIM - 1]:.17g}" + "},")
    print("     }},")
print("};\n#endif")
