"""The convolutional networks of ../networks.h in JAX, with pictures [N, H, W, C]. Batch normalization uses the
statistics of the batch; running statistics are not kept, which favors JAX."""
import jax
import jax.numpy as jnp
import numpy


def conv(x, weight, stride=1, padding="SAME"):
    return jax.lax.conv_general_dilated(x, weight, (stride, stride), padding,
                                        dimension_numbers=("NHWC", "HWIO", "NHWC"))


def pool(x, kind):
    start, combine = (-jnp.inf, jax.lax.max) if kind == "max" else (0.0, jax.lax.add)
    sums = jax.lax.reduce_window(x, start, combine, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    return sums if kind == "max" else sums / 4


def norm(x, scale, shift):
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * (scale * jax.lax.rsqrt(variance + 1e-5)) + shift


def dense(x, weight, bias):
    return x @ weight + bias


def lenet(p, x):
    x = pool(jax.nn.relu(conv(x, p["conv1"], padding="VALID") + p["bias1"]), "max")
    x = pool(jax.nn.relu(conv(x, p["conv2"], padding="VALID") + p["bias2"]), "max")
    x = jax.nn.relu(dense(x.reshape(len(x), -1), p["dense1"], p["bias3"]))
    return dense(x, p["dense2"], p["bias4"])


def average(p, x):
    x = pool(jax.nn.relu(conv(x, p["conv1"]) + p["bias1"]), "average")
    x = pool(jax.nn.relu(conv(x, p["conv2"]) + p["bias2"]), "average")
    x = jax.nn.relu(dense(x.reshape(len(x), -1), p["dense1"], p["bias3"]))
    return dense(x, p["dense2"], p["bias4"])


def block(p, name, x, stride):
    y = jax.nn.relu(norm(conv(x, p[name + "conv1"], stride), *p[name + "norm1"]))
    y = norm(conv(y, p[name + "conv2"]), *p[name + "norm2"])
    if name + "conv3" in p:
        x = norm(conv(x, p[name + "conv3"], stride), *p[name + "norm3"])
    return jax.nn.relu(x + y)


def resnet8(p, x):
    x = jax.nn.relu(norm(conv(x, p["conv0"]), *p["norm0"]))
    for name, stride in (("a", 1), ("b", 2), ("c", 2)):
        x = block(p, name, x, stride)
    return dense(x.mean((1, 2)), p["dense2"], p["bias4"])


def initial(name, seed=1):
    """Initial values of all parameters, by name."""
    rng = numpy.random.default_rng(seed)

    def weight(*shape):
        bound = (6 / numpy.prod(shape[:-1])) ** 0.5
        return jnp.asarray(rng.uniform(-bound, bound, shape), jnp.float32)

    if name != "resnet8":
        kernel, features, hidden = (5, 512, 128) if name == "lenet" else (3, 1568, 64)
        return {"conv1": weight(kernel, kernel, 1, 16), "bias1": jnp.zeros(16),
                "conv2": weight(kernel, kernel, 16, 32), "bias2": jnp.zeros(32),
                "dense1": weight(features, hidden), "bias3": jnp.zeros(hidden),
                "dense2": weight(hidden, 10), "bias4": jnp.zeros(10)}
    p = {"conv0": weight(3, 3, 1, 16), "norm0": (jnp.ones(16), jnp.zeros(16)),
         "dense2": weight(64, 10), "bias4": jnp.zeros(10)}
    for block_name, inputs, outputs in (("a", 16, 16), ("b", 16, 32), ("c", 32, 64)):
        convolutions = [(1, 3, inputs), (2, 3, outputs)] + [(3, 1, inputs)] * (inputs != outputs)
        for number, kernel, channels in convolutions:
            p[f"{block_name}conv{number}"] = weight(kernel, kernel, channels, outputs)
            p[f"{block_name}norm{number}"] = (jnp.ones(outputs), jnp.zeros(outputs))
    return p


NETWORKS = {"lenet": lenet, "average": average, "resnet8": resnet8}
