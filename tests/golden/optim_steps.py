#!/usr/bin/env python3
"""Trajectories of sgd, adam, adamw and ema for tests/optim/rules/test_rules_numpy.c, computed in NumPy.

They follow the definitions of PyTorch (torch.optim.SGD, Adam, AdamW, with the same state). The average is
e = βe + (1-β)θ, from θ0 without bias correction, and from 0 with it. The gradients are given: random
numbers for three parameters of different shapes and scales.

The expected numbers are computed in float64. A second run in float32 (state, gradients and constants)
shows the effect of rounding alone. The tolerance for f32 is FACTOR times this effect, because another
order of the same operations rounds differently, and at least FLOOR. A distance is max |a - b| / max |b| over all steps
in CHECKED and one parameter, the worst of the three; the test measures in the same way.

    python optim_steps.py > optim_steps.h        (NumPy 2 or later)
"""
import math

import numpy as np

FACTOR, FLOOR = 16, 1e-6
STEPS, WARMUP, FINAL = 100, 10, 0.1
CHECKED = [1, 2, 3, 10, 11, 50, 100]
SHAPES = [(3, 4), (5,), ()]
SIZES = [math.prod(s) for s in SHAPES]
DIM = sum(SIZES)
PART = np.repeat(range(len(SIZES)), SIZES)  # which parameter an element belongs to

rng = np.random.default_rng(20251123)
# Exact in float32, so that both element types see the same problem.
X0 = rng.normal(size=DIM).astype(np.float32).astype(np.float64)
G = rng.normal(size=(STEPS, DIM)) * np.array([1, 1e-3, 100])[PART]
G[rng.random(G.shape) < 0.1] = 0
G[:, 4] = 0.25  # one that never changes, and
G[:20, 12] = 0  # one that is zero for a while
G = G.astype(np.float32).astype(np.float64)


def constant(t):
    return 1.0


def cosine(t):  # warm-up from 1/WARMUP to 1, then half a wave down to FINAL; t from 0
    if t < WARMUP:
        return (t + 1) / WARMUP
    return FINAL + (1 - FINAL) * 0.5 * (1 + math.cos(math.pi * (t - WARMUP) / (STEPS - WARMUP)))


def sgd(T, schedule, lr, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0):
    x, buf, path = X0.astype(T), None, []
    for t in range(STEPS):
        d = G[t].astype(T)
        if weight_decay:
            d = d + T(weight_decay) * x
        if momentum:
            buf = d.copy() if buf is None else T(momentum) * buf + T(1 - dampening) * d
            d = d + T(momentum) * buf if nesterov else buf
        x = x - T(lr * schedule(t)) * d
        path.append(x)
    return path


def adam(T, schedule, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0, decoupled=False):
    x, path = X0.astype(T), []
    m, v = np.zeros(DIM, T), np.zeros(DIM, T)
    for t in range(STEPS):
        now, g = lr * schedule(t), G[t].astype(T)
        if decoupled:
            x = x * T(1 - now * weight_decay)
        elif weight_decay:
            g = g + T(weight_decay) * x
        m = m + T(1 - beta1) * (g - m)
        v = T(beta2) * v + T(1 - beta2) * g * g
        correction1, correction2 = 1 - beta1 ** (t + 1), 1 - beta2 ** (t + 1)
        x = x - T(now / correction1) * m / (np.sqrt(v) / T(math.sqrt(correction2)) + T(eps))
        path.append(x)
    return path


def ema(T, path, decay, debias=False):
    e, out = np.zeros(DIM, T) if debias else X0.astype(T), []
    for t, x in enumerate(path):
        e = T(decay) * e + T(1 - decay) * x
        out.append(e / T(1 - decay ** (t + 1)) if debias else e)
    return out


