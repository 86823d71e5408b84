#!/usr/bin/env python3
"""100 steps of every elementwise rule, for tests/optim/rules/test_rules_golden.c: golden/rules.h.

The reference of a rule is torch.optim or optax if they have the method in this form, else NumPy code that follows the
equations of the paper, with the same order of operations. Parameters are one-dimensional, tall, wide and a scalar. The
script and the test draw the same starting point and gradients: of different scales, with zeros, with one element whose
gradient never changes, and one whose gradient is 0 for 20 steps. The learning rate warms up, and then decreases as half
a cosine. rules_shared.py describes the numbers that are stored.

    python3 tests/golden/rules.py       (an environment with PyTorch 2, optax, schedulefree, prodigyopt and NumPy 2)
"""
import math
import sys
from importlib.metadata import version

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
import jax

jax.config.update("jax_enable_x64", True)
import jax.numpy as jnp
import numpy as np
import optax
import prodigyopt
import schedulefree
import torch
from rules_shared import BOUNDS, CHECKED, G, PARAMS, STEPS, X0, by_numpy, factor, split, write

# ---- Who is asked. Each gives the path [STEPS, dim] in element type T ----

def by_torch(make, lr, asked="PyTorch", **options):
    def run(T):
        dtype = torch.float64 if T is np.float64 else torch.float32
        x = [torch.tensor(v, dtype=dtype).requires_grad_() for v in split(X0)]
        optimizer, path = make(x, lr=lr, **options), []
        if asked == "schedulefree":
            optimizer.train()
        for t in range(STEPS):
            for group in optimizer.param_groups:
                group["lr"] = lr * factor(t)
            for p, g in zip(x, split(G[t])):
                p.grad = torch.tensor(g, dtype=dtype)
            optimizer.step()
            path.append(np.concatenate([p.detach().numpy().reshape(-1) for p in x]))
        return np.array(path)
    run.asked = asked
    return run


def by_schedulefree(make, lr, **options):
    """The path is that of y, the point of training."""
    return by_torch(make, lr, asked="schedulefree", **options)


def by_prodigyopt(**options):
    return by_torch(prodigyopt.Prodigy, 1, asked="prodigyopt", **options)


def by_optax(make, lr, **options):
    def run(T):
        x = [jnp.array(v, T) for v in split(X0)]
        rule, path = make(lambda count: lr * factor(int(count)), **options), []
        state = rule.init(x)
        for t in range(STEPS):
            step, state = rule.update([jnp.array(g, T) for g in split(G[t])], state, x)
            x = optax.apply_updates(x, step)
            path.append(np.concatenate([np.asarray(p).reshape(-1) for p in x]))
        return np.array(path)
    run.asked = "optax"
    return run


# ---- From the equations ----

def zeros(state, name, x):
    return state.get(name, np.zeros_like(x))


def over_root(T, v, eps, inside, p=2):
    root = np.sqrt if p == 2 else lambda y: y ** T(1 / p)
    return root(v + T(eps)) if inside else root(v) + T(eps)


def moments(T, x, g, s, beta1, beta2):
    s["m"] = T(beta1) * zeros(s, "m", x) + T(1 - beta1) * g
    s["v"] = T(beta2) * zeros(s, "v", x) + T(1 - beta2) * g * g
    return s["m"], s["v"]


def nadamw(T, beta1=0.9, beta2=0.999, eps=1e-8, inside=False, decay=0.01, p=2, nesterov=True, plain=False):
    """AlgoPerf's NadamW, NadamP (p) and Generalized Adam (nesterov, plain)."""
    def step(t, lr, _, x, g, s):
        if plain:
            s["buf"] = g + T(beta1) * zeros(s, "buf", x)
            direction = g + T(beta1) * s["buf"] if nesterov else s["buf"]
        else:
            m, v = moments(T, x, g, s, beta1, beta2)
            if nesterov:
                m = (T(beta1) * m + T(1 - beta1) * g) / T(1 - beta1**t)
            direction = m / over_root(T, v / T(1 - beta2**t), eps, inside, p)
        return x - T(lr) * (direction + T(decay) * x)
    return step


