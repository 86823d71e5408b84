#!/usr/bin/env python3
"""Data of the comparison on generalized linear models, as FOLDER/NAME.safetensors:

    glm_data.py FOLDER NAME

breast_cancer and wine are data of scikit-learn with standardized columns, digits are its pixels from 0 to 1.
dense_NxD has normal numbers. sparse_NxD has 50 numbers per row in random columns, and rows of norm 1. The
labels of both are drawn from a logistic model whose z has variance 4.
"""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../golden"))
from glm_shared import load, save, standardized  # noqa: E402

NONZEROS = 50


def labels(z, rng):
    z = 2 * z / z.std()
    return (rng.random(len(z)) < 1 / (1 + np.exp(-z))).astype(np.int32)


def dense(n, d, rng):
    x = rng.normal(size=(n, d))
    return {"x": x, "y": labels(x @ rng.normal(size=d), rng)}


def sparse(n, d, rng):
    index = np.sort(rng.integers(0, d, (n, NONZEROS)), 1)
    while (index[:, 1:] == index[:, :-1]).any():
        again = (index[:, 1:] == index[:, :-1]).any(1)
        index[again] = np.sort(rng.integers(0, d, (again.sum(), NONZEROS)), 1)
    value = rng.normal(size=(n, NONZEROS))
    value /= np.linalg.norm(value, axis=1, keepdims=True)
    w = rng.normal(size=d)
    return {"value": value.ravel(), "index": index.ravel().astype(np.int32),
            "start": np.arange(n + 1, dtype=np.int64) * NONZEROS, "columns": np.array([d], dtype=np.int64),
            "y": labels((value * w[index]).sum(1), rng)}


folder, name = sys.argv[1:]
os.makedirs(folder, exist_ok=True)
kind, _, shape = name.partition("_")
if kind in ("dense", "sparse"):
    arrays = {"dense": dense, "sparse": sparse}[kind](*map(int, shape.split("x")), np.random.default_rng(1))
else:
    arrays = load()
    x = arrays[f"{name}.x"]
    arrays = {"x": x / 16 if name == "digits" else standardized(x), "y": arrays[f"{name}.y"].astype(np.int32)}
save(os.path.join(folder, name + ".part"), arrays)
os.replace(os.path.join(folder, name + ".part"), os.path.join(folder, name + ".safetensors"))
