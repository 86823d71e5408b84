"""Random networks, trained for a few steps in swale and in PyTorch: see check_graphs.py.

A network has linear layers, activations, residual blocks, and sometimes an embedding; layers may be frozen, tied or
recomputed. A run has a loss, one rule or two rules by role, an estimator, a schedule, an average and clipping. It is
a loop by hand (sometimes with micro-batches) or uses sw_optim_minimize. The comparison includes the loss and the
parameters of each step, the averaged point, and the results of sw_predict and sw_model_evaluate at the end.

Tolerance: as in graphs.py, K u (max |reference| + max C) with K = 256: sums here have at most 200 terms, and a
step a few dozen operations. C is the change, divided by η, of a second run in PyTorch: η times a random number
in [-1, 1], relative to the largest element of the tensor (as sums round), is added to gradients and parameters at the
start and in every step, and to predictions, which a loss may subtract from equal numbers. Zeros stay zero, because
both sides multiply by 0 behind a dead ReLU. A run whose tolerance is
above 1e-3 of the array (1e-6 in f64) is too sensitive for a comparison. Such runs are counted; at most one in 20 may be
too sensitive.
"""
import copy
import ctypes
import math
import random

import numpy as np
import torch
import torch.nn.functional as F

import swale
from swale import Param, lib

ETA, K = 2.0**-33, 256
UNIT = {swale.F64: 2.0**-53, swale.F32: 2.0**-24}
SENSITIVE = {swale.F64: 1e-6, swale.F32: 1e-3}

# ---- Rules: a draw gives (spec, constructor of torch's optimizer of a list of parameters) ----


def number(rng, *items):
    return rng.choice(items)


def draw_rule(rng):
    name = rng.choice(["sgd", "sgd", "adagrad", "rmsprop", "adadelta", "adam", "adam", "amsgrad", "adamw", "nadam",
                       "radam", "adamax"])
    lr = number(rng, 0.01, 0.05, 0.1) if name in ("sgd", "adagrad") else number(rng, 1e-3, 0.01)
    decay = number(rng, 0, 0, 0.1, 0.01)
    spec, more = [name, f"lr={lr}"], {"lr": lr, "weight_decay": decay}
    if decay or name == "adamw":
        spec.append(f"weight_decay={decay}")

    def also(text, **named):
        spec.append(text)
        more.update(named)
    eps = number(rng, None, 1e-3, 1e-5)
    if eps and name != "sgd":
        also(f"eps={eps}", eps=eps)
    if name == "sgd":
        kind = torch.optim.SGD
        momentum = number(rng, 0, 0.9, 0.5)
        if momentum:
            also(f"momentum={momentum}", momentum=momentum)
            if rng.random() < 0.4:
                also("nesterov", nesterov=True)
            elif rng.random() < 0.4:
                also("dampening=0.3", dampening=0.3)
    elif name == "adagrad":
        kind = torch.optim.Adagrad
        if rng.random() < 0.5:
            also("lr_decay=0.1", lr_decay=0.1)
        if rng.random() < 0.5:
            also("initial=0.1", initial_accumulator_value=0.1)
    elif name == "rmsprop":
        kind = torch.optim.RMSprop
        if rng.random() < 0.5:
            also("alpha=0.9", alpha=0.9)
        if rng.random() < 0.4:
            also("centered", centered=True)
        if rng.random() < 0.4:
            also("momentum=0.8", momentum=0.8)
    elif name == "adadelta":
        kind = torch.optim.Adadelta
        if rng.random() < 0.5:
            also("rho=0.8", rho=0.8)
    else:
        kind = {"adam": torch.optim.Adam, "amsgrad": torch.optim.Adam, "adamw": torch.optim.AdamW,
                "nadam": torch.optim.NAdam, "radam": torch.optim.RAdam, "adamax": torch.optim.Adamax}[name]
        if name == "amsgrad":
            more["amsgrad"] = True
        if rng.random() < 0.5:
            also("beta1=0.8 beta2=0.95", betas=(0.8, 0.95))
        if name in ("nadam", "radam") and rng.random() < 0.3:
            also("decoupled", decoupled_weight_decay=True)
        if name == "nadam" and rng.random() < 0.3:
            also("momentum_decay=0.01", momentum_decay=0.01)
    return " ".join(spec), kind, more


