#!/usr/bin/env python3
"""L-BFGS: the points of torch.optim.LBFGS without a line search, and the evaluations of scipy's L-BFGS-B.

Both use the samples of logistic_optimum.h, with column j multiplied by 2^(j // 2):

    squares     SCALE (1/(2 m) |A x - y|^2 + mu/2 |x|^2)
    logistic    SCALE (1/m sum log(1 + exp(-y_i <a_i, x>)) + mu/2 |x|^2)

SCALE keeps <s, y> of all 100 steps above 1e-10, below which PyTorch leaves out pairs. The tolerance of a point is 16
times the largest distance of PyTorch's points from those of the two loops in long double, because each order of
additions has its own rounding errors.

scipy stops when two values of f are equal, before the gradient is 1e-12. It therefore receives f(x) - f* here, which
is computed with 60 digits, and takes all its steps with exact differences of f. `evaluations` is the number of calls
until the gradient's norm is 1e-12.

    python lbfgs.py > lbfgs.h     (PyTorch 2, scipy, mpmath)
"""
import pathlib
import re

import mpmath
import numpy as np
import scipy
import torch
from scipy.optimize import minimize

STEPS, CHECKED, SCALE, LR, HISTORY = 100, (1, 2, 3, 5, 10, 20, 50, 100), 16384.0, 0.0625, 10
MUS = (1, 0.1, 0.01, 0.001, 0.0001)
text = (pathlib.Path(__file__).parent / "logistic_optimum.h").read_text()


def numbers(name):
    body = re.search(name + r"\[[^{]*\{([^}]*)\}", re.sub(r"/\*.*?\*/", "", text)).group(1)
    return np.array([int(v) for v in body.split(",") if v.strip()])


y = numbers("optimum_y").astype(float)
a = numbers("optimum_a").reshape(len(y), -1) / 1024
M, N = a.shape
scaled = a * 2.0 ** (np.arange(N) // 2)


def gradient(kind, x, mu, A=None, exp=np.exp):
    A = scaled if A is None else A
    z = A @ x
    return (A.T @ (z - y) if kind == "squares" else -(A.T @ (y / (1 + exp(y * z))))) / M + mu * x


def by_torch(kind):
    x = torch.zeros(N, dtype=torch.float64, requires_grad=True)
    optim = torch.optim.LBFGS([x], lr=LR, max_iter=1, history_size=HISTORY, tolerance_grad=0, tolerance_change=0)
    points = []

    def closure():
        x.grad = torch.from_numpy(SCALE * gradient(kind, x.detach().numpy(), 0.125))
        return torch.zeros((), dtype=torch.float64)

    for step in range(1, STEPS + 1):
        optim.step(closure)
        if step in CHECKED:
            points.append(x.detach().numpy().copy())
    state = optim.state[x]
    assert state["n_iter"] == STEPS and len(state["old_dirs"]) == HISTORY
    return np.array(points)


def by_two_loops(kind, T):
    x, pairs, points, last = np.zeros(N, T), [], [], None
    A = scaled.astype(T)
    for step in range(1, STEPS + 1):
        g = T(SCALE) * gradient(kind, x, T(0.125), A)
        if last is not None:
            s, d = x - last[0], g - last[1]
            assert s @ d > 1e-6, (step, s @ d)
            pairs = (pairs + [(s, d)])[-HISTORY:]
        last, q, alphas = (x.copy(), g.copy()), g.copy(), []
        for s, d in reversed(pairs):
            alphas.append((s @ q) / (s @ d))
            q = q - alphas[-1] * d
        if pairs:
            q = q * ((pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1]))
        else:
            q = q * min(T(1), 1 / np.abs(g).sum())
        for (s, d), alpha in zip(pairs, reversed(alphas)):
            q = q + (alpha - (d @ q) / (s @ d)) * s
        x = x - T(LR) * q
        if step in CHECKED:
            points.append(x.copy())
    return np.array(points)


def evaluations(mu, columns):
    mpmath.mp.dps = 60

    def value(x):
        total = mpmath.mpf(0)
        xs = [mpmath.mpf(v) for v in x]
        for row, sign in zip(columns, y):
            total += mpmath.log1p(mpmath.exp(-int(sign) * mpmath.fdot(zip(map(mpmath.mpf, row), xs))))
        return total / M + mpmath.mpf(mu) / 2 * mpmath.fdot(xs, xs)

    # the optimum by Newton's method in long double: f(x) - f* is then known to the square of its error
    x = np.zeros(N, np.longdouble)
    A = columns.astype(np.longdouble)
    for _ in range(60):
        p = 1 / (1 + np.exp(y * (A @ x)))
        g = np.longdouble(mu) * x - A.T @ (y * p) / M
        H = (A.T * (p * (1 - p))) @ A / M + mu * np.eye(N)
        x = x - np.linalg.solve(H.astype(float), g.astype(float))
    least, norms = value(mpmath.mpf(str(v)) for v in x), []

    def both(v):
        g = gradient("logistic", v, mu, columns)
        norms.append(np.linalg.norm(g))
        return float(value(v) - least), g

    minimize(both, np.zeros(N), jac=True, method="L-BFGS-B",
             options={"ftol": 0, "gtol": 1e-14, "maxcor": HISTORY, "maxiter": 1000, "maxfun": 1000})
    return next(i + 1 for i, norm in enumerate(norms) if norm <= 1e-12)


print(f"/* Made by lbfgs.py, PyTorch {torch.__version__.split('+')[0]}, scipy {scipy.__version__}. */")
print(f"enum {{ LBFGS_STEPS = {STEPS}, LBFGS_CHECKED = {len(CHECKED)} }};")
print(f"static const double lbfgs_lr = {LR}, lbfgs_mu = 0.125, lbfgs_scale = {SCALE};")
print(f"static const int lbfgs_checked[LBFGS_CHECKED] = {{{', '.join(map(str, CHECKED))}}};")
print("static const double lbfgs_points[2][LBFGS_CHECKED][OPTIMUM_N] = {")
room = []
for kind in ("squares", "logistic"):
    points, exact = by_torch(kind), by_two_loops(kind, np.longdouble)
    room.append(16 * max(float(np.abs(points - exact).max()), 2.0 ** -53 * np.abs(points).max()))
    assert room[-1] < 1e-10, room
    rows = ["     {" + ",\n      ".join(", ".join(repr(float(v)) for v in p[i:i + 5]) for i in (0, 5)) + "}"
            for p in points]
    print("    {" + ",\n".join(rows).lstrip() + "},")
print("};")
print(f"static const double lbfgs_room[2] = {{{', '.join(f'{r:.2g}' for r in room)}}};")
print("/* of scipy, on the samples without (0) and with (1) the factors of columns */")
print(f"static const double lbfgs_mus[] = {{{', '.join(map(str, MUS))}}};")
print("static const int lbfgs_evaluations[2][sizeof lbfgs_mus / sizeof *lbfgs_mus] = {")
for columns in (a, scaled):
    print("    {" + ", ".join(str(evaluations(mu, columns)) for mu in MUS) + "},")
print("};")
