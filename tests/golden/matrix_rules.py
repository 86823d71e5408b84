#!/usr/bin/env python3
"""100 steps of the matrix rules (shampoo, distributed_shampoo, caspr), for tests/optim/rules/test_matrix_rules.c:
golden/matrix_rules.h.

The references are NumPy code that follows the equations of the papers: whole arrays, explicit blocks, roots by
eigendecompositions (np.linalg.eigh), or by the coupled Newton iteration for caspr with root=newton. The script and the test draw the same
starting point and gradients. The parameters are a kernel of a convolution (stored [out,kh,kw,in], taken as
[out,in,kh,kw] by distributed_shampoo), matrices, a vector, a scalar, tensors with axes of length 1, a matrix whose
gradients have rank 1, and one whose gradient is 0 for 30 steps. rules_shared.py describes the numbers that are stored.

    python3 tests/golden/matrix_rules.py       (an environment with PyTorch 2 and NumPy 2)
"""
import math
import os
import sys

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
import numpy as np
from torch_shared import HERE, Stream, rounded

FACTOR, FLOOR = 16, 1e-6
STEPS, CHECKED = 100, [1, 40, 100]
# Name, shape, scale of its gradients.
PARAMS = [("conv", (3, 2, 2, 3), 1), ("wide", (4, 7), 2.0**-5), ("tall", (6, 2), 8), ("vector", (5,), 1), ("scalar", (), 1),
          ("kernel", (2, 1, 3), 1), ("flat", (1, 4), 1), ("rank_one", (4, 3), 1), ("late", (2, 3), 1)]
BOUNDS = np.cumsum([0] + [math.prod(shape) for _, shape, _ in PARAMS])


def draw():
    stream = Stream(71)
    x = np.array([rounded(stream.uniform(-1, 1)) for _ in range(BOUNDS[-1])])
    g = np.zeros((STEPS, BOUNDS[-1]))
    for t in range(STEPS):
        for p, (name, shape, scale) in enumerate(PARAMS):
            part = g[t, BOUNDS[p]:BOUNDS[p + 1]]
            u = np.array([rounded(stream.uniform(-1, 1)) for _ in part])
            if name == "rank_one":  # the first column and the first row of the numbers, times each other
                matrix = u.reshape(shape)
                u = np.array([rounded(v) for v in np.outer(matrix[:, 0], matrix[0]).reshape(-1)])
            part[:] = 0 if name == "late" and t < 30 else u * scale
    return x, g


X0, G = draw()


def split(vector, T):
    return [np.array(vector[a:b].reshape(p[1]), T) for a, b, p in zip(BOUNDS, BOUNDS[1:], PARAMS)]


# ---- Roots ----


def inverse_root(T, A, order, ridge):
    """(A - min(λ, 0) I + ridge I)^(-1/order)"""
    values, vectors = np.linalg.eigh(A)
    values = values - min(values.min(), T(0)) + T(ridge)
    return (vectors * values ** T(-1 / order)) @ vectors.T


def newton_root(T, A, ridge, iterations, tolerance):
    """(A + ridge λmax I)^(-1/2) by the coupled Newton iteration; None if its error stays above the tolerance."""
    n = len(A)
    P = A + T(ridge * np.linalg.eigvalsh(A).max()) * np.eye(n, dtype=T)
    z = T(3 / (2 * np.linalg.norm(P)))
    M, H = z * P, T(np.sqrt(z)) * np.eye(n, dtype=T)
    error = np.abs(M - np.eye(n)).max()
    for _ in range(iterations):
        if error <= 1e-6:
            break
        step = (T(3) * np.eye(n, dtype=T) - M) / T(2)
        next_M, next_H = step @ step @ M, H @ step
        next_error = np.abs(next_M - np.eye(n)).max()
        if next_error > 1.2 * error:
            break
        M, H, error = next_M, next_H, next_error
    return (H + H.T) / T(2) if error <= tolerance else None


# ---- When a block's roots are computed ----


def due(t, p, block, blocks, start, period, spread):
    if t <= start:
        return t == start
    if not spread:
        return t % period == 0
    phase = block * period // blocks + ((p * 40503 % 65536) * period >> 16)
    return (t - start + phase) % period == 0


# ---- The rules. Each gives step(t, p, x, g, state) → x for parameter p; t from 1 ----


def gram(G, k):
    """G_k G_kᵀ with mode k of G as rows."""
    rows = np.moveaxis(G, k, 0).reshape(G.shape[k], -1)
    return rows @ rows.T


def along(P, G, k):
    return np.moveaxis(np.tensordot(P, G, (1, k)), 0, k)