# Schedules: (spec, factor at step t of T).
SCHEDULES = [
    ("cosine", lambda t, T: 0.5 * (1 + math.cos(math.pi * min(t / T, 1)))),
    ("cosine final=0.1", lambda t, T: 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(t / T, 1)))),
    ("linear final=0.2", lambda t, T: 0.2 + 0.8 * (1 - min(t / T, 1))),
    ("exponential factor=0.9", lambda t, T: 0.9**t),
    ("step every=2 factor=0.5", lambda t, T: 0.5**(t // 2)),
    ("inverse_time scale=3", lambda t, T: 1 / (1 + t / 3)),
    ("inverse_sqrt scale=2", lambda t, T: 1 / math.sqrt(1 + t / 2)),
]


def warm(schedule, warmup):
    spec, factor = schedule
    return (f"{spec} warmup={warmup}",
            lambda t, T: (t + 1) / warmup if t < warmup else factor(t - warmup, T - warmup))


# Averages: (spec, function of the list of points after 0, 1, … steps).


def ema(decay, debias):
    def mean(points):
        e = points[0]
        for t, x in enumerate(points[1:], 1):
            w = (1 - decay) / (1 - decay**t) if debias else 1 - decay
            e = e + w * (x - e)
        return e
    return mean


AVERAGES = [
    ("ema decay=0.7", ema(0.7, False)),
    ("ema decay=0.9 debias", ema(0.9, True)),
    ("polyak", lambda points: sum(points[1:]) / (len(points) - 1)),
    ("polyak start=2", lambda points: sum(points[2:]) / (len(points) - 2) if len(points) > 2 else points[-1]),
    ("swa start=0 every=2", lambda points: sum(points[2::2]) / len(points[2::2]) if len(points) > 2
     else points[-1]),
    ("lawa_queue every=1 length=2 start=0", lambda points: sum(points[-2:]) / 2 if len(points) > 2 else points[-1]),
]

ACTIVATIONS = {
    "relu": F.relu, "tanh": torch.tanh, "sigmoid": torch.sigmoid, "silu": F.silu, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "softplus": lambda x: torch.logaddexp(x, torch.zeros((), dtype=x.dtype)),
}
LOSSES = {
    "sw_cross_entropy": F.cross_entropy,
    "sw_mse": F.mse_loss, "sw_l1": F.l1_loss, "sw_huber": F.huber_loss,
    "sw_bce_with_logits": F.binary_cross_entropy_with_logits,
    "sw_hinge": lambda s, t: F.relu(1 - s * t).mean(),
    "sw_kl_div": lambda q, t: F.kl_div(q, t, reduction="none").sum(-1).mean(),
}


# ---- Drawing ----


class Network:
    """A configuration: `layers` is a list of dictionaries, the rest says how it is trained."""

    def __init__(self, seed):
        rng = random.Random(seed)
        self.seed = seed
        self.dtype = swale.F32 if rng.random() < 0.2 else swale.F64
        self.linears, self.layers = [], []
        self.embedding, self.rows = None, 0
        self.positions = []  # the axes of the output between the batch and the features
        width = self.first_layers(rng)
        for _ in range(rng.randrange(0, 3)):
            width = self.block(rng, self.layers, width, rng.choice([2, 3, 6, 9]), 2)
        self.loss = rng.choice(sorted(LOSSES))
        self.outputs = rng.choice([2, 3, 5]) if self.loss in ("sw_cross_entropy", "sw_kl_div") else \
            rng.choice([1, 1, 3])
        if self.embedding and self.keeps_rows() and width == self.embedding["dim"] and rng.random() < 0.5:
            self.outputs = self.embedding["rows"]
            self.linear(rng, self.layers, width, self.outputs)["tie"] = self.embedding
        else:
            self.linear(rng, self.layers, width, self.outputs)
        if self.loss == "sw_kl_div":
            self.layers.append({"kind": "log_softmax", "axis": rng.choice([-1, 1 + len(self.positions)])})
        for layer in self.linears:
            layer["freeze"] = len(self.linears) > 1 and rng.random() < 0.12
        if all(layer["freeze"] for layer in self.linears):
            self.linears[-1]["freeze"] = False
        self.n = rng.choice([4, 7, 12])
        self.batch = rng.choice([2, 3, 4, self.n])
        self.steps = rng.randrange(1, 9) if self.dtype == swale.F64 else rng.randrange(1, 5)
        self.rules = [draw_rule(rng)]
        if any(layer["bias"] for layer in self.linears) and rng.random() < 0.3:
            self.rules.append(draw_rule(rng))  # of biases
        self.schedule = rng.choice(SCHEDULES) if rng.random() < 0.4 else None
        if self.schedule and self.steps > 3 and rng.random() < 0.4:
            self.schedule = warm(self.schedule, 2)
        self.average = rng.choice(AVERAGES) if rng.random() < 0.4 else None
        self.clip = rng.choice([0.05, 0.5, 2]) if rng.random() < 0.3 else 0
        self.estimator = rng.choice(["minibatch", "minibatch", "full", "sam"])
        self.by_hand = self.estimator == "minibatch" and rng.random() < 0.5
        self.micro = rng.choice([1, 1, 2]) if self.by_hand else 1
        self.maximize = False
        self.open = rng.random() < 0.5  # numbers of inputs are left to sw_model_set_input_shape
        self.loss_scale = None
        self.trains = False  # SW_TRAIN is on in a loop by hand
        again = random.Random(~seed)
        for layer in self.every_layer(self.layers):
            layer["recompute"] = again.random() < 0.15
        self.data()

    def first_layers(self, rng):
        """Adds the layers before the blocks of linear layers; returns the number of features behind them."""
        width = rng.choice([2, 3, 5, 8])
        if rng.random() < 0.25:
            self.rows, dim, self.sample = rng.choice([3, 7]), rng.choice([2, 4]), [rng.choice([1, 1, 3])]
            self.embedding = {"kind": "embedding", "rows": self.rows, "dim": dim, "padding": None}
            if rng.random() < 0.4:
                self.embedding["padding"] = rng.randrange(self.rows)
            self.layers += [self.embedding, {"kind": "flatten"}]
            return self.sample[0] * dim
        if rng.random() < 0.3:
            self.sample = [2, width]
            width *= 2
            self.layers.append({"kind": "flatten"} if rng.random() < 0.5 else
                               {"kind": "reshape", "shape": [width]})
            return width
        self.sample = [width]
        return width

    def keeps_rows(self):
        """Whether the last linear layer may have the weight of the embedding."""
        return self.sample == [1]

    def every_layer(self, layers):
        for layer in layers:
            yield layer
            yield from self.every_layer(layer.get("layers", []))

    def linear(self, rng, layers, width, out):
        layer = {"kind": "linear", "in": width, "out": out, "bias": rng.random() < 0.8, "tie": None}
        same = [other for other in self.linears if (other["in"], other["out"]) == (width, out) and
                not other["tie"]]
        if same and rng.random() < 0.4:
            layer["tie"] = rng.choice(same)
        self.linears.append(layer)
        layers.append(layer)
        return layer

    def activation(self, rng, layers):
        name = rng.choice(sorted(ACTIVATIONS) + ["leaky_relu", "elu", "dropout", "softmax", "log_softmax"])
        layer = {"kind": name}
        if name in ("leaky_relu", "elu"):
            layer["number"] = rng.choice([0.1, 0.5, 1.5])
        elif name == "dropout":
            layer["number"] = rng.choice([0.2, 0.5])
        elif name in ("softmax", "log_softmax"):
            layer["axis"] = -1
        layers.append(layer)

    def block(self, rng, layers, width, out, depth):
        """Adds layers; returns the width after them."""
        if depth and rng.random() < 0.3:
            inside = []
            middle = self.block(rng, inside, width, rng.choice([2, 4, width]), depth - 1)
            self.linear(rng, inside, middle, width)
            if rng.random() < 0.3:
                self.activation(rng, inside)
            layers.append({"kind": "residual", "layers": inside})
            return width
        self.linear(rng, layers, width, out)
        if out > 1:
            self.activation(rng, layers)
        return out

    def data(self):
        generator = torch.Generator().manual_seed(self.seed)

        def draw(*shape):
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(torch.float32).double()
        if self.rows:
            self.x = torch.randint(0, self.rows, [self.n] + self.sample, generator=generator).double()
        else:
            self.x = draw(self.n, *self.sample)
        shape = [self.n] + self.positions + [self.outputs]
        if self.loss == "sw_cross_entropy":
            self.y = torch.randint(0, self.outputs, [self.n] + self.positions, generator=generator).to(torch.int32)
        elif self.loss == "sw_kl_div":
            y = torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1
            self.y = (y / y.sum(-1, keepdim=True)).float().double()
        elif self.loss == "sw_bce_with_logits":
            self.y = torch.rand(shape, generator=generator).double()
        elif self.loss == "sw_hinge":
            self.y = torch.where(draw(*shape) < 0, -1.0, 1.0).double()
        else:
            self.y = draw(*shape)
        self.initial = {}
        for i, layer in enumerate(self.parametric()):
            layer["name"] = f"p{i}"
            keys = dict(self.keys(layer))
            for suffix, value in self.initial_values(layer, draw):
                self.initial[keys[suffix]] = value.float().double()

    def initial_values(self, layer, draw):
        """[(suffix, array)] of a layer; draw gives normally distributed numbers of a shape."""
        shape = [layer["rows"], layer["dim"]] if layer["kind"] == "embedding" else [layer["out"], layer["in"]]
        weight = [] if layer.get("tie") else [("weight", draw(*shape) / math.sqrt(layer.get("in", 1)))]
        return weight + ([("bias", draw(layer["out"]))] if layer.get("bias") else [])

    def forward(self, layer, p, x, training, shaken):
        """The output of a layer in PyTorch; NotImplemented for one of this file. training: "moving" if running
        statistics move, "still" if they do not, None in evaluation."""
        return NotImplemented

    def make(self, layer, model):
        """The layer in swale; None for one of this file."""
        return None

    def parametric(self):
        return ([self.embedding] if self.embedding else []) + self.linears

    def keys(self, layer):
        """[(suffix, key in self.initial)] of a layer."""
        owner = layer.get("tie") or layer
        return [("weight", owner["name"] + ".weight")] + \
            ([("bias", layer["name"] + ".bias")] if layer.get("bias") else [])

    def is_bias(self, key):
        """Whether the parameter has the role of a bias."""
        return key.endswith(".bias")

    def frozen(self):
        """A tied parameter is one: the layer that comes last in the order of calls decides."""
        state = {}
        for layer in self.parametric():
            for _, key in self.keys(layer):
                state[key] = state.get(key, False) or layer.get("freeze", False)
        return {key for key, is_frozen in state.items() if is_frozen}

    def batches(self):
        """The ids of each step, in order; the last step of an epoch has the remaining samples."""
        if self.estimator == "full":
            return [list(range(self.n))] * self.steps
        found, at = [], 0
        for _ in range(self.steps):
            found.append(list(range(at, min(at + self.batch, self.n))))
            at = found[-1][-1] + 1 if found[-1][-1] + 1 < self.n else 0
        return found

    def rule_spec(self):
        if len(self.rules) == 1:
            return self.rules[0][0]
        return f"role=bias: {self.rules[1][0]}; {self.rules[0][0]}"

    def estimator_spec(self):
        inner = f"minibatch batch={self.batch} order=sequential"
        return {"minibatch": inner, "full": "full", "sam": f"sam rho=0.1 of={inner}"}[self.estimator]

    def text(self):
        def one(layer):
            if layer["kind"] == "residual":
                return "residual(" + ", ".join(map(one, layer["layers"])) + ")" + \
                    (" [recomputed]" if layer.get("recompute") else "")
            more = [str(layer[k]) for k in ("in", "out", "rows", "dim", "number", "axis", "shape", "axes", "window",
                                            "options", "groups", "features", "heads", "hidden", "length") if k in layer]
            flags = [f"tied to {layer['tie']['name']}" if layer.get("tie") else "",
                     "frozen" if layer.get("freeze") else "", "" if layer.get("bias", True) else "no bias",
                     "recomputed" if layer.get("recompute") else ""]
            return f"{layer['kind']}({', '.join(more)})" + "".join(f" [{flag}]" for flag in flags if flag)
        return "\n".join([
            f"/* network of seed {self.seed}, {swale.TYPE_NAMES[self.dtype]}, sample {self.sample} */",
            "sequential(" + ", ".join(map(one, self.layers)) + ")",
            f"loss {self.loss}, {self.n} samples, batch {self.batch}, {self.steps} steps "
            f"{'by hand' if self.by_hand else 'of sw_optim_minimize'}, {self.micro} micro-batches",
            f".estimator = \"{self.estimator_spec()}\", .rule = \"{self.rule_spec()}\", .schedule = "
            f"{self.schedule and self.schedule[0]!r}, .average = {self.average and self.average[0]!r}, "
            f".clip = {self.clip}, .loss_scale = {self.loss_scale!r}"])


# ---- In PyTorch ----


def forward(network, layers, p, x, training=None, shaken=lambda x: x):
    for layer in layers:
        kind = layer["kind"]
        own = network.forward(layer, p, x, training, shaken)
        if own is not NotImplemented:
            x = shaken(own)
            if x.requires_grad:
                x.register_hook(shaken)
        elif kind == "linear":
            names = dict(network.keys(layer))
            x = F.linear(x, p[names["weight"]], p[names["bias"]] if "bias" in names else None)
        elif kind == "embedding":
            rows, padding = p[network.keys(layer)[0][1]][x.long()], layer["padding"]
            x = rows if padding is None else torch.where((x == padding).unsqueeze(-1), rows.detach(), rows)
        elif kind == "residual":
            x = x + forward(network, layer["layers"], p, x, training, shaken)
        elif kind in ("flatten", "reshape"):
            x = x.reshape(x.shape[0], -1)
        elif kind == "leaky_relu":
            x = F.leaky_relu(x, layer["number"])
        elif kind == "elu":
            x = F.elu(x, layer["number"])
        elif kind in ("softmax", "log_softmax"):
            x = getattr(torch, kind)(x, layer["axis"])
        elif kind != "dropout":
            x = ACTIVATIONS[kind](x)
    return x


def loss_of(network, p, ids, training=None, shaken=lambda x: x):
    output, y = shaken(forward(network, network.layers, p, network.x[ids], training, shaken)), network.y[ids]
    axes = len(network.positions)  # F.cross_entropy takes them as rows
    output, y = output.flatten(0, axes), y.flatten(0, axes)
    return LOSSES[network.loss](output, y.long() if network.loss == "sw_cross_entropy" else y)


def run_torch(network, noise=None, given=None):
    """{name: array} of everything that is compared. given: for each step {key: gradient}, instead of those of the loss;
    None for a step that is skipped. Then the losses and what is computed at the end are left out."""
    def shaken(x):
        scale = float(x.abs().max()) if x.numel() else 0.0
        xi = 2 * torch.rand(x.shape, generator=noise, dtype=x.dtype) - 1
        return x + ETA * scale * xi * (x != 0)
    p = {key: shaken(value) if noise else value.clone() for key, value in network.initial.items()}
    free = [key for key in p if key not in network.frozen()]
    for key in free:
        p[key].requires_grad_()
    biases = [key for key in free if network.is_bias(key)] if len(network.rules) == 2 else []
    groups = [(network.rules[0], [key for key in free if key not in biases])]
    if biases:
        groups.append((network.rules[1], biases))
    optimizers = [(kind([p[key] for key in keys], foreach=False, **more), more["lr"])
                  for (_, kind, more), keys in groups if keys]

    def gradients(ids, training="moving"):
        loss = loss_of(network, p, ids, training, shaken if noise else lambda x: x)
        found = torch.autograd.grad(loss, [p[key] for key in free], allow_unused=True)
        found = [torch.zeros_like(p[key]) if g is None else g for key, g in zip(free, found)]
        return float(loss.detach()), [shaken(g) for g in found] if noise else found

    def point():
        return torch.cat([p[key].detach().reshape(-1) for key in p])
    record, points, taken = {}, [point()], 0
    for step, ids in enumerate(network.batches()):
        if given and given[step] is None:
            record[f"parameters after step {step + 1}"] = point()
            continue
        if given:
            loss, g = math.nan, [shaken(given[step][key]) if noise else given[step][key] for key in free]
        else:
            loss, g = gradients(ids)
        if network.estimator == "sam":
            norm = math.sqrt(sum(float((x * x).sum()) for x in g))
            before = [p[key].detach().clone() for key in free]
            with torch.no_grad():
                for key, x in zip(free, g):
                    p[key] += 0.1 * x / norm if norm else 0
            _, g = gradients(ids, "still")
            with torch.no_grad():
                for key, x in zip(free, before):
                    p[key].copy_(x)
        if not given:
            record[f"loss of step {step + 1}"] = torch.tensor([loss], dtype=torch.float64)
        norm = math.sqrt(sum(float((x * x).sum()) for x in g))
        factor = network.clip / norm if network.clip and norm > network.clip else 1.0
        for key, x in zip(free, g):
            p[key].grad = x * factor
        scale = network.schedule[1](taken, network.steps) if network.schedule else 1.0
        taken += 1
        for optimizer, lr in optimizers:
            optimizer.param_groups[0]["lr"] = lr * scale
            optimizer.step()
        if noise:
            with torch.no_grad():
                for key in free:
                    p[key].copy_(shaken(p[key]))
        points.append(point())
        record[f"parameters after step {step + 1}"] = points[-1]
    average = network.average[1](points) if network.average and taken else points[-1]
    record["point"] = average
    if given:
        return record
    at, last = 0, {}
    for key, x in p.items():
        last[key] = average[at:at + x.numel()].reshape(x.shape)
        at += x.numel()
    with torch.no_grad():
        record["prediction"] = forward(network, network.layers, p, network.x).detach()
        everything = list(range(network.n))
        loss = loss_of(network, last, everything, None, shaken if noise else lambda x: x)
        record["evaluation at the point"] = loss.reshape(1)
    return record


# ---- In swale ----


class Model:
    def __init__(self, network):
        self.network, self.module = network, {}
        self.model = lib.sw_model_new(network.dtype, 1)
        if network.open:
            shape = swale.Shape(network.sample).expand()
            lib.sw_model_set_input_shape(self.model, *shape)
        root = self.sequential(network.layers)
        self.params = lib.sw_model_build(self.model, root)
        if not self.params:
            raise swale.Refused(lib.error())
        self.root = root
        self.param = {}
        for layer in network.parametric():
            for suffix, key in network.keys(layer):
                param = lib.sw_module_find_param(self.module[layer["name"]], suffix.encode()) or \
                    lib.sw_params_find(self.params, key.encode())  # of a layer inside, whose name is set
                if not param:
                    raise swale.Refused(f"no parameter {suffix} of {layer['name']}: {lib.error()}")
                self.param.setdefault(key, param)
        for key, value in network.initial.items():
            view = lib.sw_param_value(self.param[key])
            array = swale.stored(value.numpy(), view.type)
            if tuple(view.shape[:view.rank]) != array.shape:
                raise swale.Refused(f"shape of {key}")
            ctypes.memmove(view.data, array.ctypes.data, array.nbytes)
        lib.sw_params_mark_changed(self.params)

    def sequential(self, layers):
        modules = [self.make(layer) for layer in layers]
        modules = [lib.sw_nn_recompute(self.model, m) if layer.get("recompute") else m
                   for layer, m in zip(layers, modules)]
        return lib.sw_nn_sequential_array(self.model, len(modules), (ctypes.c_void_p * len(modules))(*modules))

    def make(self, layer):
        model, kind, network = self.model, layer["kind"], self.network
        m = network.make(layer, model)
        if m:
            if "name" not in layer:
                return m
        elif kind == "linear":
            new = lib.sw_nn_linear if layer["bias"] else lib.sw_nn_linear_no_bias
            m = new(model, 0 if network.open else layer["in"], layer["out"])
        elif kind == "embedding":
            padding = layer["padding"]
            options = swale.EmbeddingOptions(ctypes.sizeof(swale.EmbeddingOptions), padding is not None, padding or 0)
            m = lib.sw_nn_embedding_with_options(model, layer["rows"], layer["dim"], ctypes.addressof(options))
        elif kind == "residual":
            return lib.sw_nn_residual(model, self.sequential(layer["layers"]))
        elif kind == "reshape":
            return lib.sw_nn_reshape(model, *swale.Shape(layer["shape"]).expand())
        elif kind in ("leaky_relu", "elu"):
            return getattr(lib, "sw_nn_" + kind)(model, layer["number"])
        elif kind == "dropout":
            return lib.sw_nn_dropout(model, layer["number"] if network.by_hand and not network.trains else 0.0)
        elif kind in ("softmax", "log_softmax"):
            return getattr(lib, "sw_nn_" + kind)(model, layer["axis"])
        elif kind == "flatten":
            return lib.sw_nn_flatten(model)
        else:
            return lib.sw_nn_activation(model, kind.encode())
        self.module[layer["name"]] = m
        if layer.get("tie"):
            lib.sw_module_tie(m, self.module[layer["tie"]["name"]])
        if layer.get("freeze"):
            lib.sw_module_freeze(m, True)
        return m

    def point(self, vector=None):
        """All parameters in the order of network.initial, from the model's vector or another."""
        base = vector or lib.sw_params_x(self.params)
        kind = np.dtype(swale.NUMPY[lib.sw_params_type(self.params)])
        parts = []
        for key in self.network.initial:
            param = self.param[key].contents
            while param.tied:
                param = param.tied.contents
            text = ctypes.string_at(base + param.offset * kind.itemsize, param.count * kind.itemsize)
            parts.append(np.frombuffer(text, kind))
        return np.concatenate(parts)


def run_swale(network, watch=None):
    """As run_torch. watch: of half_networks.py, which looks at the gradients of a loop by hand; then a run goes on after
    a step that was skipped."""
    lib.sw_clear_error()
    kind = swale.NUMPY.get(network.dtype, np.float32)
    xs = np.ascontiguousarray(network.x.numpy().astype(kind))
    ys = network.y.numpy()
    ys = np.ascontiguousarray(ys if ys.dtype == np.int32 else ys.astype(kind))
    loss_address = lib.address(network.loss)
    source = optim = tape = None
    model = Model(network)
    try:
        targets = ys  # of the source, whose ids are one for each sample; others are given as distributions
        if ys.dtype == np.int32 and ys.ndim > 1:
            targets = np.ascontiguousarray(np.eye(network.outputs, dtype=kind)[ys])
        arrays = swale.array_of(xs), swale.array_of(targets)
        options = swale.ArraysOptions(size=ctypes.sizeof(swale.ArraysOptions),
                                      classes=network.outputs if targets.dtype == np.int32 else 0)
        source = lib.sw_arrays(ctypes.addressof(arrays[0]), ctypes.addressof(arrays[1]),
                               ctypes.addressof(options))
        objective = source and lib.sw_model_objective(model.model, source, loss_address)
        if not objective:
            raise swale.Refused(lib.error())
        how = swale.OptimOptions(
            size=ctypes.sizeof(swale.OptimOptions),
            estimator=None if network.by_hand else network.estimator_spec().encode(),
            rule=network.rule_spec().encode(), schedule=network.schedule and network.schedule[0].encode(),
            average=network.average and network.average[0].encode(), clip=network.clip, seed=1,
            total_steps=network.steps, loss_scale=network.loss_scale and network.loss_scale.encode())
        optim = lib.sw_optim_new_with_options(model.params, ctypes.addressof(how))
        if not optim:
            raise swale.Refused(lib.error())
        tape = lib.sw_tape_new()
        lib.sw_tape_set_switch(tape, swale.TRAIN, network.trains)
        record = {}
        for step, ids in enumerate(network.batches()):
            if network.by_hand:
                loss = by_hand(network, model, optim, tape, xs, ys, ids, watch and (lambda: watch.look(model)))
                if loss is None and watch:
                    watch.skipped()
                elif loss is None:
                    return record | {"skipped": step + 1}
            else:
                value = ctypes.c_double()
                status = lib.sw_optim_minimize(optim, objective, ctypes.addressof(value))
                if status == swale.SKIPPED:
                    return record | {"skipped": step + 1}
                swale.check(status)
                loss = value.value
            record[f"loss of step {step + 1}"] = np.array([loss])
            record[f"parameters after step {step + 1}"] = model.point()
        vector = lib.sw_optim_point(optim)
        record["point"] = model.point(vector)
        out = swale.Array()
        swale.check(lib.sw_predict(model.model, ctypes.addressof(arrays[0]), ctypes.addressof(out)))
        record["prediction"] = swale.numbers(out)
        lib.sw_array_free(ctypes.addressof(out))
        evaluation = (ctypes.c_double * 2)()
        swale.check(lib.sw_model_evaluate(model.model, vector, source, loss_address, evaluation))
        record["evaluation at the point"] = np.array([evaluation[0]])
        text = lib.error()
        if text:
            raise swale.Refused("an error is left: " + text)
        return record
    finally:
        lib.sw_clear_error()
        lib.sw_optim_free(optim)
        lib.sw_tape_free(tape)
        lib.sw_model_free(model.model)
        lib.sw_source_free(source)


def by_hand(network, model, optim, tape, xs, ys, ids, look=None):
    """One step from micro-batches: the mean loss over all samples; None if it was skipped. look() is called before the
    step."""
    sizes = [len(part) for part in np.array_split(ids, network.micro) if len(part)]
    total, at = 0.0, 0
    for size in sizes:
        part = ids[at:at + size]
        at += size
        x, y = np.ascontiguousarray(xs[part]), np.ascontiguousarray(ys[part])
        lib.sw_tape_reset(tape)
        swale.check(lib.sw_tape_set_sample_ids(tape, (ctypes.c_int64 * size)(*part), size))
        output = lib.sw_forward(model.root, lib.sw_input(tape, swale.array_of(x)))
        loss = getattr(lib, network.loss)(output, lib.sw_input(tape, swale.array_of(y)))
        if not loss.tape:
            raise swale.Refused(lib.error())
        total += lib.sw_item(loss) * size
        swale.check(lib.sw_backward(lib.sw_neg(loss) if network.maximize else loss))
    if look:
        look()
    status = lib.sw_optim_step(optim)
    if status != swale.SKIPPED:
        swale.check(status)
    return None if status == swale.SKIPPED else total / len(ids)


# ---- Comparison ----


def compare(network):
    """(None or the first difference as text, whether the run was too sensitive)."""
    reference = run_torch(network)
    try:
        record = run_swale(network)
    except swale.Refused as error:
        return f"swale refuses: {error}", False
    changes = {}
    for draw in range(2):
        other = run_torch(network, torch.Generator().manual_seed(2 * network.seed + draw))
        for name, x in other.items():
            change = float((x - reference[name]).abs().max()) / ETA if x.numel() else 0.0
            changes[name] = max(changes.get(name, 0.0), change)
    sensitive = False
    skipped = record.pop("skipped", None)
    if skipped:  # a gradient was not finite: so must be where PyTorch's step leads
        if torch.isfinite(reference[f"parameters after step {skipped}"]).all():
            return f"swale skips step {skipped}; PyTorch's parameters are finite after it", True
        reference = {name: x for name, x in reference.items() if name in record}
        sensitive = True
    for name, wanted in reference.items():
        got = torch.from_numpy(record[name].astype(np.float64))
        if tuple(got.shape) != tuple(wanted.shape):
            return f"{name}: shape {list(got.shape)}, PyTorch {list(wanted.shape)}", False
        finite = torch.isfinite(wanted)
        if not finite.all():  # a run that has grown beyond all bounds
            sensitive = True
            if not ((got == wanted) | (got.isnan() & wanted.isnan()) | finite).all():
                return f"{name}: other infinities or NaN: {got.tolist()}, PyTorch {wanted.tolist()}", True
            continue
        size = float(wanted.abs().max())
        tolerance = K * UNIT[network.dtype] * (size + changes[name])
        sensitive |= not tolerance <= SENSITIVE[network.dtype] * max(size, 1e-3)
        difference = float((got - wanted).abs().max())
        if not difference <= tolerance:
            return (f"{name}: difference {difference:.3g}, tolerance {tolerance:.3g} (size {size:.3g}, condition "
                    f"{changes[name]:.3g})\nswale   {got.reshape(-1).tolist()[:40]}\n"
                    f"PyTorch {wanted.reshape(-1).tolist()[:40]}"), sensitive
    return None, sensitive


def shrink(network, difference, compare=compare):
    """The smallest network that still differs, and the difference."""
    def set_to(name, value):
        def change(n):
            setattr(n, name, value)
        return change

    def one_rule(which):
        def change(n):
            n.rules = [n.rules[which]]
        return change

    def unfrozen(n):
        for layer in n.linears:
            layer["freeze"] = False

    def shorter(n):
        n.steps -= 1
    changes = [set_to("average", None), set_to("schedule", None), set_to("clip", 0), set_to("micro", 1),
               set_to("estimator", "minibatch"), set_to("by_hand", False), one_rule(0), one_rule(-1), unfrozen,
               shorter]
    improved = True
    while improved:
        improved = False
        for change in changes:
            other = copy.deepcopy(network)
            change(other)
            if other.steps < 1 or other.text() == network.text():
                continue
            found, _ = compare(other)
            if found:
                network, difference, improved = other, found, True
    return network, difference
