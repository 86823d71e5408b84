"""The side of JAX, with optax: see peer.h. It uses the processors on which the process may run."""
import functools
import os

import jax
import jax.numpy as jnp
import numpy
import optax

import peer
from networks_jax import NETWORKS, initial as initial_network

@functools.lru_cache(None)
def pictures(split):
    x, y = peer.load(split)
    return jnp.asarray(x), jnp.asarray(y, jnp.int32)


def initial(hidden, seed=1):
    sizes = [peer.INPUTS, *map(int, hidden.split(",")), peer.CLASSES]
    rng = numpy.random.default_rng(seed)
    return [(jnp.asarray(rng.uniform(-1, 1, (a, b)) * (6 / a) ** 0.5, jnp.float32), jnp.zeros(b))
            for a, b in zip(sizes, sizes[1:])]


def forward(parameters, x):
    for weight, bias in parameters[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = parameters[-1]
    return x @ weight + bias


def loss_of(parameters, x, y, name=None):
    scores = NETWORKS[name](parameters, x.reshape(-1, 28, 28, 1)) if name else forward(parameters, x)
    return optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()


adam, adamw = optax.adam(1e-3), optax.adamw(1e-3)


def step(carry, ids, x, y, name=None):
    """name: a convolutional network, which is trained by AdamW."""
    parameters, state = carry
    loss, gradient = jax.value_and_grad(loss_of)(parameters, x[ids], y[ids], name)
    update, state = (adamw if name else adam).update(gradient, state, parameters)
    return (optax.apply_updates(parameters, update), state), loss


def stepper(batch, name=None):
    """One jitted step, the batch's ids cut out of the epoch's order within it."""
    def cut(carry, order, at, x, y):
        return step(carry, jax.lax.dynamic_slice(order, (at,), (batch,)), x, y, name)
    return jax.jit(cut, donate_argnums=0)


def scanner(name=None):
    """Many steps in one jitted call."""
    def scan(carry, ids, x, y):
        return jax.lax.scan(lambda c, i: step(c, i, x, y, name), carry, ids)
    return jax.jit(scan, donate_argnums=0)


class Training:
    def __init__(self, hidden, batch, path):
        self.x, self.y = pictures("train")
        self.batch, self.at, self.scans = batch, len(self.y), path == "scan"
        name = hidden if hidden in NETWORKS else None
        parameters = initial_network(name) if name else initial(hidden)
        self.carry = parameters, (adamw if name else adam).init(parameters)
        self.call = scanner(name) if self.scans else stepper(batch, name)
        self.rng = numpy.random.default_rng(1)

    def shuffle(self):
        self.order, self.at = self.rng.permutation(len(self.y)).astype(numpy.int32), 0
        if not self.scans:
            self.order = jnp.asarray(self.order)

    def next_ids(self):
        if self.at + self.batch > len(self.y):
            self.shuffle()
        self.at += self.batch
        return self.order[self.at - self.batch:self.at]

    def run(self, steps):
        if self.scans:
            ids = numpy.stack([self.next_ids() for _ in range(steps)])
            self.carry, losses = self.call(self.carry, ids, self.x, self.y)
            return float(losses[-1])
        for _ in range(steps):
            if self.at + self.batch > len(self.y):
                self.shuffle()
            self.carry, loss = self.call(self.carry, self.order, self.at, self.x, self.y)
            self.at += self.batch
        return float(loss)


training = peer.once(Training)


def train(hidden, batch, path, steps):
    trained, steps = training(hidden, int(batch), path), int(steps)
    # A scan is compiled for its number of steps: the same number warms it up.
    return peer.timed(trained.run, steps, steps if path == "scan" else None)


def small_loss(parameters, x, y):
    for weight, bias in parameters[:-1]:
        x = jnp.tanh(x @ weight + bias)
    weight, bias = parameters[-1]
    return ((x @ weight + bias - y) ** 2).mean()


def small_step(carry, x, y):
    parameters, state = carry
    loss, gradient = jax.value_and_grad(small_loss)(parameters, x, y)
    update, state = adam.update(gradient, state)
    return (optax.apply_updates(parameters, update), state), loss


class Small:
    """4-32-16-4 with tanh, MSE and Adam, all samples in each step. path: step or scan."""

    def __init__(self, batch, path):
        rng = numpy.random.default_rng(1)
        self.x, self.y = map(jnp.asarray, peer.small_data(batch))
        parameters = [(jnp.asarray(rng.uniform(-1, 1, (a, b)) / a ** 0.5, jnp.float32), jnp.zeros(b))
                      for a, b in ((4, 32), (32, 16), (16, 4))]
        self.carry, self.scans = (parameters, adam.init(parameters)), path == "scan"
        self.one = jax.jit(small_step, donate_argnums=0)
        self.many = jax.jit(lambda c, n, x, y: jax.lax.scan(lambda c, _: small_step(c, x, y), c, None, length=n),
                            static_argnums=1, donate_argnums=0)

    def run(self, steps):
        if self.scans:
            self.carry, losses = self.many(self.carry, steps, self.x, self.y)
            return float(losses[-1])
        for _ in range(steps):
            self.carry, loss = self.one(self.carry, self.x, self.y)
        return float(loss)


small_network = peer.once(Small)


def small(batch, path, steps):
    # A scan is compiled for its number of steps: the same number warms it up.
    return peer.timed(small_network(int(batch), path).run, int(steps), int(steps) if path == "scan" else None)


predict = jax.jit(forward)


def evaluate(parameters, split):
    x, y = pictures(split)
    right = sum(int((predict(parameters, x[i:i + 1000]).argmax(1) == y[i:i + 1000]).sum())
                for i in range(0, len(y), 1000))
    return right / len(y)


def job(hidden, batch, epochs, path):
    trained = Training(hidden, int(batch), path)
    steps = len(trained.y) // trained.batch
    for _ in range(int(epochs)):
        trained.run(steps)
        accuracy = evaluate(trained.carry[0], "t10k")
    evaluate(trained.carry[0], "train")
    return 0, accuracy


@peer.once
def predictor(batch):
    trained = training("100", 64, "step")
    trained.run(500)
    x = pictures("t10k")[0]
    return trained.carry[0], [x[i:i + batch] for i in range(0, len(x), batch)]


def infer(batch, path, steps):
    batch = int(batch)
    parameters, batches = predictor(batch)

    def run(steps):
        for i in range(steps):
            scores = predict(parameters, batches[i % len(batches)]).block_until_ready()
        return scores

    seconds, _ = peer.timed(run, int(steps))
    y = pictures("t10k")[1][:peer.CHECKED]
    scores = jnp.concatenate([predict(parameters, rows) for rows in batches[:peer.CHECKED // batch]])
    return seconds / batch, float((scores.argmax(1) == y).mean())


class Updating:
    def __init__(self, shapes):
        self.adamw = optax.adamw(1e-3)
        shapes = [[int(length) for length in shape.split("x")] for shape in shapes.split(",")]
        self.gradient = [(jnp.arange(numpy.prod(shape)) % 17 - 8).astype(jnp.float32).reshape(shape) / 8
                         for shape in shapes]
        parameters = [jnp.zeros(s) for s in shapes]
        self.carry = parameters, self.adamw.init(parameters)
        self.call = jax.jit(self.step, donate_argnums=0)

    def step(self, carry, gradient):
        parameters, state = carry
        update, state = self.adamw.update(gradient, state, parameters)
        return optax.apply_updates(parameters, update), state

    def run(self, steps):
        for _ in range(steps):
            self.carry = self.call(self.carry, self.gradient)
        jax.block_until_ready(self.carry)
        return float(self.carry[0][0].ravel()[0])


updater = peer.once(Updating)


def optim(shapes, path, steps):
    return peer.timed(updater(shapes).run, int(steps))


def load(path, steps):
    def run(steps):
        for _ in range(steps):
            samples = sum(len(jnp.asarray(peer.load(split)[1])) for split in ("train", "t10k"))
        return samples
    return peer.timed(run, int(steps))


def forget():
    peer.cached.clear()
    jax.clear_caches()


peer.serve(f"JAX {jax.__version__}, optax {optax.__version__}; {len(os.sched_getaffinity(0))} processors",
           {f.__name__: f for f in (train, small, job, infer, optim, load, forget)})
