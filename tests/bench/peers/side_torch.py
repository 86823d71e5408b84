"""The side of PyTorch: see peer.h. It uses PEERS_THREADS threads."""
import functools
import gc
import json
import os
import tempfile
import time

import torch
from torch.nn import functional

import attention_torch
import gpt_torch
import peer
from networks_torch import LAYERS, NETWORKS

TYPES = {"bf16": torch.bfloat16, "f16": torch.float16}


@functools.lru_cache(None)
def pictures(split):
    x, y = peer.load(split)
    return torch.from_numpy(x), torch.from_numpy(y)


def network(hidden):
    if hidden in NETWORKS:
        return NETWORKS[hidden]()
    layers, inputs = [], peer.INPUTS
    for units in map(int, hidden.split(",")):
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        inputs = units
    return torch.nn.Sequential(*layers, torch.nn.Linear(inputs, peer.CLASSES))


def optimizer(kind, parameters, path):
    """path: default, foreach or fused, with compile- before it, or compile-step; of the optimizer alone."""
    ways = {"default": {}, "foreach": {"foreach": True}, "fused": {"fused": True}, "step": {"foreach": True}}
    made = kind(parameters, lr=1e-3, **ways[path.removeprefix("compile-")])
    return made, torch.compile(made.step) if path == "compile-step" else made.step


class Training:
    """path: as of optimizer, with -bf16 or -f16 at its end: autocast, for f16 with a scaled loss; with -last: pictures
    and weights in the memory format channels_last. Convolutional networks are trained by AdamW."""

    def __init__(self, hidden, batch, path):
        self.type = next((kind for name, kind in TYPES.items() if path.endswith("-" + name)), None)
        path = path.removesuffix("-bf16").removesuffix("-f16")
        memory = torch.channels_last if path.endswith("-last") else torch.contiguous_format
        path = path.removesuffix("-last")
        self.scaler = torch.amp.GradScaler("cpu") if self.type == torch.float16 else None
        self.x, self.y = pictures("train")
        self.batch, self.at = batch, len(self.y)
        self.rows = torch.empty(batch, peer.INPUTS)
        self.model, self.pictures = network(hidden), hidden in NETWORKS
        if self.pictures:
            self.model = self.model.to(memory_format=memory)
        kind = torch.optim.AdamW if self.pictures else torch.optim.Adam
        self.optimizer, self.step = optimizer(kind, self.model.parameters(), path)
        self.loss = torch.compile(self.loss_of) if path.startswith("compile") else self.loss_of

    def loss_of(self, x, y):
        if self.type is None:
            return functional.cross_entropy(self.model(x), y)
        with torch.autocast("cpu", dtype=self.type):
            return functional.cross_entropy(self.model(x), y)

    def run(self, steps):
        for _ in range(steps):
            if self.at + self.batch > len(self.y):
                self.order, self.at = torch.randperm(len(self.y)), 0
            ids = self.order[self.at:self.at + self.batch]
            self.at += self.batch
            x = torch.index_select(self.x, 0, ids, out=self.rows)
            x = x.view(-1, 1, 28, 28) if self.pictures else x
            loss = self.loss(x, torch.index_select(self.y, 0, ids))
            self.optimizer.zero_grad()
            if self.scaler:
                self.scaler.scale(loss).backward()
                self.scaler.step(self.optimizer)
                self.scaler.update()
            else:
                loss.backward()
                self.step()
        return loss


training = peer.once(Training)


def train(hidden, batch, path, steps):
    seconds, loss = peer.timed(training(hidden, int(batch), path).run, int(steps))
    return seconds, loss.item()


class Small:
    """4-32-16-4 with tanh, MSE and Adam, all samples in each step."""

    def __init__(self, batch, path):
        self.x, self.y = map(torch.from_numpy, peer.small_data(batch))
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.Tanh(), torch.nn.Linear(32, 16),
                                         torch.nn.Tanh(), torch.nn.Linear(16, 4))
        self.optimizer, self.step = optimizer(torch.optim.Adam, self.model.parameters(), path)
        self.loss = torch.compile(self.loss_of) if path.startswith("compile") else self.loss_of

    def loss_of(self):
        return functional.mse_loss(self.model(self.x), self.y)

    def run(self, steps):
        for _ in range(steps):
            loss = self.loss()
            self.optimizer.zero_grad()
            loss.backward()
            self.step()
        return loss


small_network = peer.once(Small)


def small(batch, path, steps):
    seconds, loss = peer.timed(small_network(int(batch), path).run, int(steps))
    return seconds, loss.item()


@torch.inference_mode()
def evaluate(model, split):
    x, y = pictures(split)
    loss = right = 0
    for rows, ids in zip(x.split(1000), y.split(1000)):
        scores = model(rows)
        loss += functional.cross_entropy(scores, ids, reduction="sum").item()
        right += (scores.argmax(1) == ids).sum().item()
    return right / len(y)


def job(hidden, batch, epochs, path):
    trained = Training(hidden, int(batch), path)
    steps = len(trained.y) // trained.batch
    for _ in range(int(epochs)):
        trained.run(steps)
        accuracy = evaluate(trained.model, "t10k")
    evaluate(trained.model, "train")
    return 0, accuracy


@peer.once
def predictor(batch, path):
    model = training("100", 64, "default")
    model.run(500)
    model = model.model.eval()
    if path == "trace":
        with torch.inference_mode():
            traced = torch.jit.trace(model, torch.zeros(batch, peer.INPUTS))
        model = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    elif path == "compile":
        model = torch.compile(model)
    batches = pictures("t10k")[0].split(batch)

    def run(steps):
        with torch.no_grad() if path == "no_grad" else torch.inference_mode():
            for i in range(steps):
                scores = model(batches[i % len(batches)])
        return scores

    return model, run


