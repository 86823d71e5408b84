"""The side of scikit-learn or cyanure in the comparison of generalized linear models (glm.py); see peer.h for the
protocol.

    side_glm_python.py sklearn|cyanure
"""
import gc
import json
import os
import sys
import time
import warnings

import numpy as np
import scipy.sparse

from peer import once, serve

TYPES = {"F64": np.float64, "F32": np.float32, "I64": np.int64, "I32": np.int32}


@once
def load(name):
    """x [n, features], dense or sparse rows, and y [n]."""
    with open(os.path.join(os.environ["PEERS_GLM"], name + ".safetensors"), "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        begin, arrays = file.tell(), {}
        for key, what in header.items():
            file.seek(begin + what["data_offsets"][0])
            flat = np.fromfile(file, TYPES[what["dtype"]], int(np.prod(what["shape"])))
            arrays[key] = flat.reshape(what["shape"])
    if "x" in arrays:
        return arrays["x"], arrays["y"]
    shape = len(arrays["y"]), int(arrays["columns"][0])
    rows = scipy.sparse.csr_matrix((arrays["value"], arrays["index"], arrays["start"].astype(np.int32)), shape)
    return rows, arrays["y"]


def gradient_norm(x, y, w, b, l2):
    """w [outputs, features], b [outputs] or None."""
    z = x @ w.T + (0 if b is None else b)
    if len(w) == 1:
        s = 1 / (1 + np.exp(-z)) - y[:, None]
    else:
        e = np.exp(z - z.max(1, keepdims=True))
        s = e / e.sum(1, keepdims=True) - np.eye(len(w))[y]
    g = (x.T @ s).T / len(y) + l2 * w
    return np.sqrt((g ** 2).sum() + (0 if b is None else (s.mean(0) ** 2).sum()))


def with_sklearn(path, l2, bias, epochs, seed, n):
    from sklearn.linear_model import LogisticRegression
    model = LogisticRegression(C=1 / (n * l2), solver=path, tol=0, max_iter=epochs, random_state=seed,
                               fit_intercept=bias)
    return model, lambda: (np.atleast_2d(model.coef_), model.intercept_ if bias else None)


def with_cyanure(path, l2, bias, epochs, seed, n):
    import logging
    from cyanure.estimators import Classifier
    logging.disable(logging.CRITICAL)
    model = Classifier(loss="logistic", penalty="l2", solver=path, lambda_1=l2, fit_intercept=bias, tol=0,
                       max_iter=epochs, duality_gap_interval=epochs + 1, verbose=False, n_threads=1,
                       random_state=seed)

    def coefficients():
        w = np.asarray(model.coef_)
        w = w.reshape(1, -1) if w.ndim == 1 or 1 in w.shape else w if len(w) == len(model.classes_) else w.T
        return w, np.asarray(model.intercept_).reshape(-1) if bias else None
    return model, coefficients


MAKERS = {"sklearn": with_sklearn, "cyanure": with_cyanure}


def prepare(data, path, l2, bias, epochs, seed):
    x, y = load(data)
    model, coefficients = MAKERS[sys.argv[1]](path, float(l2), bool(int(bias)), int(epochs), int(seed), len(y))
    return x, y, model, coefficients


def fit(data, path, l2, bias, epochs, seed):
    """Seconds of the processor, and the gradient's norm over that at 0."""
    x, y, model, coefficients = prepare(data, path, l2, bias, epochs, seed)
    begin = time.process_time()
    model.fit(x, y)
    seconds = time.process_time() - begin
    w, b = coefficients()
    first = gradient_norm(x, y, np.zeros_like(w), None if b is None else np.zeros_like(b), float(l2))
    return seconds, gradient_norm(x, y, w, b, float(l2)) / first


def status(name):
    """A line of /proc/self/status, in MB."""
    with open("/proc/self/status") as file:
        return next(float(line.split()[1]) / 1024 for line in file if line.startswith(name))


def memory(data, path, l2, bias, epochs, seed):
    """The largest memory of the process during a fit, and by how much it is above that before, in MB."""
    x, y, model, _ = prepare(data, path, l2, bias, epochs, seed)
    gc.collect()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before = status("VmRSS")
    model.fit(x, y)
    peak = status("VmHWM")
    return peak, peak - before


warnings.simplefilter("ignore")
module = __import__(sys.argv[1])
if sys.argv[1] == "sklearn":
    import sklearn.linear_model  # before memory is measured
else:
    import cyanure.estimators
serve(f"{sys.argv[1]} {getattr(module, '__version__', '')}", {"fit": fit, "memory": memory})
