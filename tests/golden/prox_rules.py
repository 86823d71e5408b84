#!/usr/bin/env python3
"""100 steps of the rules with a proximal step, for tests/optim/rules/test_rules_golden.c: golden/prox_rules.h.

The script computes them in NumPy from the equations: soft threshold by sign and max, momentum by the last two points
(rules/sgd.c uses another form). For fista, the vector y is compared. Starting point, gradients and learning
rates are those of rules.py; see rules_shared.py. The gradients do not depend on x, so that l1 must be large to
keep an element at 0.

    python tests/golden/prox_rules.py       (an environment with PyTorch, for torch_shared.py, and NumPy)
"""
import sys

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
import numpy as np
from rules_shared import G, STEPS, X0, by_numpy, factor, write

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


def fista(lr, l1=0, low=-INF, high=INF, decay=0, mu=0, restart=True):
    """All parameters together, since they begin anew together."""
    def run(T):
        x = y = X0.astype(T)
        t, path, begun = 1, [], 0
        for k in range(STEPS):
            eta, g = lr * factor(k), G[k].astype(T)
            new = prox(T, y - T(eta) * (g + T(decay) * y), eta * l1, low, high)
            uphill = restart and np.dot((y - new).astype(np.float64), (new - x).astype(np.float64)) > 0
            begun += uphill
            t = 1 if uphill else t
            t_new = (1 + np.sqrt(1 + 4 * t * t)) / 2
            q = np.sqrt(min(eta * mu, 1))
            beta = 0 if uphill else (1 - q) / (1 + q) if mu else (t - 1) / t_new
            x, y, t = new, new + T(beta) * (new - x), t_new
            path.append(y)
        assert not restart or 0 < begun < STEPS / 2, begun
        return np.array(path)
    run.asked = "NumPy"
    return run


FISTA = [
    ("fista lr=0.005", fista(0.005)),
    ("fista lr=0.005 l1=0.5 weight_decay=0.1", fista(0.005, l1=0.5, decay=0.1)),
    ("fista lr=0.002 restart=false nonnegative l1=0.125", fista(0.002, l1=0.125, low=0, restart=False)),
    ("fista lr=0.01 mu=0.5 low=-0.5 high=1", fista(0.01, mu=0.5, low=-0.5, high=1)),
]

SGD = [
    ("sgd lr=0.05 l1=0.5", by_numpy(sgd, 0.05, l1=0.5)),
    ("sgd lr=0.02 l1=0.25 weight_decay=0.5 nonnegative", by_numpy(sgd, 0.02, l1=0.25, decay=0.5, low=0)),
    ("sgd lr=0.01 low=-0.25 high=0.5", by_numpy(sgd, 0.01, low=-0.25, high=0.5)),
    ("sgd lr=0.01 momentum=0.8 l1=0.25 weight_decay=0.1", by_numpy(sgd, 0.01, l1=0.25, decay=0.1, momentum=0.8)),
    ("sgd lr=0.01 momentum=0.9 low=0.125 high=2", by_numpy(sgd, 0.01, low=0.125, high=2, momentum=0.9)),
]

write("prox_rules.h", "SWALE_PROX_RULES_GOLDEN_H", f"prox_rules.py with NumPy {np.__version__}",
      '#include "rules.h"\n\nstatic const struct golden prox_goldens[] = {\n', SGD + FISTA)