def infer(batch, path, steps):
    batch = int(batch)
    model, run = predictor(batch, path)
    seconds, _ = peer.timed(run, int(steps))
    x, y = pictures("t10k")
    with torch.inference_mode():
        scores = torch.cat([model(rows) for rows in x[:peer.CHECKED].split(batch)])
    return seconds / batch, (scores.argmax(1) == y[:peer.CHECKED]).float().mean().item()


RULES = {"adamw": torch.optim.AdamW, "muon": torch.optim.Muon, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop,
         "adagrad": torch.optim.Adagrad, "adadelta": torch.optim.Adadelta, "adam": torch.optim.Adam,
         "adamax": torch.optim.Adamax, "nadam": torch.optim.NAdam, "radam": torch.optim.RAdam,
         "asgd": torch.optim.ASGD, "rprop": torch.optim.Rprop, "adafactor": torch.optim.Adafactor}


@peer.once
def updater(shapes, path, rule):
    parameters = []
    for shape in shapes.split(","):
        parameter = torch.nn.Parameter(torch.zeros([int(length) for length in shape.split("x")]))
        parameter.grad = (torch.arange(parameter.numel()) % 17 - 8).float().view_as(parameter) / 8
        parameters.append(parameter)
    return parameters, optimizer(RULES[rule], parameters, path)[1]


def optim(shapes, path, steps, rule="adamw"):
    parameters, step = updater(shapes, path, rule)

    def run(steps):
        for _ in range(steps):
            step()

    seconds, _ = peer.timed(run, int(steps))
    return seconds, parameters[0].flatten()[0].item()


@peer.once
def layer(batch, inputs, outputs, path):
    """A linear layer without bias, its optimizer's step, and its input."""
    weight = torch.nn.Linear(inputs, outputs, bias=False)
    x = ((torch.arange(batch * inputs) % 13 - 6).float() / 8).view(batch, inputs)
    return weight, optimizer(torch.optim.AdamW, weight.parameters(), path)[1], x


def after(batch, path, steps, out, **settings):
    """The steps of the optimizer alone, each after a backward of the layer."""
    weight, step, x = layer(int(batch), int(settings["in"]), int(out), path)
    steps, seconds = int(steps), 0
    for i in range(-3, steps):
        weight.weight.grad = None
        y = weight(x)
        (y * y).mean().backward()
        start = time.perf_counter()
        step()
        seconds += time.perf_counter() - start if i >= 0 else 0
    return seconds / steps, weight.weight.flatten()[0].item()


class SingleLayer:
    """path: first or last, the memory format of pictures."""

    def __init__(self, name, path):
        shape, make = LAYERS[name]
        if path == "last" and len(shape) < 4:
            raise ValueError("no picture")
        memory = torch.channels_last if path == "last" else torch.contiguous_format
        numbers = torch.arange(torch.Size(shape).numel()) * 7919 % 1999 / 1999 - 0.5
        self.layer = make().to(memory_format=memory)
        self.x = numbers.view(shape).contiguous(memory_format=memory).requires_grad_()
        self.cotangent = torch.ones_like(self.layer(self.x))

    def run(self, steps, gradient):
        for _ in range(steps):
            y = self.layer(self.x)
            if gradient:
                torch.autograd.grad(y, [self.x, *self.layer.parameters()], self.cotangent)
        return y


made_layer = peer.once(SingleLayer)


def single(name, path, steps, **settings):
    made, gradient = made_layer(name, path), settings["pass"] == "both"
    seconds, y = peer.timed(lambda count: made.run(count, gradient), int(steps))
    return seconds, y.flatten()[0].item()


gpt_training, gpt_generation = peer.once(gpt_torch.Training), peer.once(gpt_torch.Generation)


def gpt(task, path, steps):
    return peer.timed(gpt_training(task, path).run, int(steps))


def memory(path, steps):
    """The bytes that PyTorch's allocator had given at most in a training of a few steps, and by how many the resident
    memory of the process rose; both from before the network was made."""
    def run():
        gpt_torch.Training("characters", path).run(3)

    peer.resident_reset()
    before = peer.resident_bytes("VmRSS")
    run()
    resident = peer.resident_bytes("VmHWM") - before
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        profile.export_chrome_trace(file.name)
        with open(file.name) as trace:
            events = json.load(trace)["traceEvents"]
    return max(event["args"]["Total Allocated"] for event in events if event["name"] == "[memory]"), resident


def generate(path, steps):
    return peer.timed(gpt_generation(path).run, int(steps))


made_attention = peer.once(attention_torch.Attention)


def attention(path, steps, causal, **sizes):
    sizes = [int(sizes[name]) for name in ("batch", "heads", "length", "features")]
    return peer.timed(made_attention(*sizes, causal == "1", path).run, int(steps))


def load(path, steps):
    def run(steps):
        for _ in range(steps):
            samples = sum(len(torch.from_numpy(peer.load(split)[1])) for split in ("train", "t10k"))
        return samples
    return peer.timed(run, int(steps))


def forget():
    peer.cached.clear()
    if hasattr(torch, "_dynamo"):
        torch._dynamo.reset()


threads = int(os.environ.get("PEERS_THREADS", 1))
torch.set_num_threads(threads)
torch.manual_seed(1)
peer.serve(f"PyTorch {torch.__version__}; {threads} threads",
           {f.__name__: f for f in (train, small, job, infer, optim, after, single, attention, gpt, memory, generate,
                                    load, forget)})
