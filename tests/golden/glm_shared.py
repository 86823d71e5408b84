"""Generalized linear models in float64 NumPy: values, gradients, Hessians and a damped Newton method of each loss
of objective.h ("Losses of generalized linear models"), and the data sets that come with scikit-learn.

    f(W, b) = sum_i w_i l(W a_i + b, y_i) / sum_i w_i + l2/2 |W|^2

Parameters have the layout of sw_glm_params: W [outputs, features], then b [outputs].
"""
import json

import numpy as np
from sklearn import datasets

CURVATURE = {"logistic": 0.25, "multinomial": 0.5, "squared": 1, "huber": 1, "squared_hinge": 2}


# ---- Data ----


def load():
    """Arrays by name, as they are in glm.safetensors."""
    arrays = {}
    for name in ["breast_cancer", "digits", "wine"]:
        x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        arrays[f"{name}.x"] = x.astype(np.uint8) if name == "digits" else x
        arrays[f"{name}.y"] = y.astype(np.uint8)
    x, y = datasets.load_diabetes(return_X_y=True, scaled=False)
    arrays["diabetes.x"], arrays["diabetes.y"] = x, y
    return arrays


def standardized(x):
    """Columns with mean 0 and variance 1; constant ones become 0."""
    x = x.astype(float)
    deviation = x.std(0)
    return (x - x.mean(0)) / np.where(deviation > 0, deviation, 1)


def sample_weights(n):
    """0 to 4."""
    return 7.0 * np.arange(n) % 5


def save(path, arrays):
    """As the package safetensors does: the widest types first, then by name."""
    kinds = {"float64": "F64", "float32": "F32", "int64": "I64", "int32": "I32", "uint8": "U8"}
    order = sorted(arrays, key=lambda name: (-arrays[name].dtype.itemsize, name))
    header, at = {}, 0
    for name in order:
        a = arrays[name]
        header[name] = {"dtype": kinds[str(a.dtype)], "shape": list(a.shape), "data_offsets": [at, at + a.nbytes]}
        at += a.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            file.write(np.ascontiguousarray(arrays[name]).tobytes())


# ---- Losses ----


def sigmoid(z):
    return np.where(z >= 0, 1, np.exp(-abs(z))) / (1 + np.exp(-abs(z)))


def losses(head, z, y, delta, all=True, major=False):
    """l [n], its derivatives [n, outputs] and, if all are wanted, second derivatives [n, outputs, outputs] by
    z [n, outputs]. major: Huber's second derivative is 0 on the straight parts; instead that of the parabola which
    touches and lies above."""
    n, outputs = z.shape
    if head == "multinomial":
        e = np.exp(z - z.max(1, keepdims=True))
        p = e / e.sum(1, keepdims=True)
        one_hot = np.eye(outputs)[y]
        value = np.log(e.sum(1)) + z.max(1) - z[np.arange(n), y]
        second = p[:, :, None] * np.eye(outputs) - p[:, :, None] * p[:, None, :] if all else None
        return value, p - one_hot, second
    t = y[:, None].astype(float) if y.ndim == 1 else y
    if head == "logistic":
        p = sigmoid(z)
        parts = np.logaddexp(0, z) - t * z, p - t, p * (1 - p)
    elif head == "squared":
        parts = (z - t) ** 2 / 2, z - t, np.ones_like(z)
    elif head == "huber":
        r = abs(z - t)
        parts = np.where(r <= delta, r * r / 2, delta * r - delta * delta / 2), np.clip(z - t, -delta, delta), \
            np.where(r <= delta, 1, major * delta / np.maximum(r, delta))
    elif head == "squared_hinge":
        s = 2 * t - 1
        gap = np.maximum(0, 1 - s * z)
        parts = gap ** 2, -2 * s * gap, 2.0 * (gap > 0)
    elif head == "poisson":
        parts = np.exp(z) - t * z, np.exp(z) - t, np.exp(z)
    value, first, second = parts
    return value.sum(1), first, second[:, :, None] * np.eye(outputs) if all else None


