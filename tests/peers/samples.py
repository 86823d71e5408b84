"""A sample of PyTorch in both libraries: conversion, comparison, tolerance. See check_samples.py."""
import math
import warnings

import numpy as np
import torch

import swale
from counterparts import NotOffered, T, keep
from swale import lib

# The reference is PyTorch in f64, with the numbers of the sample rounded to their type. As in graphs.py, the
# tolerance is K u (|reference| + C), where C is measured with inputs, results and cotangents times 1 ± η, in four
# draws. For elementwise operations each element has its C; for others, the largest C of the array is used. K is 64
# (8 u of both sides for an elementary function, times a margin for signs that cancel in a draw), plus 2 n for
# reductions of n terms.
ETA = 2.0**-33
UNIT = {torch.float64: 2.0**-53, torch.float32: 2.0**-24}
TINY = {torch.float64: 2.0**-1022, torch.float32: 2.0**-126}
STORED = {torch.float16: swale.F16, torch.bfloat16: swale.BF16}
LARGEST = {torch.float64: math.inf, torch.float32: float(np.finfo(np.float32).max)}
DRAWS = 4
MOST = 2000000  # elements of a tensor: larger samples are counted as such


def tree(function, value):
    """value with function(x) in the place of each tensor, in lists and dictionaries too."""
    if isinstance(value, torch.Tensor):
        return function(value)
    if isinstance(value, torch.Size):
        return value
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(tree(function, x) for x in value)
    if isinstance(value, dict):
        return {k: tree(function, x) for k, x in value.items()}
    return value


def tensors_of(value):
    found = []
    tree(found.append, value)
    return found


def refuse_kind(x):
    """Raises NotOffered for tensors of a kind that swale does not have."""
    if x.layout != torch.strided or x.is_quantized:
        raise NotOffered("sparse tensors")
    if x.dtype not in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32,
                       torch.uint8, torch.bool):
        raise NotOffered(f"tensors of {str(x.dtype).split('.')[1]}")
    if x.dim() > swale.MAX_RANK:
        raise NotOffered("more than 8 axes")
    if x.numel() > MOST:
        raise NotOffered(f"more than {MOST} elements")


def numpy_of(x):
    """(the array that swale reads, its type), or NotOffered."""
    refuse_kind(x)
    x = x.detach().resolve_conj().resolve_neg()
    if x.dtype == torch.int64:
        if x.numel() and (x.max() >= 2**31 or x.min() < -2**31):
            raise NotOffered("ids beyond i32")
        x = x.to(torch.int32)
    if x.dtype == torch.bool:
        x = x.to(torch.uint8)
    if x.dtype in STORED:
        return swale.stored(x.float().numpy(), STORED[x.dtype]), STORED[x.dtype]
    array = np.array(x.numpy(), order="C", copy=True)
    return array, swale.TYPE_OF[array.dtype]


class Pass:
    """Arguments in swale: one leaf for each tensor, even if it occurs several times."""

    def __init__(self, tape, arguments, gradients):
        lib.sw_clear_error()
        lib.sw_tape_reset(tape)
        while keep:
            lib.sw_model_free(keep.pop())
        self.tape, self.kept, self.leaf = tape, [], {}
        for x in tensors_of(arguments):
            if id(x) in self.leaf:
                continue
            array, kind = numpy_of(x)
            self.kept.append(array)
            wants = gradients and x.requires_grad and x.is_floating_point()
            make = lib.sw_variable if wants else lib.sw_input
            t = make(tape, swale.array_of(array, kind))
            if not t.tape:
                raise swale.Refused(lib.error())
            self.leaf[id(x)] = T(t)
        self.arguments = tree(lambda x: self.leaf[id(x)], arguments)


def flat(result):
    """The tensors of a result; None for elements that are not tensors."""
    return list(result) if isinstance(result, (tuple, list)) else [result]


