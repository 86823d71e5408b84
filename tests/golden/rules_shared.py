"""Code that the scripts for 100 steps of rules share: starting point, gradients, learning rates, and the format of the
fixtures. tests/optim/rules/test_rules_golden.c draws the same numbers.

The fixtures have the parameters after the steps in CHECKED, with 14 digits, computed in float64. The same reference in
float32 (state, gradients, constants) shows the effect of rounding alone. The tolerance for f32 is FACTOR times
this effect, because another order of the same operations rounds differently, and at least FLOOR. A distance is
max |a - b| / max |b| over the stored steps of one parameter; the largest of the four parameters counts.
"""
import math
import os
import sys

import numpy as np
from torch_shared import HERE, Stream, rounded

FACTOR, FLOOR = 16, 1e-6
STEPS, WARMUP, FINAL = 100, 10, 0.1
CHECKED = [1, 2, 3, 10, 100]
# Name, shape, scale of its gradients, role: see golden_params in the test.
PARAMS = [("vector", (4,), 1, "bias"), ("tall", (5, 2), 2.0**-10, "weight"), ("wide", (2, 4), 64, "head"),
          ("scalar", (), 1, "other")]
SIZES = [math.prod(shape) for _, shape, _, _ in PARAMS]
BOUNDS = np.cumsum([0] + SIZES)


def split(vector):
    return [vector[a:b].reshape(p[1]) for a, b, p in zip(BOUNDS, BOUNDS[1:], PARAMS)]


def draw():
    stream = Stream(31)
    x = np.array([rounded(stream.uniform(-1, 1)) for _ in range(BOUNDS[-1])])
    g = np.zeros((STEPS, BOUNDS[-1]))
    for t in range(STEPS):
        for p, (_, _, scale, _) in enumerate(PARAMS):
            for i in range(BOUNDS[p], BOUNDS[p + 1]):
                u = rounded(stream.uniform(-1, 1))
                g[t, i] = 0 if abs(u) < 0.1 or (i == 1 and t < 20) else 0.25 if i == 0 else u * scale
    return x, g


X0, G = draw()


def factor(t):  # swale's "cosine warmup=10 final=0.1": t from 0
    if t < WARMUP:
        return (t + 1) / WARMUP
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * (t - WARMUP) / (STEPS - WARMUP)))



def by_numpy(make, lr, **options):
    """make(T, **options) gives step(t, lr, p, x, g, state) → x for parameter p; t from 1."""
    def run(T):
        step, x, path = make(T, **options), [np.array(v, T) for v in split(X0)], []
        states = [{} for _ in PARAMS]
        for t in range(STEPS):
            g = [np.array(v, T) for v in split(G[t])]
            x = [step(t + 1, lr * factor(t), p, x[p], g[p], states[p]) for p in range(len(PARAMS))]
            path.append(np.concatenate([v.reshape(-1) for v in x]))
        return np.array(path)
    run.asked = "NumPy"
    return run


def distance(path, exact):
    a, b = (p[[t - 1 for t in CHECKED]].astype(np.float64) for p in (path, exact))
    return max(float(np.max(np.abs(a - b)[:, i:j]) / np.max(np.abs(b[:, i:j])))
               for i, j in zip(BOUNDS, BOUNDS[1:]))


def digits(values):
    lines, line = [], "       "
    for v in values:
        item = f" {v:.14g},"
        if len(line) + len(item) > 110:
            lines.append(line)
            line = "       "
        line += item
    return "\n".join(lines + [line])


def write(name, guard, made_by, array, cases):
    """name.h with an array of all cases, (spec, function of the element type that gives the path; `asked`: whose)."""
    text = []
    for spec, run in cases:
        exact, single = run(np.float64), run(np.float32)
        assert exact.dtype == np.float64 and single.dtype == np.float32, spec
        assert np.all(np.isfinite(exact)), spec
        apart = distance(single, exact)
        print(f"{spec}: f32 {apart:.2g}, ends at {np.max(np.abs(exact[-1])):.3g}", file=sys.stderr)
        text.append(f'    {{"{spec}", "{run.asked}", {max(FLOOR, FACTOR * apart):.2g}, /* {FACTOR} × {apart:.1e} */\n'
                    "     (const double[]){\n"
                    f"{digits(exact[[t - 1 for t in CHECKED]].reshape(-1))}\n     }}}},\n")
    path = os.path.join(HERE, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"/* Made by {made_by}: do not edit. */\n#ifndef {guard}\n#define {guard}\n\n" + array +
                   "".join(text) + "};\n\n#endif\n")
    print(f"{name}: {os.path.getsize(path) / 1000:.0f} kB", file=sys.stderr)
