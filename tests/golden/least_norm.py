#!/usr/bin/env python3
"""Coefficients of least norm for tests/examples/test_experiments.c: NumPy's pseudo-inverse of Chebyshev matrices.

The 50 points and their values are made again by the test. `condition` is the ratio of the extreme singular values.

    python least_norm.py > least_norm.h        (NumPy)
"""
import textwrap

import numpy as np

x = -1 + 2.0 * np.arange(50) / 49
y = (np.arange(50) * 7919 % 101 - 50) / 64

print("/* Made by least_norm.py with NumPy", np.__version__, "*/\n#ifndef LEAST_NORM_GOLDEN_H\n#define LEAST_NORM_GOLDEN_H")
print("static const struct {\n    int degree;\n    double condition, w[101];\n} least_norm_golden[] = {")
for degree in (0, 7, 20, 35, 60, 100):
    A = np.polynomial.chebyshev.chebvander(x, degree)
    s = np.linalg.svd(A, compute_uv=False)
    w = np.linalg.pinv(A, rcond=1e-15) @ y
    row = "{%d, %.3g, {%s}}," % (degree, s[0] / s[-1], ", ".join("%.17g" % v for v in w))
    print(textwrap.fill(row, 118, initial_indent="    ", subsequent_indent="     "))
print("};\n#endif")