# Derivatives as functions of the result, where both sides compute them so: with the result's rounding.
SLOPES = {"tanh": lambda y: 1 - y * y, "sigmoid": lambda y: y * (1 - y)}
SLOPES |= {"Tanh": SLOPES["tanh"], "Sigmoid": SLOPES["sigmoid"]}
# Gradients that are differences of terms as large as the cotangent: u times that is allowed besides.
MIXING = {"softmax", "log_softmax", "nn.functional.cross_entropy", "Softmax", "LogSoftmax", "CrossEntropyLoss",
          "nn.functional.layer_norm", "nn.functional.rms_norm", "nn.functional.group_norm", "nn.functional.batch_norm",
          "nn.functional.scaled_dot_product_attention", "MultiheadAttention", "TransformerEncoderLayer"}


def reference(call, arguments, cotangents, generator=None, slope=None, drawn=torch.float32):
    """PyTorch in f64: (results, {id: gradient}, cotangents); with a generator with noise. drawn: the type of the
    cotangents that are drawn."""
    made = {}

    def noise(x):
        return 1 + ETA * (2 * torch.randint(0, 2, x.shape, generator=generator, dtype=torch.float64) - 1)

    def leaf(x):
        if id(x) in made:
            return made[id(x)][1]
        y = x.detach()
        if y.is_floating_point():
            y = y.to(torch.float64)
            if x.dim() and 0 not in x.stride() and not x.is_contiguous():
                y = torch.empty_strided(x.shape, x.stride(), dtype=torch.float64).copy_(y)
            y = y.clone() if y.is_contiguous() else y
        source = y.requires_grad_(x.requires_grad and x.is_floating_point())
        if generator is not None and y.is_floating_point():
            y = y * noise(y)
        made[id(x)] = (source, y)
        return y
    args, kwargs = arguments
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if generator is not None and slope:
            x = leaf(args[0])
            y = call(x.detach())
            y = y * noise(y)
            results = [y + slope(y) * (x - x.detach())]
        else:
            results = flat(call(*tree(leaf, args), **tree(leaf, kwargs)))
    if cotangents is None:
        seed = torch.Generator().manual_seed(1)
        cotangents = [torch.randn(r.shape, generator=seed, dtype=torch.float64).to(drawn).to(torch.float64)
                      if isinstance(r, torch.Tensor) and r.is_floating_point() and r.requires_grad else None
                      for r in results]
    if generator is not None:
        results = [r * noise(r) if isinstance(r, torch.Tensor) and r.is_floating_point() else r for r in results]
    roots = [(r, c if generator is None else c * noise(c)) for r, c in zip(results, cotangents) if c is not None]
    gradients = {}
    if roots:
        torch.autograd.backward([r for r, _ in roots], [c for _, c in roots])
        gradients = {key: source.grad for key, (source, _) in made.items() if source.requires_grad}
    return [r.detach() if isinstance(r, torch.Tensor) else r for r in results], gradients, cotangents


def gradient_of(leaf):
    if not leaf.param:
        return swale.numbers(lib.sw_grad(leaf.handle))
    gradient = swale.numbers(lib.sw_param_grad(leaf.param))
    return np.moveaxis(gradient, -1, 1) if leaf.moved and gradient is not None else gradient


def run_swale(tape, counterpart, arguments, cotangents):
    """(results, {id: gradient}, types of the results) of the counterpart."""
    p = Pass(tape, arguments, True)
    args, kwargs = p.arguments
    results = flat(counterpart(*args, **kwargs))
    values = [swale.numbers(lib.sw_value(r.handle)) if r is not None else None for r in results]
    types = [r.type if r is not None else None for r in results]
    for r, c in zip(results, cotangents or []):
        if r is None or c is None:
            continue
        array = swale.stored(c.numpy(), r.type)
        if array.shape != r.shape:
            return values, {}, types  # the values' shapes are compared first
        swale.check(lib.sw_backward_from(r.handle, swale.array_of(array, r.type)))
    gradients = {key: gradient_of(leaf) for key, leaf in p.leaf.items()}
    text = lib.error()
    if text:
        raise swale.Refused("an error is left: " + text)
    return values, gradients, types


