#!/usr/bin/env python3
"""The number of epochs that sag and saga of scikit-learn need for the problems of
tests/optim/estimators/glm_table.h, until the norm of the gradient (with the penalty) is 3e-6 and 1e-10 of the
first one, with the step sizes of scikit-learn and five seeds.

The solver is called for one epoch at a time, and continues from the state that it returns. The gradient is computed
between the calls (glm_shared.py). 0: the goal was not reached within MOST epochs.

    /path/to/python glm_epochs.py > glm_epochs.h     (scikit-learn 1.9)
"""
import sys
import warnings

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model._sag import sag_solver

from glm_shared import DATA, LOSSES, exists, load, table_problem

GOALS, SEEDS, MOST = [3e-6, 1e-10], 5, 10000
NAMES = {"logistic": "log", "multinomial": "multinomial", "squared": "squared"}
warnings.simplefilter("ignore", ConvergenceWarning)


def epochs(problem, saga, seed):
    """Until each of the goals."""
    x, y = np.ascontiguousarray(problem.x), problem.y.astype(float)
    memory = {"coef": np.zeros((problem.a.shape[1], problem.outputs))}
    random = np.random.RandomState(seed)
    first, found = np.linalg.norm(problem.gradient(np.zeros((problem.outputs, problem.a.shape[1])))), []
    for k in range(1, MOST + 1):
        _, _, memory = sag_solver(x, y, problem.weight, NAMES[problem.head], problem.l2 * problem.n, 0, 1, 0, 0,
                                  random, False, None, memory, saga)
        norm = np.linalg.norm(problem.gradient(memory["coef"].T))
        while len(found) < len(GOALS) and norm <= GOALS[len(found)] * first:
            found.append(k)
        if len(found) == len(GOALS) or not norm < 1e30:
            break
    return found + [0] * (len(GOALS) - len(found))


arrays = load()
print(f"/* Made by glm_epochs.py, scikit-learn {sklearn.__version__}. */")
print("typedef struct golden_epochs {")
print("    const char *problem;")
print("    int saga;            /* 0: sag */")
print("    double mean[2];      /* over the seeds: to 3e-6 and to 1e-10 of the first gradient; 0: not within")
print(f"                          * {MOST} epochs with every seed */")
print("    int least[2], most[2];")
print("} golden_epochs;")
print("static const golden_epochs golden_epochs_of[] = {")
for loss in LOSSES:
    for data in DATA:
        if LOSSES[loss][0] not in NAMES or not exists(loss, data):
            continue
        problem = table_problem(arrays, loss, data)
        for saga in (0, 1):
            counts = np.array([epochs(problem, bool(saga), seed) for seed in range(1, SEEDS + 1)])
            counts[:, (counts == 0).any(0)] = 0

            def both(values):
                return ", ".join(f"{v:g}" for v in values)
            print(f'    {{"{loss}/{data}", {saga}, {{{both(counts.mean(0))}}}, {{{both(counts.min(0))}}}, '
                  f"{{{both(counts.max(0))}}}}},", flush=True)
            print(loss, data, "saga" if saga else "sag", counts.tolist(), file=sys.stderr, flush=True)
print("};")