def amsgrad(T, eps, inside, beta2):
    def step(t, lr, _, x, g, s):
        m, v = moments(T, x, g, s, 0.9, beta2)
        s["max"] = np.maximum(zeros(s, "max", x), v)
        return x - T(lr / (1 - 0.9**t)) * m / over_root(T, s["max"] / T(1 - beta2**t), eps, inside)
    return step


def nadam(T, eps, beta1=0.9, beta2=0.999):
    """Dozat's, ε inside."""
    def mu(t):
        return beta1 * (1 - 0.5 * 0.96 ** (t * 0.004))

    def step(t, lr, _, x, g, s):
        m, v = moments(T, x, g, s, beta1, beta2)
        s["product"] = s.get("product", 1) * mu(t)
        look = T((1 - mu(t)) / (1 - s["product"])) * g + T(mu(t + 1) / (1 - s["product"] * mu(t + 1))) * m
        return x - T(lr) * look / np.sqrt(v / T(1 - beta2**t) + T(eps))
    return step


def radam(T, eps, beta1=0.9, beta2=0.999):
    """ε inside, beside v without correction: as torch has it outside, beside √v."""
    def step(t, lr, _, x, g, s):
        m, v = moments(T, x, g, s, beta1, beta2)
        most = 2 / (1 - beta2) - 1
        rho = most - 2 * t * beta2**t / (1 - beta2**t)
        if rho <= 5:
            return x - T(lr) * m / T(1 - beta1**t)
        r = math.sqrt((rho - 4) * (rho - 2) * most / ((most - 4) * (most - 2) * rho))
        return x - T(lr * r * math.sqrt(1 - beta2**t)) * (m / T(1 - beta1**t)) / np.sqrt(v + T(eps))
    return step


def rmsprop(T, alpha, eps, momentum):
    """Centered, ε inside, η outside the buffer (optax has it inside)."""
    def step(t, lr, _, x, g, s):
        s["v"] = T(alpha) * zeros(s, "v", x) + T(1 - alpha) * g * g
        s["mean"] = T(alpha) * zeros(s, "mean", x) + T(1 - alpha) * g
        s["buf"] = T(momentum) * zeros(s, "buf", x) + g / np.sqrt(s["v"] - s["mean"] ** 2 + T(eps))
        return x - T(lr) * s["buf"]
    return step


def adadelta(T, rho, eps):
    """ε outside."""
    def step(t, lr, _, x, g, s):
        s["v"] = T(rho) * zeros(s, "v", x) + T(1 - rho) * g * g
        d = (np.sqrt(zeros(s, "a", x)) + T(eps)) / (np.sqrt(s["v"]) + T(eps)) * g
        s["a"] = T(rho) * zeros(s, "a", x) + T(1 - rho) * d * d
        return x - T(lr) * d
    return step


def nag_gs(T, mu, gamma):
    """Leplat et al. 2022; the order of the steps is that of the authors' code."""
    def step(t, alpha, _, x, g, s):
        now, v = s.get("gamma", gamma), s.get("v", x)
        if t > 1:
            v = (T(now) * v + T(alpha * mu) * x - T(alpha) * g) / T(alpha * mu + now)
        s["v"], s["gamma"] = v, (alpha * mu + now) / (1 + alpha)
        return x + (v - x) * T(alpha / (1 + alpha))
    return step


def amos(T, beta=0.999, momentum=0.0, extra=0.0, c=0.25, d=0.25, scale=None):
    """Tian, Parikh 2022: one v and b for a row, for all of a vector. Weights are [out, in]."""
    kind = {"weight": 2, "head": 1, "bias": 0.5, "other": 1, **(scale or {})}

    def step(t, xi, p, x, g, s):
        role = PARAMS[p][3]
        eta = math.sqrt(kind[role] / x.shape[1]) if role in ("weight", "head") else kind[role]
        axes = tuple(range(1, x.ndim)) if x.ndim >= 2 else None
        g2 = np.mean(g.astype(np.float64) ** 2, axis=axes, keepdims=True)
        v = s["v"] = beta * s.get("v", 0) + (1 - beta) * g2
        b = s.get("b", np.zeros_like(g2))
        r = (1 - beta**t) / np.maximum(v, 2.0**-125)
        gamma = (1 + c * math.sqrt(xi) * b) ** -0.5 * xi**2 * r * g2
        shrink = 1 / (1 + d * math.sqrt(xi * eta) * b)
        s["b"] = b + gamma * (1 + b)
        step = -(T(1) * (shrink * (gamma / 2 + extra)).astype(T) * x +
                 (shrink * xi * eta * np.sqrt(r)).astype(T) * g)
        if momentum:
            step = s["m"] = T(momentum) * zeros(s, "m", x) + T(1 - momentum) * step
        return x + step
    return step


