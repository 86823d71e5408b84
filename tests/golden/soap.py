#!/usr/bin/env python3
"""100 steps of the rule soap, for tests/optim/rules/test_soap.c: golden/soap.h.

The reference is NumPy code that follows the equations of the paper and the authors' implementation: whole arrays, and
eigenvectors from np.linalg.eigh. The result of a step does not depend on the signs of eigenvectors, but on the basis of an
eigenspace of more than one dimension. Therefore the first parameters have gradients whose factors are not singular after
one step. The others (with FIXED bases in the table) begin with random orthogonal bases, which the test writes, too.
The script and the test draw the same numbers. rules_shared.py describes the numbers that are stored.

    python3 tests/golden/soap.py       (an environment with PyTorch 2 and NumPy 2)
"""
import math
import os
import sys

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
import numpy as np
from torch_shared import HERE, Stream, rounded

FACTOR, FLOOR = 16, 1e-6
STEPS, CHECKED = 100, [1, 2, 13, 100]
# Name, shape, scale of its gradients.
PARAMS = [("square", (4, 4), 1), ("cube", (2, 3, 4), 2.0**-7), ("conv", (3, 2, 2, 3), 16), ("vector", (5,), 1),
          ("scalar", (), 1), ("wide", (3, 5), 1), ("flat", (1, 4), 1), ("tall", (6, 2), 1)]
REGULAR = 5  # these have no singular factors
BOUNDS = np.cumsum([0] + [math.prod(shape) for _, shape, _ in PARAMS])


def draw():
    stream = Stream(83)
    x = np.array([rounded(stream.uniform(-1, 1)) for _ in range(BOUNDS[-1])])
    g = np.zeros((STEPS, BOUNDS[-1]))
    for t in range(STEPS):
        for p, (_, _, scale) in enumerate(PARAMS):
            for i in range(BOUNDS[p], BOUNDS[p + 1]):
                # Every coordinate has another mean size, so that the eigenvalues are far apart.
                g[t, i] = rounded(stream.uniform(-1, 1) * (1 + (i - BOUNDS[p]) % 3)) * scale
    return x, g


X0, G = draw()
ROTATIONS = Stream(97)


def rotation(n):
    """H2 H1 of two Householder reflections."""
    q = np.eye(n)
    for _ in range(2):
        u = np.array([ROTATIONS.uniform(-1, 1) for _ in range(n)])
        q = q - 2 / (u @ u) * np.outer(u, u @ q)
    return q


# One for each axis of each parameter; row i is vector i of the basis.
FIXED = [[rotation(n) if n > 1 else None for n in shape] for _, shape, _ in PARAMS]


def due(t, p, mode, modes, period, spread):
    """t from 0 at the first step."""
    if not spread:
        return t > 0 and t % period == 0
    phase = mode * period // modes + ((p * 40503 % 65536) * period >> 16)
    return t > 0 and (t + phase) % period == 0


def gram(G, k):
    rows = np.moveaxis(G, k, 0).reshape(G.shape[k], -1)
    return rows @ rows.T


def along(P, G, k):
    return np.moveaxis(np.tensordot(P, G, (1, k)), 0, k)


def soap(T, fixed, lr=3e-3, beta1=0.95, beta2=0.95, shampoo_beta=-1, eps=1e-8, decay=0.01, max_dim=10000,
         precondition_1d=False, period=10, spread=True):
    beta = shampoo_beta if shampoo_beta >= 0 else beta2

    def step(t, p, x, g, s):
        axes = [k for k, n in enumerate(x.shape) if 1 < n <= max_dim and (x.ndim > 1 or precondition_1d)]
        first = t == 1
        if first:
            s.update(m=np.zeros_like(x), v=np.zeros_like(x), L={k: T(0) for k in axes}, Q={})
        else:
            rotated = g
            for k in axes:
                rotated = along(s["Q"][k].T, rotated, k)
            s["m"] = T(beta1) * s["m"] + T(1 - beta1) * rotated
            s["v"] = T(beta2) * s["v"] + T(1 - beta2) * rotated * rotated
            d = s["m"] / (np.sqrt(s["v"]) + T(eps))
            for k in axes:
                d = along(s["Q"][k], d, k)
            n = t - 1
            x = x - T(lr * math.sqrt(1 - beta2**n) / (1 - beta1**n)) * d
            x = x * T(1 - lr * decay)
        for mode, k in enumerate(axes):
            L = s["L"][k] = T(beta) * s["L"][k] + T(1 - beta) * gram(g, k)
            if first:
                s["Q"][k] = FIXED[p][k].T.astype(T) if fixed else np.linalg.eigh(L)[1]
            elif due(t - 1, p, mode, len(axes), period, spread):
                Q = s["Q"][k]
                order = np.argsort(-np.diag(Q.T @ L @ Q), kind="stable")
                m = along(Q, s["m"], k)
                s["v"] = np.take(s["v"], order, k)
                s["Q"][k] = np.linalg.qr(L @ Q[:, order])[0]
                s["m"] = along(s["Q"][k].T, m, k)
        return x
    return step


