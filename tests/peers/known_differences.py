"""The intended or documented differences between swale and PyTorch. check_samples.py fails on any other
difference, and on an entry that no longer occurs.

Known(name, what, cause, when): name of the operation in op_db, class or rule; what is
    value, gradient   when(inputs, arguments, index, got, wanted) is the mask of the elements where it holds
    refused           swale refuses a sample: when(message of swale)
    accepted          swale accepts an error input: when(PyTorch's message)
    16 bits           PyTorch's 16-bit result is far from its own result in f64
"""
import collections

import torch

Known = collections.namedtuple("Known", "name what cause when")


def at_nan(inputs, arguments, index, got, wanted):
    """Where an input is NaN."""
    mask = torch.zeros(wanted.shape, dtype=torch.bool)
    for x in inputs:
        if x.is_floating_point():
            mask = mask | torch.isnan(x.detach()).expand(wanted.shape) if fits(x, wanted) else mask
    return mask


def below_zero(inputs, arguments, index, got, wanted):
    """Where the input is below 0, or NaN."""
    return ~(inputs[0].detach() >= 0)


def at_infinity(inputs, arguments, index, got, wanted):
    """Where the input is infinite."""
    return torch.isinf(inputs[0].detach())


def below(limit):
    """Where the input is below the limit, or NaN."""
    return lambda inputs, arguments, index, got, wanted: ~(inputs[0].detach() >= limit)


def one_infinite(inputs, arguments, index, got, wanted):
    """Where one of two inputs of the shape of the result is infinite."""
    mask = torch.zeros(wanted.shape, dtype=torch.bool)
    for x in inputs:
        mask = mask | torch.isinf(x.detach()) if x.shape == wanted.shape else mask
    return mask


def exponent_without_predecessor(exponent):
    """Where input number `exponent` is so large that exponent - 1 is rounded to it."""
    def when(inputs, arguments, index, got, wanted):
        e = inputs[exponent].detach().double()
        return (e - 1 == e) & torch.ones(wanted.shape, dtype=torch.bool)
    return when


def sum_of_infinities(inputs, arguments, index, got, wanted):
    """Where terms beyond the range of f16 were added over a broadcast axis."""
    wide = any(x.shape != wanted.shape for x in inputs) and inputs[0].dtype == torch.float16
    return torch.full(wanted.shape, wide) & ~torch.isfinite(torch.as_tensor(got))


def fits(x, wanted):
    return tuple(torch.broadcast_shapes(x.shape, wanted.shape)) == tuple(wanted.shape)


def at_bounds(low, high):
    """Where the input is one of the bounds."""
    def when(inputs, arguments, index, got, wanted):
        (x, *_), named = arguments
        a, b = named.get("min_val", low), named.get("max_val", high)
        return (x.detach() == a) | (x.detach() == b)
    return when


def above_threshold(inputs, arguments, index, got, wanted):
    """Where PyTorch's softplus is the identity."""
    (x, *_), named = arguments
    return x.detach() * named.get("beta", 1) > named.get("threshold", 20)


def hidden_in_16_bits(inputs, arguments, index, got, wanted):
    """The rows of the first linear layer of a block with 8 hidden features, in f16 and bf16."""
    stored = inputs[0].dtype in (torch.float16, torch.bfloat16)
    return torch.full(wanted.shape, stored and wanted.shape[0] == 8)


KNOWN = [
    Known("abs", "gradient", "a NaN stays one; PyTorch's sign of NaN is 0", at_nan),
    Known("nn.functional.hardtanh", "gradient", "sw_clamp's derivative at its bounds is 1, PyTorch's here 0",
          at_bounds(-1.0, 1.0)),
    Known("nn.functional.relu6", "gradient", "sw_clamp's derivative at its bounds is 1, PyTorch's here 0",
          at_bounds(0.0, 6.0)),
    Known("nn.functional.softplus", "value", "PyTorch's is the identity above a threshold", above_threshold),
    Known("nn.functional.softplus", "gradient", "PyTorch's is the identity above a threshold", above_threshold),
    Known("Softplus", "value", "PyTorch's is the identity above a threshold", above_threshold),
    Known("Softplus", "gradient", "PyTorch's is the identity above a threshold", above_threshold),
    Known("CrossEntropyLoss", "refused", "weights of classes are not negative",
          lambda message: "it must be ≥ 0" in message),
    Known("nn.functional.dropout", "refused", "with probability 1 nothing is left", lambda message:
          "p = 1 is outside" in message),
    Known("log", "gradient", "NaN where the value is; PyTorch's is g/x", below_zero),
    Known("nn.functional.relu", "gradient", "NaN at NaN; PyTorch's is the cotangent", at_nan),
    Known("nn.functional.silu", "value", "the limit, 0 at -∞; PyTorch's is NaN", at_infinity),
    Known("nn.functional.silu", "gradient", "the limits, 0 and 1; PyTorch's are NaN", at_infinity),
    Known("nn.functional.elu", "gradient", "NaN at NaN; PyTorch's is NaN or the cotangent, by the place in its "
          "vectors", at_nan),
    Known("nn.functional.cross_entropy", "refused", "weights of classes are not negative",
          lambda message: "it must be ≥ 0" in message),
    Known("nn.functional.max_pool1d", "accepted", "no channels give no results", lambda message:
          "optional 0 dim batch size" in message),
    Known("nn.functional.group_norm", "accepted", "empty inputs give empty results", lambda message:
          "to be greater than 0" in message),
    Known("__rdiv__", "16 bits", "PyTorch's a/b², whose factors it rounds to f16, is subnormal", None),
    Known("linalg.vector_norm", "16 bits", "the power 5 of a norm is ∞ in PyTorch's f16, and the gradient 0", None),
    Known("sign", "value", "NaN at NaN; PyTorch gives 0", at_nan),
    Known("log1p", "gradient", "NaN where the value is; PyTorch's is g/(1 + x)", below(-1)),
    Known("expm1", "gradient", "e^x; PyTorch's y + 1 has lost digits", below(0)),
    Known("expm1", "16 bits", "PyTorch computes e^x as y + 1", None),
] + [
    Known(name, "accepted", "a layer converts its input to the type of its weights", lambda message:
          "does not match weight dtype" in message)
    for name in ("LSTM", "GRU")
] + [
    Known(name, *more)
    for name, exponent in (("pow", 1), ("__rpow__", 0))
    for more in (("gradient", "the limit where a power is 0; PyTorch's 0·∞ is NaN", one_infinite),
                 ("gradient", "e - 1 is odd for an even e, also where it is rounded to e", exponent_without_predecessor(exponent)),
                 ("gradient", "the terms of a sum over broadcast axes are rounded to f16", sum_of_infinities),
                 ("16 bits", "PyTorch rounds a^(e-1) to 16 bits before it is multiplied", None))
] + [
    Known(name, "gradient", "NaN at NaN; PyTorch gives 0", at_nan)
    for name in ("nn.functional.hardtanh", "nn.functional.relu6")
] + [
    Known(name, "gradient", "NaN at NaN; PyTorch gives 0, or all of the cotangent to both", at_nan)
    for name in ("max", "min", "maximum", "minimum")
]
