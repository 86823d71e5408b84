#!/usr/bin/env python3
"""Trajectories of the prototype methods in tests/optim/test_prototypes_*.c, computed in NumPy.

They follow the equations of the papers named at each function, with gradients derived by hand and
random numbers from the definition of Philox. The code is independent of swale.

Each method runs three times: in 80-bit long double, which gives the expected numbers, and in
float64 and float32, whose distances from them are the effect of rounding alone. A tolerance is
FACTOR times this distance, because other orders of summation round differently, but at least FLOOR. A distance
is max |a - b| / max |b| over the vector, at the worst step.

    python prototypes.py > prototypes.h        (NumPy 2 or later)
"""
import sys

import numpy as np

FACTOR = 16
FLOOR = {np.float32: 1e-6, np.float64: 1e-13}

SAMPLES, INPUTS, HIDDEN, CLASSES = 12, 6, 5, 3
SEED, DRAW = 7, 1000  # of the objective's random numbers; step k of a run has draw DRAW + k
DROPOUT = 0.4

rng = np.random.default_rng(20240817)
X = rng.normal(size=(SAMPLES, INPUTS))
Y = rng.integers(0, CLASSES, size=SAMPLES)
COUNTS = [4, 4, 3, 4, 1, 4, 3, 4, 4, 4]
BATCHES = [rng.permutation(SAMPLES)[:4] for _ in COUNTS]
# One sample at a time, some of them again before all were seen.
VISITS = [3, 7, 3, 0, 11, 7, 5, 1, 3, 10, 0, 2, 9, 11, 4, 6]

# ---- Random numbers: Philox4x32-10 (Salmon et al., SC 2011) and swale's documented keys ---------

M64 = (1 << 64) - 1


def philox(key, counter):
    k0, k1 = key & 0xFFFFFFFF, key >> 32
    c0, c1, c2, c3 = counter
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1 = (p1 >> 32) ^ c1 ^ k0, p1 & 0xFFFFFFFF
        c2, c3 = (p0 >> 32) ^ c3 ^ k1, p0 & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


# Known-answer vector of Random123: philox4x32-10 of pi's digits.
assert philox(0x299F31D0A4093822, (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)) == (
    0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)