def orthogonalized(T, u, steps, coefficients, eps):
    """Newton-Schulz iterations (Jordan 2024)."""
    a, b, c = (T(v) for v in coefficients)
    X = u.T if u.shape[0] > u.shape[1] else u
    X = X / (np.sqrt(np.sum(X * X)) + T(eps))
    for _ in range(steps):
        A = X @ X.T
        X = a * X + (b * A + c * A @ A) @ X
    return X.T if u.shape[0] > u.shape[1] else X


def muon(T, mu=0.95, nesterov=True, decay=0.0, decoupled=True, scale="keller", every_matrix=False, steps=5,
         coefficients=(3.4445, -4.7750, 2.0315), eps=1e-7, ratio=0.015, beta1=0.9, beta2=0.95, adamw_eps=1e-10):
    """Jordan et al. 2024, MuonWithAuxAdam; Liu et al. 2025 for scale="moonshot"."""
    def step(t, lr, p, x, g, s):
        role = PARAMS[p][3]
        g = g if decoupled else g + T(decay) * x
        if x.ndim < 2 or (role != "weight" and not every_matrix):
            m, v = moments(T, x, g, s, beta1, beta2)
            eta = lr * ratio
            return (x * T(1 - eta * decay if decoupled else 1) -
                    T(eta / (1 - beta1**t)) * m / (np.sqrt(v / T(1 - beta2**t)) + T(adamw_eps)))
        m = s["m"] = T(mu) * zeros(s, "m", x) + T(1 - mu) * g
        O = orthogonalized(T, T(mu) * m + T(1 - mu) * g if nesterov else m, steps, coefficients, eps)
        rows, columns = x.shape
        length = math.sqrt(max(1, rows / columns)) if scale == "keller" else 0.2 * math.sqrt(max(rows, columns))
        return x * T(1 - lr * decay if decoupled else 1) - T(lr * length) * O
    return step


def by_torch_muon(lr, ratio, **options):
    """torch.optim.Muon for the matrix of a hidden layer, and torch.optim.AdamW for the rest. Muon rounds to bfloat16:
    the name stands for the type of x here, so that PyTorch's code computes in it throughout."""
    import torch.optim._muon as module

    class Torch:
        def __getattr__(self, name):
            return self.dtype if name == "bfloat16" else getattr(torch, name)

    def run(T):
        module.torch = Torch()
        module.torch.dtype = dtype = torch.float64 if T is np.float64 else torch.float32
        x = [torch.tensor(v, dtype=dtype).requires_grad_() for v in split(X0)]
        hidden = [k for k, p in enumerate(PARAMS) if p[3] == "weight"]
        rest = [v for k, v in enumerate(x) if k not in hidden]
        both = [(O.Muon([x[k] for k in hidden], lr=lr, **options), lr),
                (O.AdamW(rest, lr=lr * ratio, betas=(0.9, 0.95), eps=1e-10, weight_decay=options["weight_decay"]),
                 lr * ratio)]
        path = []
        for t in range(STEPS):
            for p, g in zip(x, split(G[t])):
                p.grad = torch.tensor(g, dtype=dtype)
            for optimizer, rate in both:
                for group in optimizer.param_groups:
                    group["lr"] = rate * factor(t)
                optimizer.step()
            path.append(np.concatenate([p.detach().numpy().reshape(-1) for p in x]))
        module.torch = torch
        return np.array(path)
    run.asked = "PyTorch's Muon"
    return run


