#!/usr/bin/env python3
"""Optima of linear models with l1 penalties and boxes, by scikit-learn and SciPy: golden/prox_optimum.h.

    F(w, b) = 1/m sum loss(<a_i, w> + b, y_i) + l2/2 |w|^2 + l1 |w|_1,   low <= w <= high

with loss = (z - y)^2/2, or log(1 + exp(-y z)). Each reference minimizes the same function up to a
factor; its arguments are written beside the case. Numbers of a and y are multiples of 1/1024, exact in f32. The
residual beside each optimum is |x - prox(x - gradient)|, which is 0 only at the optimum.

    python tests/golden/prox_optimum.py       (an environment with scikit-learn 1.8 or later, and SciPy)
"""
import os
import sys
import warnings

import numpy as np
import scipy
import sklearn
from scipy.optimize import lsq_linear, nnls
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, LogisticRegression

warnings.filterwarnings("error", message=".*converge.*")
M, N = 60, 12
INF = float("inf")
rng = np.random.default_rng(20141219)
A = np.round(rng.normal(size=(M, N)) * (1 + np.arange(N) % 3) / 2 * 1024).astype(int)
a = A / 1024
truth = np.array([1.5, 0, -2, 0, 0, 0.75, 0, 0, 0, -0.5, 0, 0.25])
Y = np.round((a @ truth + 2 + 0.5 * rng.normal(size=M)) * 1024).astype(int)
y = Y / 1024
CLASS = np.where(rng.random(M) < 1 / (1 + np.exp(-(a @ truth + 0.5))), 1, -1)


def model(fit):
    return np.ravel(fit.coef_), float(np.ravel(fit.intercept_)[0])


def lasso(l1, l2=0.0, positive=False):
    alpha = l1 + l2
    how = dict(alpha=alpha, positive=positive, tol=1e-15, max_iter=10**7)
    return model((ElasticNet(l1_ratio=l1 / alpha, **how) if l2 else Lasso(**how)).fit(a, y))


def logistic(l1, l2=0.0):
    """C sum loss + l1_ratio |w|_1 + (1 - l1_ratio)/2 |w|^2"""
    return model(LogisticRegression(C=1 / ((l1 + l2) * M), l1_ratio=l1 / (l1 + l2), solver="saga", tol=1e-14,
                                    max_iter=10**6, random_state=1).fit(a, CLASS))


def box(low, high):
    return lsq_linear(a, y, (low, high), method="bvls", tol=1e-15).x, 0.0


def nonnegative():
    ours = LinearRegression(positive=True, fit_intercept=False).fit(a, y).coef_
    assert np.abs(ours - nnls(a, y)[0]).max() < 1e-12
    return ours, 0.0


CASES = [  # name, logistic, intercept, l1, l2, low, high, optimum
    ("Lasso(0.1)", 0, 1, 0.1, 0, -INF, INF, lasso(0.1)),
    ("Lasso(0.5, positive=True)", 0, 1, 0.5, 0, 0, INF, lasso(0.5, positive=True)),
    ("ElasticNet(0.3, l1_ratio=0.5)", 0, 1, 0.15, 0.15, -INF, INF, lasso(0.15, 0.15)),
    ("LinearRegression(positive=True, fit_intercept=False)", 0, 0, 0, 0, 0, INF, nonnegative()),
    ("lsq_linear(bounds=(-1, 0.5))", 0, 0, 0, 0, -1, 0.5, box(-1, 0.5)),
    ("lsq_linear(bounds=(0.125, 1))", 0, 0, 0, 0, 0.125, 1, box(0.125, 1)),
    ("LogisticRegression(l1_ratio=1)", 1, 1, 1 / 16, 0, -INF, INF, logistic(1 / 16)),
    ("LogisticRegression(l1_ratio=0.5)", 1, 1, 1 / 16, 1 / 16, -INF, INF, logistic(1 / 16, 1 / 16)),
]


def residual(is_logistic, intercept, l1, l2, low, high, optimum):
    w, b = optimum
    z = a @ w + b
    s = -CLASS / (1 + np.exp(CLASS * z)) if is_logistic else z - y
    v = w - (a.T @ s / M + l2 * w)
    moved = np.clip(np.sign(v) * np.maximum(np.abs(v) - l1, 0), low, high)
    return max(np.abs(moved - w).max(), abs(s.mean()) if intercept else 0)


def number(x):
    return {INF: "INFINITY", -INF: "-INFINITY"}.get(x, repr(float(x)))


def rows(values, each=12):
    return "\n".join("    " + ", ".join(map(str, values[i:i + each])) + "," for i in range(0, len(values), each))


def main():
    text = [f"/* Made by prox_optimum.py, scikit-learn {sklearn.__version__}, SciPy {scipy.__version__}: do not edit. "
            "*/\n"
            "#ifndef SWALE_PROX_OPTIMUM_H\n#define SWALE_PROX_OPTIMUM_H\n\n#include <math.h>\n\n"
            f"enum {{ PROX_M = {M}, PROX_N = {N} }};\n"
            f"static const int prox_a[PROX_M * PROX_N] = {{ /* in 1/1024 */\n{rows(A.ravel().tolist())}\n}};\n"
            f"static const int prox_y[PROX_M] = {{ /* in 1/1024 */\n{rows(Y.tolist())}\n}};\n"
            f"static const int prox_class[PROX_M] = {{\n{rows(CLASS.tolist(), 30)}\n}};\n\n"
            "static const struct prox_case {\n    const char *name;\n    int logistic, intercept;\n"
            "    double l1, l2, low, high, w[PROX_N], b;\n} prox_cases[] = {\n"]
    for name, *problem in CASES:
        left = residual(*problem)
        is_logistic, intercept, l1, l2, low, high, (w, b) = problem
        print(f"{name}: {left:.1e}, {np.sum(w == 0)} zeros", file=sys.stderr)
        assert left < 1e-9, name
        penalty = ", ".join(map(number, (l1, l2, low, high)))
        weights = ",\n      ".join(", ".join(map(number, w[i:i + 5])) for i in range(0, N, 5))
        text.append(f'    {{"{name}", {is_logistic}, {intercept}, {penalty}, /* residual {left:.0e} */\n'
                    f"     {{{weights}}},\n     {number(b)}}},\n")
    text.append("};\n\n#endif\n")
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "prox_optimum.h")
    with open(path, "w", encoding="utf-8") as file:
        file.write("".join(text))


main()