def mix(z):  # splitmix64
    z = (z + 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def rng_key(seed, site):
    h = 0xCBF29CE484222325
    for c in site.encode():
        h = ((h ^ c) * 0x100000001B3) & M64
    return mix(mix(seed) ^ h)


def uniform(key):  # the first number of a stream
    high, low, _, _ = philox(key, (0, 0, 0, 0))
    return ((high << 32 | low) >> 11) * 2.0**-53


def dropout_mask(seed, draw, site, call, ids, length, p):
    """1 where kept. Element i of a row is word i%64//16 of counter i//64·16 + i%16."""
    key = mix(mix(mix(mix(seed) ^ draw) ^ site) ^ call)
    threshold = int(p * 4294967296.0)
    mask = np.ones((len(ids), length))
    for row, sample in enumerate(int(i) for i in ids):
        for i in range(length):
            block = philox(key, (i // 64 * 16 + i % 16, sample & 0xFFFFFFFF, sample >> 32, 1))
            mask[row, i] = block[i % 64 // 16] >= threshold
    return mask


# ---- Objectives, gradients by hand -------------------------------------------------------------


def unpack(x, sizes):
    layers, at = [], 0
    for i, o in zip(sizes, sizes[1:]):
        layers.append((x[at:at + i * o].reshape(o, i), x[at + i * o:at + i * o + o]))
        at += i * o + o
    assert at == len(x)
    return layers


def cross_entropy(z, y):
    z = z - z.max(axis=1, keepdims=True)
    logp = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
    rows = np.arange(len(y))
    dz = np.exp(logp)
    dz[rows, y] -= 1
    return -logp[rows, y].mean(), dz / len(y)


def mlp(x, sizes, ids, mask=None, p=0.0):
    """Mean cross-entropy of a tanh network and its gradient; a mask drops hidden units."""
    layers, T = unpack(x, sizes), x.dtype.type
    a = [X[ids].astype(T)]
    for W, b in layers[:-1]:
        a.append(np.tanh(a[-1] @ W.T + b))
    last = a[-1] if mask is None else a[-1] * mask.astype(T) * T(1 / (1 - p))
    W, b = layers[-1]
    value, dz = cross_entropy(last @ W.T + b, Y[ids])
    parts = [dz.T @ last, dz.sum(axis=0)]
    da = dz @ W if mask is None else dz @ W * mask.astype(T) * T(1 / (1 - p))
    for layer in range(len(layers) - 2, -1, -1):
        dh = da * (1 - a[layer + 1] ** 2)
        parts = [dh.T @ a[layer], dh.sum(axis=0)] + parts
        da = dh @ layers[layer][0]
    return value, np.concatenate([part.ravel() for part in parts])


def start_of(sizes, seed):
    r = np.random.default_rng(seed)
    parts = []
    for i, o in zip(sizes, sizes[1:]):
        parts += [r.normal(size=i * o) / np.sqrt(i), 0.1 * r.normal(size=o)]
    return np.concatenate(parts)


def check_gradient(f, x, tolerance=1e-7):
    _, g = f(x)
    for k in range(len(x)):
        e = np.zeros_like(x)
        e[k] = 1e-6
        assert abs((f(x + e)[0] - f(x - e)[0]) / 2e-6 - g[k]) < tolerance


NET = (INPUTS, HIDDEN, CLASSES)
DEEP = (INPUTS, 4, HIDDEN, CLASSES)  # a wide hidden matrix [4, 6] and a tall one [5, 4]
NET_X0, DEEP_X0 = start_of(NET, 1), start_of(DEEP, 2)
ALL = np.arange(SAMPLES)


def batch(k):
    return BATCHES[k][:COUNTS[k]]


# ---- Update rules -------------------------------------------------------------------------------


class AdamW:
    def __init__(self, lr, beta1, beta2, eps, decay):
        self.o, self.t, self.m, self.v = (lr, beta1, beta2, eps, decay), 0, 0, 0

    def step(self, x, g):
        lr, b1, b2, eps, decay = self.o
        self.t += 1
        self.m = b1 * self.m + (1 - b1) * g
        self.v = b2 * self.v + (1 - b2) * g * g
        x = x * (1 - lr * decay)
        denominator = np.sqrt(self.v) / x.dtype.type((1 - b2**self.t) ** 0.5) + eps
        return x - lr / (1 - b1**self.t) * self.m / denominator


class Muon:
    """Jordan 2024: Nesterov momentum, then 5 Newton-Schulz iterations towards U Vᵀ."""

    def __init__(self, lr, momentum, decay):
        self.o, self.m = (lr, momentum, decay), 0

    def step(self, w, g):
        lr, momentum, decay = self.o
        self.m = self.m + (1 - momentum) * (g - self.m)
        u = g + momentum * (self.m - g)
        x = u / (np.sqrt((u * u).sum()) + 1e-7)
        tall = x.shape[0] > x.shape[1]
        x = x.T if tall else x
        for _ in range(5):
            a = x @ x.T
            x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
        x = x.T if tall else x
        scale = max(1.0, w.shape[0] / w.shape[1]) ** 0.5
        return w * (1 - lr * decay) - lr * scale * x


# ---- The prototypes -----------------------------------------------------------------------------


def sam(T):
    """SAM, p = 2 (Foret et al., ICLR 2021), over Muon on hidden matrices and AdamW on the rest."""
    x, rho, path = DEEP_X0.astype(T), 0.05, []
    first, second = slice(0, 24), slice(28, 48)  # the hidden matrices
    rest = np.ones(len(x), bool)
    rest[first] = rest[second] = False
    muon = [Muon(0.02, 0.95, 0.1), Muon(0.02, 0.95, 0.1)]
    adam = AdamW(0.01, 0.9, 0.95, 1e-10, 0.05)
    for k in range(6):
        _, g = mlp(x, DEEP, batch(k))
        _, g = mlp(x + rho * g / np.sqrt((g * g).sum()), DEEP, batch(k))
        new = x.copy()
        new[first] = muon[0].step(x[first].reshape(4, 6), g[first].reshape(4, 6)).ravel()
        new[second] = muon[1].step(x[second].reshape(5, 4), g[second].reshape(5, 4)).ravel()
        new[rest] = adam.step(x[rest], g[rest])
        x = new
        path.append(x)
    return {"x": path}


def svrg(T):
    """SVRG (Johnson, Zhang, NIPS 2013) every 3 steps, dropout by the step's draw, SGD."""
    site = rng_key(1, "dropout1")  # the model's seed is 1
    x, path, estimates, masks = NET_X0.astype(T), [], [], []

    def loss(w, ids, k):
        mask = dropout_mask(SEED, DRAW + k, site, 0, ids, HIDDEN, DROPOUT)
        return mlp(w, NET, ids, mask, DROPOUT)[1], mask

    for k in range(7):
        if k % 3 == 0:
            snapshot = x
            full, _ = loss(snapshot, ALL, k)
        here, mask = loss(x, batch(k), k)
        there, _ = loss(snapshot, batch(k), k)
        g = here - there + full
        x = x - 0.2 * g
        path.append(x)
        estimates.append(g)
        masks.append(np.concatenate([mask.ravel(), np.zeros(4 * HIDDEN - mask.size)]))
    return {"x": path, "g": estimates, "mask": masks}


def sag(T):
    """SAG (Schmidt, Le Roux, Bach 2013), θ −= η (λθ + d/m), m the samples seen so far."""
    dim = CLASSES * (INPUTS + 1)
    x, table, seen = (0.3 * start_of((INPUTS, CLASSES), 3)).astype(T), {}, set()
    d, path, start = np.zeros(dim, T), [], None
    start = x
    for i in VISITS:
        W, b = unpack(x, (INPUTS, CLASSES))[0]
        a = X[[i]].astype(T)
        _, s = cross_entropy(a @ W.T + b, Y[[i]])
        g = np.concatenate([(s.T @ a).ravel(), s.ravel()])
        d = d + g - table.get(i, 0)
        table[i] = g
        seen.add(i)
        x = x - 0.5 * (0.01 * x + d / len(seen))
        path.append(x)
    return {"x0": [start], "x": path, "d": [d]}


def prodigy(T):
    """Prodigy (Mishchenko, Defazio, ICML 2024): one d for two groups; decay on matrices alone."""
    b1, b2, eps, d0 = 0.9, 0.999, 1e-8, 1e-6
    x = x0 = NET_X0.astype(T)
    decay = np.full(len(x), 0.01)
    decay[30:35] = decay[50:53] = 0
    decay = decay.astype(T)
    m = v = s = np.zeros_like(x)
    d = d_max = d0 = T(d0)
    num, path, ds = T(0), [], []
    for k in range(9):
        _, g = mlp(x, NET, batch(k))
        dlr = d * T(1.0)
        num = T(b2**0.5) * num + (d / d0) * dlr * (g * (x0 - x)).sum()
        m = b1 * m + (1 - b1) * d * g
        v = b2 * v + (1 - b2) * d * d * g * g
        s = b2**0.5 * s + (d / d0) * dlr * g
        d_hat = num / np.abs(s).sum()
        d_max = max(d_max, d_hat)
        d_new = d_max  # growth is not limited
        x = x * (1 - decay * dlr) - dlr * m / (np.sqrt(v) + d_new * T(eps))
        d = d_new
        path.append(x)
        ds.append(np.array([d]))
    return {"x": path, "d": ds}


def schedule_free(T):
    """Schedule-Free AdamW (Defazio et al. 2024); the model holds y, evaluation is at x."""
    lr, b1, b2, eps, decay, warmup = 0.05, 0.9, 0.999, 1e-8, 0.02, 3
    y = z = NET_X0.astype(T)
    v, total, lr_max, path, points = np.zeros_like(y), 0.0, 0.0, [], []
    for k in range(1, 7):
        _, g = mlp(y, NET, batch(k - 1))
        v = b2 * v + (1 - b2) * g * g
        u = g / (np.sqrt(v / (1 - b2**k)) + eps) + decay * y
        gamma = lr * min(1.0, k / warmup)
        lr_max = max(lr_max, gamma)
        total += lr_max**2
        c = lr_max**2 / total
        y = y + c * (z - y) + gamma * (b1 * (1 - c) - 1) * u
        z = z - gamma * u
        path.append(y)
        points.append(y + (1 - 1 / b1) * (z - y))
    return {"x": path, "point": points}


def strong_wolfe(phi, f0, s0, a, c1=1e-4, c2=0.9):
    """Nocedal, Wright, Numerical Optimization, algorithms 3.5 and 3.6, bisecting."""

    def zoom(lo, f_lo, hi):
        while True:
            a = (lo + hi) / 2
            f, s = phi(a)
            if f > f0 + c1 * a * s0 or f >= f_lo:
                hi = a
            else:
                if abs(s) <= -c2 * s0:
                    return a
                if s * (hi - lo) >= 0:
                    hi = lo
                lo, f_lo = a, f

    before, f_before = 0.0, f0
    while True:
        f, s = phi(a)
        if f > f0 + c1 * a * s0 or (before > 0 and f >= f_before):
            return zoom(before, f_before, a)
        if abs(s) <= -c2 * s0:
            return a
        if s >= 0:
            return zoom(a, f, before)
        before, f_before, a = a, f, 2 * a


def wolfe(T):
    """Steepest descent on all samples; the first guess is 3 times the step accepted last."""
    x, a, path, steps, trials = NET_X0.astype(T), 0.05, [], [], []
    for k in range(6):
        f0, g = mlp(x, NET, ALL)
        count = [0]

        def phi(alpha):
            count[0] += 1
            f, there = mlp(x - T(alpha) * g, NET, ALL)
            return f, -(there * g).sum()

        guess = a if k == 0 else 3 * a
        a = strong_wolfe(phi, f0, -(g * g).sum(), guess)
        x = x - T(a) * g
        path.append(x)
        steps.append(np.array([a]))
        trials.append(np.array([count[0]]))
    return {"x": path, "alpha": steps, "trials": trials}


ENDS = [start_of(NET, 4), start_of(NET, 5)]
BEND0 = 0.5 * (ENDS[0] + ENDS[1]) + 0.1 * start_of(NET, 6)


def bezier(T):
    """Garipov et al., NeurIPS 2018: φ(t) = (1−t)² w1 + 2t(1−t) θ + t² w2, Adam on θ."""
    w1, w2, theta = ENDS[0].astype(T), ENDS[1].astype(T), BEND0.astype(T)
    adam, path, ts = AdamW(0.05, 0.9, 0.999, 1e-8, 0), [], []
    for k in range(6):
        t = uniform(rng_key(DRAW + k, "bezier"))
        phi = (1 - t) ** 2 * w1 + 2 * t * (1 - t) * theta + t**2 * w2
        _, g = mlp(phi, NET, batch(k))
        g = 2 * t * (1 - t) * g
        theta = adam.step(theta, g)
        path.append(theta)
        ts.append(np.array([t]))
    return {"x": path, "t": ts}


NOISE, PLANE, UNITS, ROUNDS = 2, 2, 4, 6
GAN_SIZES = (2, UNITS, 2), (2, UNITS, 1)
GAN_X0 = start_of(GAN_SIZES[0], 8), start_of(GAN_SIZES[1], 9)
REAL = rng.normal(size=(ROUNDS, 4, PLANE)) * [0.5, 0.2] + [1.0, -0.5]
LATENT = rng.normal(size=(ROUNDS, 2, 4, NOISE))  # one for the discriminator's turn, one for G's


def two_layers(x, sizes, a):
    (W1, b1), (W2, b2) = unpack(x, sizes)
    h = np.tanh(a @ W1.T + b1)

    def back(dz):
        dh = dz @ W2 * (1 - h**2)
        return np.concatenate([(dh.T @ a).ravel(), dh.sum(axis=0), (dz.T @ h).ravel(),
                               dz.sum(axis=0)]), dh @ W1

    return h @ W2.T + b2, back


def bce(z, y):
    value = np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))
    return value.mean(), (1 / (1 + np.exp(-z)) - y) / z.size


def discriminator_loss(d, g, real, latent):
    fake, _ = two_layers(g, GAN_SIZES[0], latent)
    z1, back1 = two_layers(d, GAN_SIZES[1], real)
    z0, back0 = two_layers(d, GAN_SIZES[1], fake)
    v1, dz1 = bce(z1, 1)
    v0, dz0 = bce(z0, 0)
    return v1 + v0, back1(dz1)[0] + back0(dz0)[0]


def generator_loss(g, d, latent):
    fake, back_g = two_layers(g, GAN_SIZES[0], latent)
    z, back_d = two_layers(d, GAN_SIZES[1], fake)
    value, dz = bce(z, 1)
    return value, back_g(back_d(dz)[1])[0]


def gan(T):
    """Goodfellow et al., NeurIPS 2014, non-saturating; the discriminator moves first."""
    g, d = (x.astype(T) for x in GAN_X0)
    adam_g, adam_d = AdamW(0.03, 0.5, 0.999, 1e-8, 0), AdamW(0.05, 0.9, 0.999, 1e-8, 0)
    path_g, path_d = [], []
    for k in range(ROUNDS):
        d = adam_d.step(d, discriminator_loss(d, g, REAL[k].astype(T), LATENT[k, 0].astype(T))[1])
        g = adam_g.step(g, generator_loss(g, d, LATENT[k, 1].astype(T))[1])
        path_d.append(d)
        path_g.append(g)
    return {"generator": path_g, "discriminator": path_d}


# ---- Checks of the gradients above, and the header ----------------------------------------------

check_gradient(lambda x: mlp(x, NET, ALL), NET_X0)
check_gradient(lambda x: mlp(x, DEEP, batch(0)), DEEP_X0)
some = np.array([[1.0, 0, 1, 1, 0]] * 4)
check_gradient(lambda x: mlp(x, NET, batch(0), some, 0.4), NET_X0)
check_gradient(lambda d: discriminator_loss(d, GAN_X0[0], REAL[0], LATENT[0, 0]), GAN_X0[1])
check_gradient(lambda g: generator_loss(g, GAN_X0[1], LATENT[0, 1]), GAN_X0[0])


def distance(a, b):
    return max(float(np.abs(p.astype(np.longdouble) - q).max() / (np.abs(q).max() or 1))
               for p, q in zip(a, b))


def rows(name, values, kind="double"):
    values = np.atleast_1d(np.asarray(values))
    shape = "".join(f"[{n}]" for n in values.shape)
    text = "%.17g" if kind == "double" else "%d"
    flat = [text % (float(v) if kind == "double" else int(v)) for v in values.ravel()]
    lines, line = [], "   "
    for item in flat:
        if len(line) + len(item) + 2 > 99:
            lines.append(line)
            line = "   "
        line += f" {item},"
    body = "\n".join(lines + [line])
    if values.ndim > 1:  # brackets for each row, so that -Wmissing-braces is content
        inner = values.shape[-1]
        body = ""
        for first in range(0, len(flat), inner):
            line = "    {"
            for item in flat[first:first + inner]:
                if len(line) + len(item) + 2 > 99:
                    body += line.rstrip() + "\n"
                    line = "     "
                line += item + ", "
            body += line[:-2] + "},\n"
        if values.ndim == 3:
            group, pieces = values.shape[1], body.split("},\n")[:-1]
            body = "".join("    {\n" + "".join(p + "},\n" for p in pieces[i:i + group]) + "    },\n"
                           for i in range(0, len(pieces), group))
        body = body.rstrip("\n")
    print(f"static const {kind} {name}{shape} = {{\n{body}}};")


def main():
    print("/* Made by prototypes.py: do not edit. Expected trajectories of the prototype methods,\n"
          " * from NumPy in long double. NAME_tolerance[type] is for f32 and f64, relative to the\n"
          " * largest element: see prototypes.py. */\n"
          "#ifndef PROTOTYPES_GOLDEN_H\n#define PROTOTYPES_GOLDEN_H\n\n#include <stdint.h>\n\n"
          "/* Tests differ in what they use. */\n"
          "#pragma GCC diagnostic push\n"
          "#pragma GCC diagnostic ignored \"-Wunused-const-variable\"\n"
          "#if defined(__GNUC__)\n#pragma GCC diagnostic ignored \"-Wunused-variable\"\n#endif\n")
    print(f"enum {{ SAMPLES = {SAMPLES}, INPUTS = {INPUTS}, HIDDEN = {HIDDEN}, "
          f"CLASSES = {CLASSES}, SEED = {SEED}, DRAW = {DRAW},\n"
          f"       NET_DIM = {len(NET_X0)}, DEEP_DIM = {len(DEEP_X0)}, VISITS = {len(VISITS)}, "
          f"ROUNDS = {ROUNDS} }};")
    rows("sample_x", X)
    rows("sample_y", Y, "int32_t")
    rows("batch_ids", BATCHES, "int64_t")
    rows("batch_count", COUNTS, "int64_t")
    rows("visit_ids", VISITS, "int64_t")
    rows("net_x0", NET_X0)
    rows("deep_x0", DEEP_X0)
    rows("bezier_ends", ENDS)
    rows("bezier_x0", BEND0)
    rows("generator_x0", GAN_X0[0])
    rows("discriminator_x0", GAN_X0[1])
    rows("real", REAL.reshape(ROUNDS, -1))
    rows("latent", LATENT.reshape(2 * ROUNDS, -1))
    for method in sam, svrg, sag, prodigy, schedule_free, wolfe, bezier, gan:
        exact, double, single = method(np.longdouble), method(np.float64), method(np.float32)
        name = method.__name__
        print(f"\n/* {method.__doc__.splitlines()[0]} */")
        for key, values in exact.items():
            kind = "int8_t" if key == "mask" else "int" if key == "trials" else "double"
            values = np.array([v.astype(np.float64) for v in values])
            rows(f"{name}_{key}", values.ravel() if values.shape[1] == 1 or len(values) == 1
                 else values, kind)
            if key in ("x0", "mask", "t", "trials"):
                continue
            drift = {T: distance(run[key], exact[key])
                     for T, run in ((np.float32, single), (np.float64, double))}
            tolerance = {T: max(FLOOR[T], FACTOR * drift[T]) for T in drift}
            print(f"/* rounding alone: {drift[np.float32]:.1e} in float32, "
                  f"{drift[np.float64]:.1e} in float64 */")
            print(f"static const double {name}_{key}_tolerance[2] = {{{tolerance[np.float32]:.2g}, "
                  f"{tolerance[np.float64]:.2g}}};")
            print(name, key, {T.__name__: f"{d:.1e}" for T, d in drift.items()}, file=sys.stderr)
        if "trials" in exact:
            print(f"{name} alpha", [float(v[0]) for v in exact["alpha"]], "trials",
                  [int(v[0]) for v in exact["trials"]], [int(v[0]) for v in single["trials"]],
                  file=sys.stderr)
    print("\n#pragma GCC diagnostic pop\n#endif")


if __name__ == "__main__":
    main()
