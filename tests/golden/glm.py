#!/usr/bin/env python3
"""Data sets of scikit-learn, and its coefficients of generalized linear models: glm.safetensors and glm.h.

Each fit is done by scikit-learn with a small tolerance, and then refined by Newton's method in NumPy (glm_shared.py).
The refinement must not change a coefficient by more than 1e-7 of the largest one, which proves that both
minimize the same objective. For a loss that scikit-learn does not have (Huber's with a given delta), only
Newton's method is used. The norm of the gradient is written beside each fit.

    /path/to/python glm.py     (scikit-learn 1.9; writes both files into this folder)
"""
import os
import sys
import warnings

import numpy as np
import sklearn
from sklearn.linear_model import ElasticNet, LogisticRegression, PoissonRegressor, Ridge
from sklearn.svm import LinearSVC

from glm_shared import Problem, load, sample_weights, save, standardized

HERE = os.path.dirname(os.path.abspath(__file__))
MOVED = 1e-7
warnings.simplefilter("error")

arrays = load()
fits = []


def matrix(coefficients, intercept, bias):
    m = np.atleast_2d(coefficients)
    return np.hstack([m, np.reshape(intercept, (-1, 1))]) if bias else m


def add(name, data, head, by, l2, l1=0.0, found=None, y=None, scaled=True, bias=True, weight=None,
        class_weight=None, delta=0.0):
    """found: scikit-learn's [outputs, features + bias]; None: Newton's method starts at 0."""
    x = standardized(arrays[f"{data}.x"]) if scaled else arrays[f"{data}.x"].astype(float)
    y = arrays[f"{data}.y"] if y is None else y
    total = np.ones(len(y)) if weight is None else weight.copy()
    if class_weight:
        total *= np.array(class_weight)[y]
    problem = Problem(head, x, y, bias, l2, total, delta or 1.35)
    start = found
    if found is not None and head == "multinomial" and bias:
        start = found - np.append(np.zeros(x.shape[1]), found[:, -1].mean())  # biases with mean 0
    best, norm = problem.newton(start, l1)
    moved = 0 if found is None else abs(best - start).max() / abs(best).max()
    first = np.linalg.norm(problem.derivatives(np.zeros_like(best))[1])
    print(f"{name:28} moved {moved:.0e}, |gradient| {norm:.0e} of {first:.1e}, {(best == 0).sum()} zeros")
    assert moved <= MOVED and norm <= 1e-12 * max(1, first), (moved, norm)
    arrays[f"{name}.weight"] = np.ascontiguousarray(best[:, :x.shape[1]])
    if bias:
        arrays[f"{name}.bias"] = best[:, -1].copy()
    fits.append((name, data, head, by, scaled, bias, weight is not None, class_weight or [], l2, l1, delta, norm))


def logistic(name, data, solver, c, l1_ratio=0.0, scaled=True, bias=True, weighted=False, class_weight=None):
    """scikit-learn: C sum_i w_i l_i + (1 - r)/2 |W|^2 + r |W|_1."""
    x, y = arrays[f"{data}.x"], arrays[f"{data}.y"]
    x = standardized(x) if scaled else x.astype(float)
    weight = sample_weights(len(y)) if weighted else None
    model = LogisticRegression(C=c, l1_ratio=l1_ratio, solver=solver, tol=1e-13, max_iter=1000000, random_state=1,
                               fit_intercept=bias,
                               class_weight=dict(enumerate(class_weight)) if class_weight else None)
    model.fit(x, y, weight)
    total = np.ones(len(y)) if weight is None else weight.copy()
    if class_weight:
        total *= np.array(class_weight)[y]
    scale = c * total.sum()
    head = "multinomial" if y.max() > 1 else "logistic"
    add(name, data, head, f"LogisticRegression {solver}", (1 - l1_ratio) / scale, l1_ratio / scale,
        matrix(model.coef_, model.intercept_, bias), scaled=scaled, bias=bias, weight=weight,
        class_weight=class_weight)


def ridge(name, alpha, weighted=False):
    """scikit-learn: sum_i w_i (z_i - y_i)^2 + alpha |W|^2."""
    x, y = standardized(arrays["diabetes.x"]), arrays["diabetes.y"]
    weight = sample_weights(len(y)) if weighted else None
    model = Ridge(alpha=alpha, solver="sag", tol=1e-14, max_iter=1000000, random_state=1).fit(x, y, weight)
    add(name, "diabetes", "squared", "Ridge sag", alpha / (len(y) if weight is None else weight.sum()),
        found=matrix(model.coef_, model.intercept_, True), weight=weight)


