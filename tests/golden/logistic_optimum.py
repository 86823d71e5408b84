#!/usr/bin/env python3
"""Optimum of l2-regularized logistic regression, by scikit-learn.

    f(x) = mu/2 |x|^2 + 1/m sum log(1 + exp(-y_i <a_i, x>))

scikit-learn minimizes 1/2 |x|^2 + C sum(...), the same for C = 1/(mu m). Its tolerance applies to the
largest element of the gradient. The final value is printed beside each optimum: the distance from the
true optimum is below |grad|/mu. Numbers of a are multiples of 1/1024, exact in f32.

    python logistic_optimum.py > logistic_optimum.h     (scikit-learn 1.2 or later)
"""
import sys

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression

M, N = 200, 10
rng = np.random.default_rng(20130911)
A = np.round(rng.normal(size=(M, N)) * 1024).astype(int)
a = A / 1024
y = np.where(rng.random(M) < 1 / (1 + np.exp(-a @ rng.normal(size=N))), 1, -1)


def gradient(x, mu):
    return mu * x - a.T @ (y / (1 + np.exp(y * (a @ x)))) / M


def optimum(mu):
    fit = LogisticRegression(C=1 / (mu * M), fit_intercept=False, tol=1e-11, max_iter=10000,
                             solver="newton-cg")
    return fit.fit(a, y).coef_[0]


print(f"/* Made by logistic_optimum.py, scikit-learn {sklearn.__version__}. */")
print(f"enum {{ OPTIMUM_M = {M}, OPTIMUM_N = {N} }};")
print("static const int optimum_a[OPTIMUM_M * OPTIMUM_N] = { /* in 1/1024 */")
for i in range(M):
    print("    " + ", ".join(map(str, A[i])) + ",")
print("};\nstatic const int optimum_y[OPTIMUM_M] = {")
for i in range(0, M, 25):
    print("    " + ", ".join(map(str, y[i:i + 25])) + ",")
print("};")
print("static const double optimum_mu[] = {1, 0.1};\nstatic const double optimum_x[][OPTIMUM_N] = {")
for mu in (1, 0.1):
    x = optimum(mu)
    g = np.abs(gradient(x, mu)).max()
    assert g / mu < 1e-9, g
    print(f"    {{{', '.join(repr(float(v)) for v in x)}}}, /* |grad| {g:.0e} */")
print("};")
print("sklearn", sklearn.__version__, file=sys.stderr)