class Problem:
    def __init__(self, head, x, y, bias=True, l2=0.0, weight=None, delta=1.35, outputs=None):
        self.head, self.x, self.y, self.bias, self.l2, self.delta = head, np.asarray(x, float), y, bias, l2, delta
        self.n, self.features = self.x.shape
        self.outputs = outputs or (int(y.max()) + 1 if head == "multinomial" else 1)
        self.weight = np.ones(self.n) if weight is None else weight * self.n / weight.sum()
        self.a = np.hstack([self.x, np.ones((self.n, 1))]) if bias else self.x
        self.penalized = np.tile(np.arange(self.a.shape[1]) < self.features, self.outputs)

    def derivatives(self, matrix, major=False):
        """f, gradient and Hessian at [outputs, features + bias], flat and by rows."""
        v = matrix.ravel()
        value, first, second = losses(self.head, self.a @ matrix.T, self.y, self.delta, True, major)
        w = self.weight / self.n
        f = w @ value + self.l2 / 2 * (v[self.penalized] ** 2).sum()
        gradient = ((w[:, None] * first).T @ self.a).ravel() + self.l2 * self.penalized * v
        d, k = self.a.shape[1], self.outputs
        hessian = np.zeros((k, d, k, d))
        for i in range(k):
            for j in range(i, k):
                hessian[i, :, j] = (self.a * (w * second[:, i, j])[:, None]).T @ self.a
                hessian[j, :, i] = hessian[i, :, j]
        return f, gradient, hessian.reshape(k * d, k * d) + self.l2 * np.diag(self.penalized.astype(float))

    def gradient(self, matrix):
        w = self.weight / self.n
        _, first, _ = losses(self.head, self.a @ matrix.T, self.y, self.delta, False)
        return ((w[:, None] * first).T @ self.a).ravel() + self.l2 * self.penalized * matrix.ravel()

    def newton(self, start=None, l1=0.0, steps=200):
        """The minimum, [outputs, features + bias], and the norm of the gradient there. With l1 > 0 f has the term
        l1 |W|_1: `start` must have the right zeros and signs, which is checked by the conditions of a minimum."""
        m = np.zeros((self.outputs, self.a.shape[1])) if start is None else start.copy()
        sign = l1 * np.sign(m.ravel()) * self.penalized
        free = (m.ravel() != 0) | ~self.penalized if l1 else np.ones(m.size, bool)
        # Multinomial: equal biases added to all classes change nothing; the gradient has no part of it.
        ones = np.zeros(m.size)
        if self.head == "multinomial" and self.bias:
            ones[~self.penalized] = 1
        for _ in range(steps):
            f, g, h = self.derivatives(m)
            if np.linalg.eigvalsh(h)[0] <= 1e-12 * h.max() and self.head == "huber":
                h = self.derivatives(m, True)[2]
            g = (g + sign)[free]
            if np.linalg.norm(g) < 1e-15:
                break
            step = np.zeros(m.size)
            step[free] = np.linalg.lstsq((h + np.outer(ones, ones))[np.ix_(free, free)], -g, rcond=None)[0]
            step, t = step.reshape(m.shape), 1.0
            slope = g @ step.ravel()[free]
            while t > 1e-12:
                ft = self.derivatives(m + t * step)[0] + (sign * (t * step).ravel()).sum()
                if ft <= f + 1e-4 * t * slope + 1e-15 * abs(f):
                    break
                t /= 2
            m = m + t * step
        g = self.derivatives(m)[1] + sign
        if l1:
            zero = ~free
            assert (abs(g[zero]) <= l1 * (1 + 1e-9)).all(), "not the right zeros"
            assert (np.sign(m.ravel()) * l1 * self.penalized == sign).all(), "not the right signs"
        return m, float(np.linalg.norm(g[free]))


# ---- The problems of tests/optim/estimators/glm_table.h ----

LOSSES = {"logistic": ("logistic", "breast_cancer"), "squared_hinge": ("squared_hinge", "breast_cancer"),
          "multinomial": ("multinomial", "wine"), "digits": ("multinomial", "digits"),
          "squared": ("squared", "diabetes"), "huber": ("huber", "diabetes"), "poisson": ("poisson", "diabetes")}
DATA = ["scaled", "raw", "large", "small", "constant", "separable", "weighted", "unpenalized", "flat"]
PENALTY = 1e-3  # times the mean Lipschitz constant of a sample


def exists(loss, data):
    if loss == "digits":
        return data in ("scaled", "raw")
    if data == "flat":
        return loss == "huber"
    return data != "unpenalized" or loss in ("squared", "huber")


def separate(head, x, y):
    """Features that tell the classes apart, or targets without noise."""
    n = len(x)
    if head == "multinomial":
        for k in range(y.max() + 1):
            x[:, k] = (y == k) * (1 + abs(x[:, k]))
        return y
    if head in ("logistic", "squared_hinge"):
        x[:, 0] = (2.0 * y - 1) * (1 + abs(x[:, 0]))
        return y
    z = sum((j % 3 - 1) * x[:, j] for j in range(x.shape[1]))
    return np.exp(z / 4) if head == "poisson" else z


def table_problem(arrays, loss, data):
    head, name = LOSSES[loss]
    x, y = arrays[f"{name}.x"].astype(float), arrays[f"{name}.y"]
    bias = data not in ("raw", "large", "small")
    y = y.astype(int) if name != "diabetes" else y // 25 if head == "poisson" else y
    if data != "raw":
        x = standardized(x) * {"large": 1e5, "small": 1e-5}.get(data, 1)
        y = standardized(y[:, None])[:, 0] if head in ("squared", "huber") else y
    if data == "constant":
        x[:, -1] = 3
    if data == "flat":
        y = y + 10  # at 0 the loss of every sample is a straight line
    if data == "separable":
        y = separate(head, x, y)
    delta = 40.0 if data == "raw" else 0.5
    problem = Problem(head, x, y, bias, weight=sample_weights(len(y)) if data == "weighted" else None, delta=delta)
    problem.constants = problem.weight * CURVATURE.get(head, y.mean()) * (problem.a ** 2).sum(1)
    problem.l2 = 0 if data == "unpenalized" else PENALTY * problem.constants.mean()
    return problem