def schedule_free_adamw(T, eps, beta1=0.9, beta2=0.999, inside=False, decay=0.0, r=0.0, algoperf=False):
    """Defazio et al., NeurIPS 2024, as x, y and z; algoperf: the bias correction in the step, and the decay at x."""
    def step(t, lr, _, y, g, s):
        x, z = s.get("x", y), s.get("z", y)
        s["max"] = max(s.get("max", 0), lr)
        weight = t**r * s["max"]**2
        s["sum"] = s.get("sum", 0) + weight
        c, q = weight / s["sum"], 1 - beta2**t
        v = s["v"] = T(beta2) * zeros(s, "v", y) + T(1 - beta2) * g * g
        if algoperf:
            u = T(lr * math.sqrt(q)) * (g / over_root(T, v, eps, inside) + T(decay) * x)
        else:
            u = T(lr) * (g / over_root(T, v / T(q), eps, inside) + T(decay) * y)
        s["z"] = z = z - u
        s["x"] = x = T(1 - c) * x + T(c) * z
        return T(beta1) * x + T(1 - beta1) * z
    return step


def lbfgs(T, history=10, curvature=0.3, decay=0.0, first="l1"):
    """Nocedal, Wright, 2006, algorithm 7.4; pairs are kept if ⟨s, y⟩ > curvature ‖s‖ ‖y‖. The gradients do not depend on
    x: with pairs of less curvature, rounding errors would grow."""
    def step(t, lr, x, g, state):
        pairs, g = state.setdefault("pairs", []), g + T(decay) * x
        if t > 1:
            s, y = x - state["x"], g - state["g"]
            if float(s @ y) > curvature * math.sqrt(float(s @ s)) * math.sqrt(float(y @ y)):
                pairs.append((s, y))
                del pairs[:-history]
        state["x"], state["g"], q, alphas = x, g, g.copy(), []
        for s, y in reversed(pairs):
            alphas.append((s @ q) / (s @ y))
            q = q - alphas[-1] * y
        q = q * (pairs[-1][0] @ pairs[-1][1] / (pairs[-1][1] @ pairs[-1][1]) if pairs else
                 T(min(1, 1 / float(np.sum(np.abs(g))))) if first == "l1" else T(1 / np.sqrt(float(g @ g))))
        for (s, y), alpha in zip(pairs, reversed(alphas)):
            q = q + (alpha - (y @ q) / (s @ y)) * s
        return x - T(lr) * q
    return step


def by_numpy_at_once(make, lr, **options):
    """As by_numpy, for rules with a number that all parameters share: step(t, lr, x, g, state) → x."""
    def run(T):
        step, x, path, state = make(T, **options), np.array(X0, T), [], {}
        for t in range(STEPS):
            x = step(t + 1, lr * factor(t), x, np.array(G[t], T), state)
            path.append(x)
        return np.array(path)
    run.asked = "NumPy"
    return run


def prodigy_d(T, s, g, lr, away, beta2, d0, coef, growth):
    """Mishchenko, Defazio, ICML 2024: returns d before and after the step, and the step size."""
    d = s.get("d", d0)
    rho = d * lr
    s["r"] = math.sqrt(beta2) * s.get("r", 0) + d / d0 * rho * float(np.dot(g, away))
    s["s"] = T(math.sqrt(beta2)) * zeros(s, "s", g) + T(d / d0 * rho) * g
    hat = coef * s["r"] / float(np.sum(np.abs(s["s"])))
    new = max(d, hat) if d == d0 else d
    s["max"] = max(s.get("max", d0), hat)
    s["d"] = min(s["max"], new * growth)
    return d, s["d"], rho


def prodigy(T, d0, eps, beta1=0.9, beta2=0.999, coef=1.0, growth=math.inf):
    """ε inside."""
    def step(t, lr, x, g, s):
        start = s.setdefault("start", x)
        d, new, rho = prodigy_d(T, s, g, lr, start - x, beta2, d0, coef, growth)
        m = s["m"] = T(beta1) * zeros(s, "m", x) + T(1 - beta1) * T(d) * g
        v = s["v"] = T(beta2) * zeros(s, "v", x) + T(1 - beta2) * (T(d) * g) ** 2
        return x - T(rho) * m / np.sqrt(v + T(new**2 * eps))
    return step