def singular_value(D):
    """A lower bound of the largest singular value: the longest row, and two steps of the power method."""
    x = D[np.argmax((D * D).sum(1))]
    for _ in range(2):
        for A in (D, D.T):
            x = A @ x / np.linalg.norm(x) if x.any() else np.zeros(len(A), D.dtype)
    assert np.linalg.norm(x) <= np.linalg.norm(D, 2) * (1 + 1e-5)
    return np.linalg.norm(x)


def shampoo(T, lr, beta=1.0, eps=1e-6, decay=0.0, momentum=0.0, max_dim=2048, period=1, spread=True):
    def step(t, p, x, g, s):
        shape = x.shape
        matrix = (shape[0], math.prod(shape[1:])) if len(shape) >= 2 else (math.prod(shape),)
        g = (g + T(decay) * x).reshape(matrix)
        order = 2 * g.ndim
        factors = s.setdefault("factors", [np.zeros((n, n), T) for n in matrix])
        roots = s.setdefault("roots", [None] * g.ndim)
        for k in range(g.ndim):
            new = gram(g, k)
            if matrix[k] > max_dim:
                new = np.diag(np.diag(new))
            factors[k] = factors[k] + new if beta == 1 else T(beta) * factors[k] + T(1 - beta) * new
            if due(t, p, 0, 1, 1, period, spread):
                roots[k] = inverse_root(T, factors[k], order, eps)
        d = g
        for k in range(g.ndim):
            d = along(roots[k], d, k)
        if not due(t, p, 0, 1, 1, period, spread):
            most = (1 if beta == 1 else (1 - beta) ** -0.5) * math.prod(n ** (0.5 / g.ndim) for n in matrix if n > max_dim)
            d = d * T(min(1, most / (singular_value(d.reshape(matrix[0] if g.ndim == 2 else 1, -1)) or 1)))
        d = d.reshape(shape)
        if momentum:
            d = s["m"] = T(momentum) * s.get("m", np.zeros_like(x)) + d
        return x - T(lr) * d
    return step


def merged(shape, most):
    """Without axes of length 1; merged from the left up to a product of `most`."""
    out = []
    for n in [n for n in shape if n != 1] or [1]:
        if out and out[-1] * n <= most:
            out[-1] *= n
        else:
            out.append(n)
    return out


def distributed(T, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=0.0, decoupled=True, momentum=0.0, nesterov=False,
                ema=False, nadam=False, grafting="adam", graft_beta2=0.999, graft_eps=1e-8, correct=True, block=1024,
                merge=True, period=100, start=100, spread=True):
    def one(t, p, index, blocks, x, g, s):
        if not decoupled:
            g = g + T(decay) * x
        factors = s.setdefault("factors", [np.zeros((n, n), T) for n in x.shape])
        roots = s.setdefault("roots", [None] * x.ndim)
        correction = 1 - beta2**t if correct and beta2 < 1 else 1
        for k in range(x.ndim):
            factors[k] = T(beta2) * factors[k] + T(1 if beta2 == 1 else 1 - beta2) * gram(g, k)
            if due(t, p, index, blocks, start, period, spread):
                roots[k] = inverse_root(T, factors[k] / T(correction), 2 * x.ndim, eps)
        m = s["m"] = T(beta1) * s.get("m", np.zeros_like(x)) + T(1 - beta1) * g
        m = T(beta1) * m + T(1 - beta1) * g if nadam else m
        m = m / T(1 - beta1**t) if correct else m
        v = s.get("v", np.zeros_like(x))
        v = s["v"] = v + g * g if grafting == "adagrad" else T(graft_beta2) * v + T(1 - graft_beta2) * g * g
        if grafting == "adam" and correct:
            v = v / T(1 - graft_beta2**t)
        graft = m / (np.sqrt(v) + T(graft_eps)) if grafting in ("adam", "rmsprop", "adagrad") else m
        d = graft
        if t >= start:
            d = m
            for k in range(x.ndim):
                d = along(roots[k], d, k)
            if grafting != "none":
                d = d * (np.linalg.norm(graft) / (np.linalg.norm(d) + T(1e-16)))
        if decoupled:
            d = d + T(decay) * x
        if momentum:
            part = T(1 - momentum if ema else 1)
            buffer = s["b"] = T(momentum) * s.get("b", np.zeros_like(x)) + part * d
            d = part * d + T(momentum) * buffer if nesterov else buffer
        return x - T(lr) * d

    def step(t, p, x, g, s):
        order = (0, 3, 1, 2) if PARAMS[p][0] == "conv" else tuple(range(x.ndim))
        at, there = x.transpose(order), g.transpose(order)
        shape = merged(at.shape, block if merge else 0)
        at, there = at.reshape(shape).copy(), there.reshape(shape)
        cuts = [range(0, n, block) for n in shape]
        parts = [[]]
        for c in cuts:
            parts = [part + [slice(i, i + block)] for part in parts for i in c]
        for index, part in enumerate(parts):
            part = tuple(part)
            at[part] = one(t, p, index, len(parts), at[part], there[part], s.setdefault(index, {}))
        return at.reshape([x.shape[i] for i in order]).transpose(np.argsort(order))
    return step


