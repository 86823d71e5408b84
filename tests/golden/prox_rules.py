#!/usr/bin/env python3
"""100 steps of the rules with a proximal step, for tests/optim/test_rules_golden.c: golden/prox_rules.h.

NumPy, from the equations: soft threshold by sign and max, momentum by the last two points (rules/sgd.c has another
form of it). Starting point, gradients and learning rates are those of rules.py; see rules_shared.py. The gradients
do not depend on x, so that l1 has to be large to hold an element at 0, where many of them are.

    python tests/golden/prox_rules.py       (an environment with PyTorch, for torch_shared.py, and NumPy)
"""
import sys

sys.dont_write_bytecode = True  # the fixtures' folder is no place for it
import numpy as np
from rules_shared import by_numpy, write

INF = float("inf")


def prox(T, v, threshold, low, high):
    shrunk = np.sign(v) * np.maximum(np.abs(v) - T(threshold), T(0))
    return np.minimum(np.maximum(shrunk, T(low)), T(high))


def sgd(T, l1=0, low=-INF, high=INF, decay=0, momentum=0):
    """iPiano: x' = prox(x - lr g + momentum (x - x before) lr/lr before)."""
    def step(t, lr, _, x, g, s):
        inertia = T(momentum * lr / s["lr"]) * (x - s["x"]) if t > 1 and momentum else 0
        s["x"], s["lr"] = x, lr
        return prox(T, x - T(lr) * (g + T(decay) * x) + inertia, lr * l1, low, high)
    return step


SGD = [
    ("sgd lr=0.05 l1=0.5", by_numpy(sgd, 0.05, l1=0.5)),
    ("sgd lr=0.02 l1=0.25 weight_decay=0.5 nonnegative", by_numpy(sgd, 0.02, l1=0.25, decay=0.5, low=0)),
    ("sgd lr=0.01 low=-0.25 high=0.5", by_numpy(sgd, 0.01, low=-0.25, high=0.5)),
    ("sgd lr=0.01 momentum=0.8 l1=0.25 weight_decay=0.1", by_numpy(sgd, 0.01, l1=0.25, decay=0.1, momentum=0.8)),
    ("sgd lr=0.01 momentum=0.9 low=0.125 high=2", by_numpy(sgd, 0.01, low=0.125, high=2, momentum=0.9)),
]

write("prox_rules.h", "SWALE_PROX_RULES_GOLDEN_H", f"prox_rules.py with NumPy {np.__version__}",
      '#include "rules.h"\n\nstatic const struct golden prox_goldens[] = {\n', SGD)