def elastic_net(name, alpha, l1_ratio):
    """scikit-learn: 1/(2n) sum_i (z_i - y_i)^2 + alpha (r |W|_1 + (1 - r)/2 |W|^2)."""
    x, y = standardized(arrays["diabetes.x"]), arrays["diabetes.y"]
    model = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-13, max_iter=1000000).fit(x, y)
    add(name, "diabetes", "squared", "ElasticNet", alpha * (1 - l1_ratio), alpha * l1_ratio,
        matrix(model.coef_, model.intercept_, True))


def poisson(name, alpha, weighted=False):
    """scikit-learn: half the mean deviance, which is the mean of e^z - y z and a constant, + alpha/2 |W|^2."""
    x, y = standardized(arrays["diabetes.x"]), arrays["diabetes.y"] // 25
    weight = sample_weights(len(y)) if weighted else None
    model = PoissonRegressor(alpha=alpha, solver="newton-cholesky", tol=1e-11, max_iter=1000).fit(x, y, weight)
    add(name, "diabetes", "poisson", "PoissonRegressor", alpha,
        found=matrix(model.coef_, model.intercept_, True), y=y, weight=weight)


def squared_hinge(name, c, class_weight=None):
    """liblinear: C sum_i w_i max(0, 1 - s_i z_i)^2 + 1/2 |w|^2. It would penalize an intercept."""
    x, y = standardized(arrays["breast_cancer.x"]), arrays["breast_cancer.y"]
    model = LinearSVC(C=c, fit_intercept=False, dual=False, tol=1e-10, max_iter=1000000,
                      class_weight=dict(enumerate(class_weight)) if class_weight else None).fit(x, y)
    total = np.array(class_weight)[y].sum() if class_weight else len(y)
    add(name, "breast_cancer", "squared_hinge", "LinearSVC", 1 / (c * total), found=matrix(model.coef_, 0, False),
        bias=False, class_weight=class_weight)


logistic("logistic_sag", "breast_cancer", "sag", 1)
logistic("logistic_saga", "breast_cancer", "saga", 0.1)
logistic("logistic_no_bias", "breast_cancer", "sag", 0.1, bias=False)
logistic("logistic_weight", "breast_cancer", "sag", 0.1, weighted=True)
logistic("logistic_class_weight", "breast_cancer", "saga", 0.1, class_weight=[2, 0.5])
logistic("logistic_l1", "breast_cancer", "saga", 0.1, l1_ratio=1.0)
logistic("logistic_elastic_net", "breast_cancer", "saga", 0.1, l1_ratio=0.5)
logistic("multinomial_sag", "wine", "sag", 1)
logistic("multinomial_saga", "wine", "saga", 0.1)
logistic("multinomial_weights", "wine", "saga", 0.1, weighted=True, class_weight=[1, 2, 0.5])
logistic("multinomial_elastic_net", "wine", "saga", 0.1, l1_ratio=0.5)
logistic("multinomial_digits", "digits", "saga", 0.01)
logistic("multinomial_digits_raw", "digits", "sag", 0.0001, scaled=False, bias=False)
ridge("ridge_sag", 1)
ridge("ridge_weight", 10, weighted=True)
elastic_net("lasso", 2, 1.0)
elastic_net("elastic_net", 3, 0.9)
poisson("poisson", 0.01)
poisson("poisson_weight", 0.1, weighted=True)
squared_hinge("squared_hinge", 0.01)
squared_hinge("squared_hinge_class_weight", 0.01, [2, 0.5])
add("huber", "diabetes", "huber", "Newton's method", 0.01, delta=20.0)
add("huber_weight", "diabetes", "huber", "Newton's method", 0.1, delta=50.0,
    weight=sample_weights(len(arrays["diabetes.y"])))

save(os.path.join(HERE, "glm.safetensors"), arrays)
with open(os.path.join(HERE, "glm.h"), "w") as out:
    def line(text):
        print(text, file=out)
    line(f"/* Made by glm.py, scikit-learn {sklearn.__version__}; arrays are in glm.safetensors. */")
    line("typedef struct golden_fit {")
    line("    const char *name, *data, *head, *by;")
    line("    int scaled, bias, weighted; /* columns standardized; an intercept; samples weigh 7i mod 5 */")
    line("    double class_weight[3];     /* 0: none */")
    line("    double l2, l1;              /* f has l2/2 |W|^2 + l1 |W|_1 */")
    line("    double delta, gradient;     /* Huber's; the norm of the gradient that is left */")
    line("} golden_fit;")
    line("static const golden_fit golden_fits[] = {")
    for name, data, head, by, scaled, bias, weighted, class_weight, l2, l1, delta, norm in fits:
        weights = ", ".join(f"{float(w)!r}" for w in class_weight) or "0"
        line(f'    {{"{name}", "{data}", "{head}", "{by}", {int(scaled)}, {int(bias)}, {int(weighted)},')
        line(f"     {{{weights}}}, {float(l2)!r}, {float(l1)!r}, {float(delta)!r}, {norm:.0e}}},")
    line("};")
print("sklearn", sklearn.__version__, file=sys.stderr)