def caspr(T, lr, beta1=0.9, beta2=0.999, eps=1e-8, decay=1e-4, nesterov=True, ridge=1e-6, root="eigen", tolerance=0.1,
          iterations=100, block=1024, max_dim=40000, period=20, start=102, spread=True):
    def one(t, p, index, blocks, g, m, s):
        rows, columns = g.shape
        if not s:
            s.update(L=T(ridge) * np.eye(rows, dtype=T), R=np.eye(columns, dtype=T), P=np.eye(rows, dtype=T),
                     Q=np.eye(columns, dtype=T), of_P=T(ridge) * np.eye(rows, dtype=T))  # of_P: P is its root
        c = s.pop("c", T(1))
        weight = T(1 if beta2 == 1 else 1 - beta2)
        s["L"] = T(beta2) * s["L"] + weight * (g @ g.T)
        scaled = s["P"] @ g
        s["R"] = T(beta2) * c * s["R"] + weight / T(rows) * (scaled.T @ scaled)
        if due(t, p, index, blocks, 0, period, spread):
            for name, factor in (("P", "L"), ("Q", "R")):
                most = np.linalg.eigvalsh(s[factor]).max()
                new = (inverse_root(T, s[factor], 2, ridge * most) if root == "eigen" else
                       newton_root(T, s[factor], ridge, iterations, tolerance))
                if new is not None:
                    s[name] = new
                if new is not None and name == "P":
                    before = s["of_P"] + T(ridge * np.linalg.eigvalsh(s["of_P"]).max()) * np.eye(rows, dtype=T)
                    s["c"], s["of_P"] = T(max(0, np.trace(new @ before @ new) / rows)), s["L"]
        return s["P"] @ m @ s["Q"]

    def step(t, p, x, g, s):
        m = s["m"] = T(beta1) * s.get("m", np.zeros_like(x)) + T(1 - beta1) * g
        v = s["v"] = T(beta2) * s.get("v", np.zeros_like(x)) + T(1 if beta2 == 1 else 1 - beta2) * g * g
        m = (T(beta1) * m + T(1 - beta1) * g if nesterov else m) / T(1 - beta1**t)
        v = v if beta2 == 1 else v / T(1 - beta2**t)
        u = adam = m / (np.sqrt(v) + T(eps))
        shape = (x.shape[0], math.prod(x.shape[1:])) if x.ndim >= 2 else x.shape
        if len(shape) == 2 and max(shape) <= max_dim:
            u, g, m = np.zeros(shape, T), g.reshape(shape), m.reshape(shape)
            parts = [(slice(i, i + block), slice(j, j + block)) for i in range(0, shape[0], block)
                     for j in range(0, shape[1], block)]
            for index, part in enumerate(parts):
                u[part] = one(t, p, index, len(parts), g[part], m[part], s.setdefault(index, {}))
            norm = np.linalg.norm(u)
            u = u.reshape(x.shape) * (np.linalg.norm(adam) / norm if norm > 0 else T(0)) if t >= start else adam
        return x - T(lr) * (u + T(decay) * x)
    return step


# ---- swale's spec, and the reference ----