CASES = [
    ("sgd lr=0.01", sgd, dict(lr=0.01)),
    ("sgd lr=0.01 momentum=0.9", sgd, dict(lr=0.01, momentum=0.9)),
    ("sgd lr=0.01 momentum=0.9 dampening=0.5", sgd, dict(lr=0.01, momentum=0.9, dampening=0.5)),
    ("sgd lr=0.01 momentum=0.9 nesterov", sgd, dict(lr=0.01, momentum=0.9, nesterov=True)),
    ("sgd lr=0.01 weight_decay=0.1", sgd, dict(lr=0.01, weight_decay=0.1)),
    ("sgd lr=0.02 momentum=0.8 nesterov=true weight_decay=0.05", sgd,
     dict(lr=0.02, momentum=0.8, nesterov=True, weight_decay=0.05)),
    ("adam lr=0.03", adam, dict(lr=0.03)),
    ("adam lr=0.01 beta1=0.8 beta2=0.95 eps=1e-4 weight_decay=0.1", adam,
     dict(lr=0.01, beta1=0.8, beta2=0.95, eps=1e-4, weight_decay=0.1)),
    ("adamw lr=0.03", adam, dict(lr=0.03, weight_decay=0.01, decoupled=True)),
    ("adamw lr=0.02 beta1=0.85 weight_decay=0.5", adam,
     dict(lr=0.02, beta1=0.85, weight_decay=0.5, decoupled=True)),
]
SCHEDULES = [("constant", constant), (f"cosine warmup={WARMUP} final={FINAL}", cosine)]
AVERAGES = [("ema decay=0.9", dict(decay=0.9)),
            ("ema decay=0.9 debias", dict(decay=0.9, debias=True)),
            ("ema debias=1", dict(decay=0.999, debias=True))]


def distance(path, exact):
    a, b = (np.array([p[t - 1] for t in CHECKED], np.float64) for p in (path, exact))
    return max(float(np.max(np.abs(a - b)[:, PART == p]) / np.max(np.abs(b[:, PART == p])))
               for p in range(len(SIZES)))


def numbers(values):
    lines, line = [], "        "
    for v in values:
        text = f"{v:.17g}, "
        if len(line) + len(text) > 100:
            lines.append(line.rstrip())
            line = "        "
        line += text
    return "\n".join(lines + [line.rstrip().rstrip(",")])


def table(rows):
    return "{\n" + ",\n".join("    {\n" + numbers(r) + "}" for r in rows) + "}"


def case(rule, schedule, average, exact, single):
    tolerance = max(FLOOR, FACTOR * distance(single, exact))
    print(f'    {{"{rule}",\n     "{schedule}", "{average}", {tolerance:.2g}, /* {FACTOR} × '
          f'{tolerance / FACTOR:.1e} */')
    print("     " + table([exact[t - 1] for t in CHECKED]) + "},")


def main():
    print("/* Made by optim_steps.py: do not edit. Trajectories from NumPy in float64; `tolerance` is\n"
          " * for f32, relative to a parameter's largest element: see there. */")
    print("#ifndef OPTIM_STEPS_GOLDEN_H\n#define OPTIM_STEPS_GOLDEN_H\n")
    print(f"enum {{ STEPS = {STEPS}, DIM = {DIM}, CHECKED = {len(CHECKED)} }};")
    print(f"static const int checked[CHECKED] = {{{', '.join(map(str, CHECKED))}}};")
    print("static const double start[DIM] = {\n" + numbers(X0) + "};")
    print("static const double gradient[STEPS][DIM] = " + table(G) + ";")
    print("typedef struct golden {\n    const char *rule, *schedule, *average;\n"
          "    double tolerance;\n    double point[CHECKED][DIM]; /* after step checked[i] */\n} golden;")
    print("static const golden goldens[] = {")
    for name, f, options in CASES:
        for schedule_name, schedule in SCHEDULES:
            case(name, schedule_name, "none", f(np.float64, schedule, **options),
                 f(np.float32, schedule, **options))
    for name, options in AVERAGES:
        _, f, rule_options = CASES[1]
        paths = [f(T, cosine, **rule_options) for T in (np.float64, np.float32)]
        case(CASES[1][0], SCHEDULES[1][0], name, ema(np.float64, paths[0], **options),
             ema(np.float32, paths[1], **options))
    print("};\n\n#endif")


main()
