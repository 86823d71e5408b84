#!/usr/bin/env python3
"""Values of options under schedules for tests/optim/schedules/test_schedules.c.

The references are torch.optim.lr_scheduler (the learning rate is read before each step) and optax in float64, and the
formula of the paper for schedules that neither has. Runs have STEPS steps. An entry has a rule, the spec of a
schedule, the option that is compared, and its values in the steps CHECKED, from 0.

    python schedules.py > schedules.h        (torch 2 and optax)
"""
import math
import warnings

import jax

jax.config.update("jax_enable_x64", True)
import optax
import torch
from torch.optim import lr_scheduler as lrs

warnings.simplefilter("ignore")
STEPS, LR = 100, 0.7
CHECKED = [0, 1, 2, 3, 4, 6, 7, 9, 10, 11, 14, 19, 20, 21, 25, 29, 30, 31, 35, 39, 40, 41, 49, 50, 51, 59, 60,
           61, 69, 70, 71, 74, 75, 89, 90, 98, 99]


def torch_path(make, key="lr", momentum=0.0):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR, momentum=momentum)
    scheduler, path = make(optimizer), []
    for _ in range(STEPS):
        path.append(optimizer.param_groups[0][key])
        optimizer.step()
        scheduler.step()
    return path


def torch_of(cls, **how):
    return torch_path(lambda o: cls(o, **how))


def optax_of(schedule):
    return [float(schedule(t)) for t in range(STEPS)]


def formula(f):
    return [LR * f(t) for t in range(STEPS)]


def warmup(steps, after):  # from 1/steps to 1, then what follows
    return optax.join_schedules([optax.linear_schedule(LR / steps, LR + LR / steps, steps), after], [steps])


def cosine_cycles(cycles, rise, low):
    length = STEPS // cycles
    up = round(rise * length)
    parts, ends = [], []
    for i in range(cycles):
        parts += [optax.linear_schedule(low * LR, LR, up), optax.cosine_decay_schedule(LR, length - up, low)]
        ends += [i * length + up, (i + 1) * length]
    return optax.join_schedules(parts, ends[:-1])


# sqrt(W/t) after the warm-up, t from the start: min(t^-1/2, t W^-3/2) up to a factor (Vaswani et al.)
def noam(w):
    return lambda t: math.sqrt(w) * min((t + 1) ** -0.5, (t + 1) * w ** -1.5) if t < w else math.sqrt(w / t)


# Equal paths of a scale-invariant network without decay: a is the larger root (Li, Arora).
MU, DECAY = 0.9, 1e-3
B = 1 + MU - DECAY * LR
A = (B + math.sqrt(B * B - 4 * MU)) / 2