D, S, C = distributed, shampoo, caspr
CASES = [
    ("shampoo lr=0.05 eps=1e-4", S, dict(lr=0.05, eps=1e-4)),
    ("shampoo lr=0.1 eps=1e-3 beta=0.9 weight_decay=0.1 momentum=0.8",
     S, dict(lr=0.1, eps=1e-3, beta=0.9, decay=0.1, momentum=0.8)),
    ("shampoo lr=0.1 eps=1e-3 period=7 max_dim=4", S, dict(lr=0.1, eps=1e-3, period=7, max_dim=4)),
    ("shampoo lr=0.1 eps=1e-3 period=5 spread=false", S, dict(lr=0.1, eps=1e-3, period=5, spread=False)),
    ("distributed_shampoo lr=0.02 eps=1e-4 start=5 period=4", D, dict(lr=0.02, eps=1e-4, start=5, period=4)),
    ("distributed_shampoo lr=0.02 eps=1e-4 start=10 period=10 spread=false block=4 weight_decay=0.1 momentum=0.9 nesterov",
     D, dict(lr=0.02, eps=1e-4, start=10, period=10, spread=False, block=4, decay=0.1, momentum=0.9, nesterov=True)),
    ("distributed_shampoo lr=0.02 eps=1e-4 beta1=0.8 beta2=0.95 start=1 period=3 block=5 merge=false grafting_beta2=0.9 "
     "grafting_eps=1e-3",
     D, dict(lr=0.02, eps=1e-4, beta1=0.8, beta2=0.95, start=1, period=3, block=5, merge=False, graft_beta2=0.9,
             graft_eps=1e-3)),
    ("distributed_shampoo lr=0.1 eps=1e-2 beta2=1 start=1 period=1 grafting=none momentum=0.7",
     D, dict(lr=0.1, eps=1e-2, beta2=1, start=1, period=1, grafting="none", momentum=0.7)),
    ("distributed_shampoo lr=0.05 eps=1e-3 start=3 period=2 block=7 grafting=sgd beta1=0 decoupled=false weight_decay=0.2",
     D, dict(lr=0.05, eps=1e-3, start=3, period=2, block=7, grafting="sgd", beta1=0, decoupled=False, decay=0.2)),
    ("distributed_shampoo lr=0.05 eps=1e-3 start=3 period=2 grafting=adagrad nadam momentum=0.9 ema_momentum",
     D, dict(lr=0.05, eps=1e-3, start=3, period=2, grafting="adagrad", nadam=True, momentum=0.9, ema=True)),
    ("distributed_shampoo lr=0.02 eps=1e-3 start=3 period=2 grafting=rmsprop bias_correction=false momentum=0.5 "
     "ema_momentum nesterov",
     D, dict(lr=0.02, eps=1e-3, start=3, period=2, grafting="rmsprop", correct=False, momentum=0.5, ema=True,
             nesterov=True)),
    ("caspr lr=0.02 start=25", C, dict(lr=0.02, start=25)),
    ("caspr lr=0.02 beta1=0.8 beta2=0.9 eps=1e-3 weight_decay=0.1 nesterov=false ridge=1e-3 block=3 period=5 start=6",
     C, dict(lr=0.02, beta1=0.8, beta2=0.9, eps=1e-3, decay=0.1, nesterov=False, ridge=1e-3, block=3, period=5, start=6)),
    ("caspr lr=0.02 beta2=1 ridge=1e-4 root=newton max_dim=6 period=4 start=8 spread=false",
     C, dict(lr=0.02, beta2=1, ridge=1e-4, root="newton", max_dim=6, period=4, start=8, spread=False)),
    # Roots that need more than 7 iterations are refused, and the old ones stay.
    ("caspr lr=0.02 ridge=1e-3 root=newton iterations=7 tolerance=0.02 period=3 start=4",
     C, dict(lr=0.02, ridge=1e-3, root="newton", iterations=7, tolerance=0.02, period=3, start=4)),
]


def run(T, rule, options):
    step, x, path = rule(T, **options), split(X0, T), []
    states = [{} for _ in PARAMS]
    for t in range(STEPS):
        g = split(G[t], T)
        x = [step(t + 1, p, x[p], g[p], states[p]) for p in range(len(PARAMS))]
        path.append(np.concatenate([v.reshape(-1) for v in x]))
    return np.array(path)[[t - 1 for t in CHECKED]]


def distance(path, exact):
    apart = np.abs(path.astype(np.float64) - exact)
    return max(float(np.max(apart[:, i:j]) / np.max(np.abs(exact[:, i:j]))) for i, j in zip(BOUNDS, BOUNDS[1:]))


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
    for spec, rule, options in CASES:
        exact, single = run(np.float64, rule, options), run(np.float32, rule, options)
        assert exact.dtype == np.float64 and single.dtype == np.float32, spec
        assert np.all(np.isfinite(exact)), spec
        apart = distance(single, exact)
        print(f"{spec}: f32 {apart:.2g}, ends at {np.max(np.abs(exact[-1])):.3g}", file=sys.stderr)
        text.append(f'    {{"{spec}", {max(FLOOR, FACTOR * apart):.2g}, /* {FACTOR} × {apart:.1e} */\n'
                    "     (const double[]){\n" + digits(exact.reshape(-1)) + "\n     }},\n")
    head = f"""/* Made by matrix_rules.py with NumPy {np.__version__}: do not edit. */
#ifndef SWALE_MATRIX_RULES_GOLDEN_H
#define SWALE_MATRIX_RULES_GOLDEN_H

enum {{ MATRIX_STEPS = {STEPS}, MATRIX_CHECKED = {len(CHECKED)}, MATRIX_DIM = {BOUNDS[-1]} }};
static const int matrix_checked[MATRIX_CHECKED] = {{{', '.join(map(str, CHECKED))}}};

/* Rule, tolerance of f32, the parameters after the steps in matrix_checked. */
static const struct matrix_golden {{
    const char *rule;
    double tolerance;
    const double *points;
}} matrix_goldens[] = {{
"""
    path = os.path.join(HERE, "matrix_rules.h")
    with open(path, "w", encoding="utf-8") as file:
        file.write(head + "".join(text) + "};\n\n#endif\n")
    print(f"matrix_rules.h: {os.path.getsize(path) / 1000:.0f} kB", file=sys.stderr)


if __name__ == "__main__":
    write()