def schedule_free_prodigy(T, d0, eps=1e-8, beta1=0.9, beta2=0.9955, coef=1.0, growth=math.inf, inside=False, decay=0.0,
                          warmup=0, r=0.75, power=0):
    """The submission to AlgoPerf, as x, y and z."""
    def step(t, lr, y, g, s):
        start, x, z = s.setdefault("start", y), s.get("x", y), s.get("z", y)
        lr = lr * min(t / warmup, 1) if warmup else lr
        d, new, rho = prodigy_d(T, s, g, lr, start - z, beta2, d0, coef, growth)
        s["largest"] = max(s.get("largest", 0), lr)
        weight = t**r * s["largest"]**power
        s["sum"] = s.get("sum", 0) + weight
        c = weight / s["sum"]
        v = s["v"] = T(beta2) * zeros(s, "v", y) + T(1 - beta2) * (T(d) * g) ** 2
        root = np.sqrt(v + T(new**2 * eps)) if inside else np.sqrt(v) + T(new * eps)
        s["z"] = z = z - T(rho * decay) * x - T(rho * new) * g / root
        s["x"] = x = T(1 - c) * x + T(c) * z
        return T(beta1) * x + T(1 - beta1) * z
    return step


# ---- swale's spec, and the reference ----

O = torch.optim
CASES = [
    ("sgd lr=0.01", by_torch(O.SGD, 0.01)),
    ("sgd lr=0.01 momentum=0.9 dampening=0.3 weight_decay=0.1",
     by_torch(O.SGD, 0.01, momentum=0.9, dampening=0.3, weight_decay=0.1)),
    ("sgd lr=0.01 momentum=0.8 nesterov weight_decay=0.1",
     by_torch(O.SGD, 0.01, momentum=0.8, nesterov=True, weight_decay=0.1)),
    ("asgd lr=0.01", by_torch(O.ASGD, 0.01)),
    ("asgd lr=0.02 lambda=0.1 alpha=0.6 t0=20 weight_decay=0.1",
     by_torch(O.ASGD, 0.02, lambd=0.1, alpha=0.6, t0=20, weight_decay=0.1)),
    ("rprop lr=0.01", by_torch(O.Rprop, 0.01)),
    ("rprop lr=0.1 eta_minus=0.4 eta_plus=1.5 min_step=2e-3 max_step=0.05",
     by_torch(O.Rprop, 0.1, etas=(0.4, 1.5), step_sizes=(2e-3, 0.05))),
    ("adagrad lr=0.1", by_torch(O.Adagrad, 0.1)),
    ("adagrad lr=0.1 eps=1e-3 weight_decay=0.1 lr_decay=0.02 initial=0.5",
     by_torch(O.Adagrad, 0.1, eps=1e-3, weight_decay=0.1, lr_decay=0.02, initial_accumulator_value=0.5)),
    ("adagrad lr=0.1 eps=1e-6 eps_in_root initial=0.1",
     by_optax(optax.adagrad, 0.1, initial_accumulator_value=0.1, eps=1e-6)),
    ("rmsprop lr=0.01", by_torch(O.RMSprop, 0.01)),
    ("rmsprop lr=0.01 alpha=0.9 eps=1e-3 centered momentum=0.8 weight_decay=0.1",
     by_torch(O.RMSprop, 0.01, alpha=0.9, eps=1e-3, centered=True, momentum=0.8, weight_decay=0.1)),
    ("rmsprop lr=0.01 alpha=0.9 momentum=0.5", by_torch(O.RMSprop, 0.01, alpha=0.9, momentum=0.5)),
    ("rmsprop lr=0.01 alpha=0.9 eps=1e-6 eps_in_root", by_optax(optax.rmsprop, 0.01, decay=0.9, eps=1e-6)),
    ("rmsprop lr=0.01 alpha=0.9 eps=1e-3 eps_in_root centered",
     by_optax(optax.rmsprop, 0.01, decay=0.9, eps=1e-3, centered=True)),
    ("rmsprop lr=0.01 alpha=0.9 eps=1e-3 eps_in_root centered momentum=0.7",
     by_numpy(rmsprop, 0.01, alpha=0.9, eps=1e-3, momentum=0.7)),
    ("adadelta lr=1", by_torch(O.Adadelta, 1)),
    ("adadelta lr=2 rho=0.95 eps=1e-4 weight_decay=0.1",
     by_torch(O.Adadelta, 2, rho=0.95, eps=1e-4, weight_decay=0.1)),
    ("adadelta lr=1 eps=1e-3 eps_in_root=false", by_numpy(adadelta, 1, rho=0.9, eps=1e-3)),
    ("adam lr=0.03", by_torch(O.Adam, 0.03)),
    ("adam lr=0.01 beta1=0.8 beta2=0.95 eps=1e-4 weight_decay=0.1",
     by_torch(O.Adam, 0.01, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1)),
    ("adam lr=0.03 eps=1e-4 eps_in_root", by_optax(optax.adam, 0.03, eps=0, eps_root=1e-4)),
    ("amsgrad lr=0.03 beta2=0.9", by_torch(O.Adam, 0.03, betas=(0.9, 0.9), amsgrad=True)),
    ("amsgrad lr=0.03 beta1=0.8 beta2=0.95 weight_decay=0.1",
     by_torch(O.Adam, 0.03, betas=(0.8, 0.95), amsgrad=True, weight_decay=0.1)),
    ("amsgrad lr=0.03 beta2=0.9 weight_decay=0.2 decoupled",
     by_torch(O.AdamW, 0.03, betas=(0.9, 0.9), amsgrad=True, weight_decay=0.2)),
    ("amsgrad lr=0.03 beta2=0.9 correction=before", by_optax(optax.amsgrad, 0.03, b2=0.9)),
    ("amsgrad lr=0.03 beta2=0.9 eps=1e-4 eps_in_root correction=none",
     by_optax(optax.amsgrad, 0.03, b2=0.9, eps=0, eps_root=1e-4, bias_correction_mu=False,
              bias_correction_nu=False)),
    ("amsgrad lr=0.03 beta2=0.9 eps=1e-3 eps_in_root",
     by_numpy(amsgrad, 0.03, eps=1e-3, inside=True, beta2=0.9)),
    ("adamw lr=0.03", by_torch(O.AdamW, 0.03)),
    ("adamw lr=0.02 beta1=0.85 weight_decay=0.5",
     by_torch(O.AdamW, 0.02, betas=(0.85, 0.999), weight_decay=0.5)),
    ("adamw lr=0.03 eps=1e-4 eps_in_root weight_decay=0.1",
     by_optax(optax.adamw, 0.03, eps=0, eps_root=1e-4, weight_decay=0.1)),
    ("nadam lr=0.03", by_torch(O.NAdam, 0.03)),
    ("nadam lr=0.03 momentum_decay=0.1 weight_decay=0.1",
     by_torch(O.NAdam, 0.03, momentum_decay=0.1, weight_decay=0.1)),
    ("nadam lr=0.03 beta1=0.8 weight_decay=0.2 decoupled",
     by_torch(O.NAdam, 0.03, betas=(0.8, 0.999), weight_decay=0.2, decoupled_weight_decay=True)),
    ("nadam lr=0.03 eps=1e-4 eps_in_root", by_numpy(nadam, 0.03, eps=1e-4)),
    ("nadamw lr=0.03", by_numpy(nadamw, 0.03)),
    ("nadamw lr=0.02 beta1=0.8 beta2=0.95 eps=1e-4 eps_in_root weight_decay=0",
     by_numpy(nadamw, 0.02, beta1=0.8, beta2=0.95, eps=1e-4, inside=True, decay=0)),
    ("nadamp lr=0.03", by_numpy(nadamw, 0.03, p=1.5)),
    ("nadamp lr=0.03 p=2 weight_decay=0.3", by_numpy(nadamw, 0.03, decay=0.3)),
    ("nadamp lr=0.03 p=3 eps=1e-5 eps_in_root weight_decay=0",
     by_numpy(nadamw, 0.03, p=3, eps=1e-5, inside=True, decay=0)),
    ("generalized_adam lr=0.03", by_numpy(nadamw, 0.03)),
    ("generalized_adam lr=0.02 nesterov=false weight_decay=0.2",
     by_numpy(nadamw, 0.02, nesterov=False, decay=0.2)),
    ("generalized_adam lr=0.01 disable_preconditioning", by_numpy(nadamw, 0.01, plain=True)),
    ("generalized_adam lr=0.01 disable_preconditioning nesterov=false weight_decay=0",
     by_numpy(nadamw, 0.01, plain=True, nesterov=False, decay=0)),
    ("radam lr=0.03", by_torch(O.RAdam, 0.03)),
    ("radam lr=0.03 beta2=0.9 weight_decay=0.1",
     by_torch(O.RAdam, 0.03, betas=(0.9, 0.9), weight_decay=0.1)),
    ("radam lr=0.03 weight_decay=0.2 decoupled",
     by_torch(O.RAdam, 0.03, weight_decay=0.2, decoupled_weight_decay=True)),
    ("radam lr=0.03 eps=1e-6 eps_in_root", by_numpy(radam, 0.03, eps=1e-6)),
    ("adamax lr=0.03", by_torch(O.Adamax, 0.03)),
    ("adamax lr=0.03 beta2=0.9 eps=1e-3 weight_decay=0.1",
     by_torch(O.Adamax, 0.03, betas=(0.9, 0.9), eps=1e-3, weight_decay=0.1)),
    ("adafactor lr=0.05", by_torch(O.Adafactor, 0.05)),
    ("adafactor lr=0.1 beta2_decay=-0.5 eps1=1e-3 eps2=0.7 d=1.25 weight_decay=0.3",
     by_torch(O.Adafactor, 0.1, beta2_decay=-0.5, eps=(1e-3, 0.7), d=1.25, weight_decay=0.3)),
    ("lion lr=0.01", by_optax(optax.lion, 0.01, weight_decay=0)),
    ("lion lr=0.01 beta1=0.95 beta2=0.98 weight_decay=0.5",
     by_optax(optax.lion, 0.01, b1=0.95, b2=0.98, weight_decay=0.5)),
    ("fromage lr=0.05", by_optax(optax.fromage, 0.05)),
    ("fromage lr=0.05 min_norm=1.5", by_optax(optax.fromage, 0.05, min_norm=1.5)),
    ("nag_gs lr=0.05", by_numpy(nag_gs, 0.05, mu=1, gamma=1.5)),
    ("nag_gs lr=0.2 mu=3 gamma=0.5", by_numpy(nag_gs, 0.2, mu=3, gamma=0.5)),
    ("amos lr=0.05", by_numpy(amos, 0.05)),
    ("amos lr=0.1 beta=0.9 momentum=0.8 extra_l2=1e-3 c=1 d=2 weight=0.5 head=3 bias=0.2 other=0.3",
     by_numpy(amos, 0.1, beta=0.9, momentum=0.8, extra=1e-3, c=1, d=2,
              scale={"weight": 0.5, "head": 3, "bias": 0.2, "other": 0.3})),
    # PyTorch's ε is the least norm, and not added to it: with ε = 1e-30 the two are equal.
    ("muon lr=0.02 weight_decay=0.1 eps=1e-30", by_torch_muon(0.02, 0.015, weight_decay=0.1, eps=1e-30)),
    ("muon lr=0.03 momentum=0.8 nesterov=false scale=moonshot adamw_lr_ratio=0.5 eps=1e-30",
     by_torch_muon(0.03, 0.5, momentum=0.8, nesterov=False, weight_decay=0, eps=1e-30,
                   adjust_lr_fn="match_rms_adamw")),
    ("muon lr=0.02 route=matrices", by_numpy(muon, 0.02, every_matrix=True)),
    ("muon lr=0.02 momentum=0.9 weight_decay=0.3 decoupled=false scale=moonshot route=matrices ns_steps=3 ns_a=3 "
     "ns_b=-4 ns_c=2 eps=0.1 adamw_lr_ratio=1 adamw_beta1=0.8 adamw_beta2=0.9 adamw_eps=1e-3",
     by_numpy(muon, 0.02, mu=0.9, decay=0.3, decoupled=False, scale="moonshot", every_matrix=True, steps=3,
              coefficients=(3, -4, 2), eps=0.1, ratio=1, beta1=0.8, beta2=0.9, adamw_eps=1e-3)),
    ("schedule_free_sgd lr=0.01", by_schedulefree(schedulefree.SGDScheduleFree, 0.01)),
    ("schedule_free_sgd lr=0.02 momentum=0.7 weight_decay=0.1 warmup=20 r=1 weight_lr_power=1",
     by_schedulefree(schedulefree.SGDScheduleFree, 0.02, momentum=0.7, weight_decay=0.1, warmup_steps=20, r=1,
                     weight_lr_power=1)),
    ("schedule_free_adamw lr=0.03", by_schedulefree(schedulefree.AdamWScheduleFree, 0.03)),
    ("schedule_free_adamw lr=0.02 beta1=0.8 beta2=0.95 eps=1e-4 weight_decay=0.1 warmup=20 r=0.75 weight_lr_power=1",
     by_schedulefree(schedulefree.AdamWScheduleFree, 0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1,
                     warmup_steps=20, r=0.75, weight_lr_power=1)),
    ("schedule_free_adamw lr=0.03 eps=1e-4 eps_in_root", by_numpy(schedule_free_adamw, 0.03, eps=1e-4, inside=True)),
    ("schedule_free_adamw lr=0.03 beta2=0.9955 weight_decay=0.5 r=0.75 correction=step decay_at=x",
     by_numpy(schedule_free_adamw, 0.03, beta2=0.9955, eps=1e-8, decay=0.5, r=0.75, algoperf=True)),
    ("schedule_free_adamw lr=0.03 eps=1e-4 eps_in_root correction=step",
     by_numpy(schedule_free_adamw, 0.03, eps=1e-4, inside=True, algoperf=True)),
    ("prodigy d0=0.02", by_prodigyopt(d0=0.02)),
    ("prodigy d0=0.02 beta1=0.7 beta2=0.9 eps=1e-3 weight_decay=0.3 d_coef=2 safeguard_warmup",
     by_prodigyopt(d0=0.02, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.3, d_coef=2, safeguard_warmup=True)),
    ("prodigy d0=0.01 weight_decay=0.3 decoupled=false use_bias_correction",
     by_prodigyopt(d0=0.01, weight_decay=0.3, decouple=False, use_bias_correction=True)),
    ("prodigy d0=0.01 d_coef=8 growth_rate=1.02", by_prodigyopt(d0=0.01, d_coef=8, growth_rate=1.02)),
    ("prodigy d0=0.02 d_coef=2 eps=1e-3 eps_in_root",
     by_numpy_at_once(prodigy, 1, d0=0.02, coef=2, eps=1e-3)),
    ("schedule_free_prodigy d0=0.02", by_numpy_at_once(schedule_free_prodigy, 1, d0=0.02)),
    ("schedule_free_prodigy d0=0.01 beta1=0.8 beta2=0.9 eps=1e-3 weight_decay=0.3 d_coef=2 warmup=20 r=2 "
     "weight_lr_power=1",
     by_numpy_at_once(schedule_free_prodigy, 1, d0=0.01, beta1=0.8, beta2=0.9, eps=1e-3, decay=0.3, coef=2, warmup=20,
                      r=2, power=1)),
    ("schedule_free_prodigy d0=0.01 d_coef=8 growth_rate=1.02 eps=1e-3 eps_in_root",
     by_numpy_at_once(schedule_free_prodigy, 1, d0=0.01, coef=8, growth=1.02, eps=1e-3, inside=True)),
    ("lbfgs lr=0.3 curvature=0.3", by_numpy_at_once(lbfgs, 0.3)),
    ("lbfgs lr=0.6 history=1 curvature=0.4 weight_decay=0.5 first=l2",
     by_numpy_at_once(lbfgs, 0.6, history=1, curvature=0.4, decay=0.5, first="l2")),
]


ARRAY = (f"enum {{ STEPS = {STEPS}, DIM = {BOUNDS[-1]}, CHECKED = {len(CHECKED)} }};\n"
         f"static const int checked[CHECKED] = {{{', '.join(map(str, CHECKED))}}};\n\n"
         "/* All parameters after each step of `checked`, as `asked` has them; `tolerance` is for f32. */\n"
         "struct golden {\n    const char *rule, *asked;\n    double tolerance;\n"
         "    const double *points; /* [CHECKED, DIM] */\n};\nstatic const struct golden goldens[] = {\n")

WITH = (f"PyTorch {torch.__version__.split('+')[0]}, optax {optax.__version__}, "
        f"schedulefree {version('schedulefree')}, prodigyopt {version('prodigyopt')}, NumPy {np.__version__}")
write("rules.h", "SWALE_RULES_GOLDEN_H", f"rules.py with {WITH}", ARRAY, CASES)