SGD = f"sgd lr={LR}"
CASES = [
    (SGD, "constant", "lr", torch_of(lrs.LambdaLR, lr_lambda=lambda t: 1.0)),
    (SGD, "constant warmup=20", "lr", torch_of(lrs.LinearLR, start_factor=1 / 20, total_iters=19)),
    (SGD, "step every=30 factor=0.1", "lr", torch_of(lrs.StepLR, step_size=30, gamma=0.1)),
    (SGD, "step every=20% factor=0.3", "lr", torch_of(lrs.StepLR, step_size=20, gamma=0.3)),
    (SGD, "step", "lr", torch_of(lrs.StepLR, step_size=30, gamma=0.1)),
    (SGD, "exponential factor=0.95", "lr", torch_of(lrs.ExponentialLR, gamma=0.95)),
    (SGD, "exponential factor=1.03", "lr", torch_of(lrs.ExponentialLR, gamma=1.03)),
    (SGD, "exponential factor=0.5 per=7 bound=0.02", "lr",
     optax_of(optax.exponential_decay(LR, 7, 0.5, end_value=0.02 * LR))),
    (SGD, "exponential factor=2 per=10% bound=30", "lr",
     optax_of(optax.exponential_decay(LR, 10, 2, end_value=30 * LR))),
    (SGD, f"exponential factor={A ** -2!r}", "lr", formula(lambda t: A ** (-2 * t))),
    (SGD, "linear", "lr", torch_of(lrs.LinearLR, start_factor=1, end_factor=0, total_iters=STEPS)),
    (SGD, "linear final=0.1 over=60", "lr", torch_of(lrs.LinearLR, start_factor=1, end_factor=0.1,
                                                     total_iters=60)),
    (SGD, "linear final=3 over=40%", "lr", optax_of(optax.linear_schedule(LR, 3 * LR, 40))),
    (SGD, "linear warmup=10%", "lr", optax_of(warmup(10, optax.linear_schedule(LR, 0, 90)))),
    (SGD, "polynomial power=1.5", "lr", torch_of(lrs.PolynomialLR, total_iters=STEPS, power=1.5)),
    (SGD, "polynomial over=50", "lr", torch_of(lrs.PolynomialLR, total_iters=50, power=2)),
    (SGD, "polynomial power=3 final=0.2", "lr", optax_of(optax.polynomial_schedule(LR, 0.2 * LR, 3, STEPS))),
    (SGD, "inverse_sqrt", "lr", formula(lambda t: 1 / math.sqrt(1 + t))),
    (SGD, "inverse_sqrt warmup=12", "lr", formula(noam(12))),
    (SGD, "inverse_sqrt scale=25", "lr", torch_of(lrs.LambdaLR, lr_lambda=lambda t: (25 / (25 + t)) ** 0.5)),
    (SGD, "inverse_time", "lr", torch_of(lrs.LambdaLR, lr_lambda=lambda t: 1 / (1 + t))),
    (SGD, "inverse_time scale=20% power=0.6", "lr", formula(lambda t: 1 / (1 + t / 20) ** 0.6)),
    (SGD, "cosine", "lr", torch_of(lrs.CosineAnnealingLR, T_max=STEPS)),
    (SGD, "cosine final=0.1", "lr", torch_of(lrs.CosineAnnealingLR, T_max=STEPS, eta_min=0.1 * LR)),
    (SGD, "cosine warmup=10 final=0.05", "lr", optax_of(warmup(10, optax.cosine_decay_schedule(LR, 90, 0.05)))),
    (SGD, "cosine warmup=5% over=75% final=0.02", "lr",
     optax_of(warmup(5, optax.cosine_decay_schedule(LR, 75, 0.02)))),
    (SGD, "restarts period=20", "lr", torch_of(lrs.CosineAnnealingWarmRestarts, T_0=20)),
    (SGD, "restarts period=10% growth=2 final=0.01", "lr",
     torch_of(lrs.CosineAnnealingWarmRestarts, T_0=10, T_mult=2, eta_min=0.01 * LR)),
    (SGD, "restarts period=3 growth=3", "lr", torch_of(lrs.CosineAnnealingWarmRestarts, T_0=3, T_mult=3)),
    (SGD, "cosine_cycles cycles=1 rise=0.1", "lr", optax_of(cosine_cycles(1, 0.1, 1e-10))),
    (SGD, "cosine_cycles cycles=2 rise=0.2", "lr", optax_of(cosine_cycles(2, 0.2, 1e-10))),
    (SGD, "cosine_cycles cycles=4 rise=0.16 low=0.1", "lr", optax_of(cosine_cycles(4, 0.16, 0.1))),
    (SGD, "cyclic low=0.1 up=10", "lr",
     torch_of(lrs.CyclicLR, base_lr=0.1 * LR, max_lr=LR, step_size_up=10, cycle_momentum=False)),
    (SGD, "cyclic up=7 down=13", "lr",
     torch_of(lrs.CyclicLR, base_lr=0.25 * LR, max_lr=LR, step_size_up=7, step_size_down=13,
              cycle_momentum=False)),
    (SGD, "cyclic low=0.2 up=15% height=triangular2", "lr",
     torch_of(lrs.CyclicLR, base_lr=0.2 * LR, max_lr=LR, step_size_up=15, mode="triangular2",
              cycle_momentum=False)),
    (SGD, "cyclic low=0 up=20 down=5 height=exp_range gamma=0.98", "lr",
     torch_of(lrs.CyclicLR, base_lr=0, max_lr=LR, step_size_up=20, step_size_down=5, mode="exp_range",
              gamma=0.98, cycle_momentum=False)),
    (SGD, "one_cycle", "lr", torch_of(lrs.OneCycleLR, max_lr=LR, total_steps=STEPS, cycle_momentum=False)),
    (SGD, "one_cycle rise=0.45 div=10 final_div=50 shape=linear", "lr",
     torch_of(lrs.OneCycleLR, max_lr=LR, total_steps=STEPS, pct_start=0.45, div_factor=10,
              final_div_factor=50, anneal_strategy="linear", cycle_momentum=False)),
    (SGD, "one_cycle phases=3", "lr",
     torch_of(lrs.OneCycleLR, max_lr=LR, total_steps=STEPS, three_phase=True, cycle_momentum=False)),
    (f"sgd lr={LR} momentum=0.85", f"one_cycle div={0.85 / 0.95!r} final_div=1 on=momentum", "momentum",
     torch_path(lambda o: lrs.OneCycleLR(o, max_lr=LR, total_steps=STEPS), "momentum", 0.85)),
    (f"adamw lr={LR} weight_decay=0.2", "constant; cosine final=0.5 on=weight_decay", "weight_decay",
     [0.2 / LR * v for v in torch_of(lrs.CosineAnnealingLR, T_max=STEPS, eta_min=0.5 * LR)]),
    (SGD, "cosine; step every=40 factor=0.5", "lr",
     [a * b / LR for a, b in zip(torch_of(lrs.CosineAnnealingLR, T_max=STEPS),
                                 torch_of(lrs.StepLR, step_size=40, gamma=0.5))]),
]

print("/* Made by schedules.py: do not edit. Values from torch and optax, in float64: see there. */")
print("#ifndef SCHEDULES_GOLDEN_H\n#define SCHEDULES_GOLDEN_H\n")
print(f"enum {{ STEPS = {STEPS}, CHECKED = {len(CHECKED)} }};")
print("static const int checked[CHECKED] = {" + ", ".join(map(str, CHECKED)) + "};")
print("typedef struct golden {\n    const char *rule, *schedule, *option;\n    double value[CHECKED];\n} golden;")
print("static const golden goldens[] = {")
for rule, spec, option, path in CASES:
    print(f'    {{"{rule}", "{spec}", "{option}",\n     {{', end="")
    line = ""
    for t in CHECKED:
        text = f"{path[t]:.17g}, "
        if len(line) + len(text) > 100:
            print(line.rstrip() + "\n      ", end="")
            line = ""
        line += text
    print(line.rstrip(", ") + "}},")
print("};\n#endif")
