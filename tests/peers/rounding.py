"""Rounding of f64 numbers to the element types of swale, and the numbers that one rounding of an inexact result may
give.

A number that swale computes in f32 with an error of at most δ and then rounds once to a type is in the interval from
rounded(x - δ) to rounded(x + δ), where x is the exact result, because rounding is monotonic. For δ = 0 it is the
rounded number itself. This includes subnormal numbers, and ∞ beyond the largest number.
"""
import numpy as np
import torch

import swale

# Digits of the significand, the exponent of the smallest normal number, and that of the largest numbers.
FORMATS = {swale.F64: (53, -1022, 1023), swale.F32: (24, -126, 127), swale.F16: (11, -14, 15),
           swale.BF16: (8, -126, 127)}
TORCH = {torch.float64: swale.F64, torch.float32: swale.F32, torch.float16: swale.F16, torch.bfloat16: swale.BF16}
STORED = (swale.F16, swale.BF16)  # computed in f32


def unit(kind):
    """The largest relative error of a rounding to a normal number."""
    return 2.0**-FORMATS[kind][0]


def spacing(x, kind):
    """The distance of neighboring numbers of the type at |x|, for finite x; as a NumPy array."""
    digits, least, _ = FORMATS[kind]
    _, exponent = np.frexp(x)  # of ∞ and NaN: 0
    return np.ldexp(1.0, np.maximum(exponent, least + 1) - digits)


def rounded_array(x, kind):
    """x (f64) rounded to the nearest number of the type, to even in the middle of two; NumPy arrays of f64."""
    if kind == swale.F64:
        return x
    digits, _, most = FORMATS[kind]
    step = spacing(x, kind)
    with np.errstate(all="ignore"):
        y = np.rint(x / step) * step  # both are exact: the step is a power of 2
    return np.where(np.abs(y) > (2 - 2.0**(1 - digits)) * 2.0**most, np.copysign(np.inf, y), y)


def rounded(x, kind):
    """As rounded_array, of a tensor in f64."""
    return torch.from_numpy(np.asarray(rounded_array(x.detach().numpy(), kind)).reshape(tuple(x.shape)))


def outside(got, wanted, error, kind):
    """The mask of elements of `got` (of the type, as f64) that no rounding of wanted ± error gives."""
    if ((got == rounded_array(wanted, kind)) | (np.isnan(got) & np.isnan(wanted))).all():
        return np.zeros(got.shape, bool)
    low, high = rounded_array(wanted - error, kind), rounded_array(wanted + error, kind)
    inside = (got >= low) & (got <= high)
    return ~(inside | (np.isnan(got) & np.isnan(wanted)))