CASES = [
    ("soap", False, dict()),
    ("soap lr=0.05 beta1=0.8 beta2=0.9 eps=1e-3 weight_decay=0.5 period=3",
     False, dict(lr=0.05, beta1=0.8, beta2=0.9, eps=1e-3, decay=0.5, period=3)),
    ("soap lr=0.05 shampoo_beta=0.7 period=7 spread=false weight_decay=0",
     False, dict(lr=0.05, shampoo_beta=0.7, period=7, spread=False, decay=0)),
    ("soap lr=0.05 beta1=0 period=1 max_dim=3", False, dict(lr=0.05, beta1=0, period=1, max_dim=3)),
    ("soap lr=0.05 period=6 spread=false precondition_1d", True,
     dict(lr=0.05, period=6, spread=False, precondition_1d=True)),
    ("soap lr=0.05 period=5 spread=false max_dim=4", True, dict(lr=0.05, period=5, spread=False, max_dim=4)),
]


def run(T, fixed, options):
    params = len(PARAMS) if fixed else REGULAR
    x = [np.array(X0[a:b].reshape(p[1]), T) for a, b, p in zip(BOUNDS, BOUNDS[1:], PARAMS[:params])]
    step, path, states = soap(T, fixed, **options), [], [{} for _ in range(params)]
    for t in range(STEPS):
        g = [np.array(G[t, BOUNDS[p]:BOUNDS[p + 1]].reshape(PARAMS[p][1]), T) for p in range(params)]
        x = [step(t + 1, p, x[p], g[p], states[p]) for p in range(params)]
        path.append(np.concatenate([v.reshape(-1) for v in x]))
    return np.array(path)[[t - 1 for t in CHECKED]]


def distance(path, exact):
    apart = np.abs(path.astype(np.float64) - exact)
    bounds = [b for b in BOUNDS if b <= exact.shape[1]]
    return max(float(np.max(apart[:, i:j]) / np.max(np.abs(exact[:, i:j]))) for i, j in zip(bounds, bounds[1:]))


def digits(values):
    lines, line = [], "       "
    for v in values:
        item = f" {v:.14g},"
        if len(line) + len(item) > 110:
            lines.append(line)
            line = "       "
        line += item
    return "\n".join(lines + [line])


def write():
    text = []
    for spec, fixed, options in CASES:
        exact, single = run(np.float64, fixed, options), run(np.float32, fixed, options)
        assert exact.dtype == np.float64 and single.dtype == np.float32, spec
        assert np.all(np.isfinite(exact)), spec
        apart = distance(single, exact)
        print(f"{spec}: f32 {apart:.2g}, ends at {np.max(np.abs(exact[-1])):.3g}", file=sys.stderr)
        text.append(f'    {{"{spec}", {str(fixed).lower()}, {max(FLOOR, FACTOR * apart):.2g}, /* {FACTOR} × {apart:.1e} */\n'
                    "     (const double[]){\n" + digits(exact.reshape(-1)) + "\n     }},\n")
    head = f"""/* Made by soap.py with NumPy {np.__version__}: do not edit. */
#ifndef SWALE_SOAP_GOLDEN_H
#define SWALE_SOAP_GOLDEN_H

enum {{ SOAP_STEPS = {STEPS}, SOAP_CHECKED = {len(CHECKED)}, SOAP_PARAMS = {len(PARAMS)}, SOAP_REGULAR = {REGULAR} }};
static const int soap_checked[SOAP_CHECKED] = {{{', '.join(map(str, CHECKED))}}};

/* Rule; whether the bases begin with given ones, otherwise there are only the first SOAP_REGULAR parameters; the tolerance
 * of f32; the parameters after the steps in soap_checked. */
static const struct soap_golden {{
    const char *rule;
    bool fixed;
    double tolerance;
    const double *points;
}} soap_goldens[] = {{
"""
    with open(os.path.join(HERE, "soap.h"), "w") as f:
        f.write(head + "".join(text) + "};\n\n#endif\n")


if __name__ == "__main__":
    write()