def agree(got, wanted, dtype, allowed):
    """The mask of elements at which got agrees with wanted: equal, both NaN, or within the tolerance."""
    got = torch.from_numpy(got.copy()).to(torch.float64)
    wanted = wanted.to(torch.float64)
    beyond = wanted.abs() > LARGEST[dtype] * (1 - UNIT[dtype])
    wanted = torch.where(beyond, torch.copysign(torch.tensor(math.inf, dtype=torch.float64), wanted), wanted)
    near = (got - wanted).abs() <= allowed
    return near | (got == wanted) | (torch.isnan(got) & torch.isnan(wanted))


def finite_max(x):
    x = x[torch.isfinite(x)]
    return float(x.abs().max()) if x.numel() else 0.0


class Comparison:
    """The differences of one sample as (what, index, mask of the elements that differ, got, wanted)."""

    def __init__(self, tape, call, counterpart, arguments, dtype, by_element, slope=None, mixes=False):
        self.differences, self.measured, self.slope = [], False, slope
        for x in tensors_of(arguments):
            refuse_kind(x)
        try:
            results, gradients, cotangents = reference(call, arguments, None)
        except RuntimeError:
            raise NotOffered("PyTorch's own call or backward fails in f64") from None
        if any(r is NotImplemented for r in results):
            raise NotOffered("PyTorch has no such operand")
        values, slopes, _ = run_swale(tape, counterpart, arguments, cotangents)
        self.pairs = [("value", i, v, r) for i, (v, r) in enumerate(zip(values, results)) if v is not None]
        seen = []
        for i, x in enumerate(tensors_of(arguments)):
            if id(x) in seen or not (x.requires_grad and x.is_floating_point()) or id(x) not in gradients:
                continue
            seen.append(id(x))
            wanted, got = gradients[id(x)], slopes.get(id(x))
            if wanted is None and got is None:
                continue
            wanted = torch.zeros(x.shape, dtype=torch.float64) if wanted is None else wanted
            got = np.zeros(tuple(x.shape)) if got is None else got
            self.pairs.append(("gradient", i, got, wanted))
        k = 64 + 2 * max([1] + [x.numel() // max(1, r.numel()) for r in results if isinstance(r, torch.Tensor)
                                for x in tensors_of(arguments)] +
                         [x.shape[-1] for x in tensors_of(arguments) if x.dim()] * (not by_element))
        noisy = None
        for n, (what, i, got, wanted) in enumerate(self.pairs):
            if tuple(got.shape) != tuple(wanted.shape):
                self.differences.append((what, i, torch.ones(wanted.shape, dtype=torch.bool), got, wanted))
                continue
            if not wanted.numel():
                continue
            size = wanted.to(torch.float64).abs() if by_element else finite_max(wanted.to(torch.float64))
            unit, tiny = UNIT[dtype], TINY[dtype]
            if mixes and what == "gradient":
                size += max([0.0] + [finite_max(c) for c in cotangents if c is not None and c.numel()])
            fine = agree(got, wanted, dtype, k * (unit * size + tiny))
            if not fine.all() and wanted.is_floating_point():
                noisy = noisy or self.noise(call, arguments, cotangents)
                self.measured = True
                changes = torch.stack([(other[what, i] - wanted).abs() for other in noisy]).amax(0) / ETA
                changes = torch.nan_to_num(changes, 0.0, 0.0, 0.0)
                change = changes if by_element else finite_max(changes)
                fine = agree(got, wanted, dtype, k * (unit * (size + change) + tiny))
            if not fine.all():
                self.differences.append((what, i, ~fine, got, wanted))

    def noise(self, call, arguments, cotangents):
        found = []
        inputs = tensors_of(arguments)
        for draw in range(DRAWS):
            generator = torch.Generator().manual_seed(draw)
            results, gradients, _ = reference(call, arguments, cotangents, generator, self.slope)
            one = {("value", i): r for i, r in enumerate(results)}
            for i, x in enumerate(inputs):
                g = gradients.get(id(x))
                one["gradient", i] = torch.zeros(x.shape, dtype=torch.float64) if g is None else g
            found.append(one)
        return found
