"""A sample of PyTorch in f16 or bf16: see check_samples.py.

The reference is PyTorch in f64 from the same 16-bit numbers. swale computes in f32 and rounds once, so a result of one
operation is a rounding of a number within δ of the reference, δ = K 2^-24 (|reference| + C), as in samples.py and
half_graphs.py. Of a result that needs several operations, and of a gradient that is a sum, each is rounded: every
further rounding adds u (|reference| + C) to δ, with u = 2^-11 (f16) or 2^-8 (bf16), because C is the change by random
relative errors of the inputs, and twice the unit roundoff allows for signs that cancel in all draws.

PyTorch's own 16-bit result is compared with the same reference. Its kernels may round intermediate results and the
constants of a formula, so that it must be within 2 ROUNDINGS u (|reference| + C). The share of elements in which both
have the same bits is reported.

`mixes`: a result is the difference of numbers as large as the inputs, and a gradient of terms as large as the
cotangent: 4 (of a gradient K) times 2^-24 of these is allowed besides.
"""
import warnings

import numpy as np
import torch

import counterparts
import samples
import swale
from half_graphs import FROM_RESULT
from operations import OPERATIONS
from rounding import outside, rounded_array, unit
from samples import STORED, finite_max, flat, reference, run_swale, tensors_of, tree

ROUNDINGS = 8
MOST = 20000  # elements of a tensor; larger samples are compared in f64 and f32 alone
U, TINY = 2.0**-24, 2.0**-126


def torch_16(call, arguments, cotangents):
    """As samples.reference, by PyTorch's 16-bit kernels; None if it has none."""
    made = {}

    def leaf(x):
        if id(x) not in made:
            made[id(x)] = x.detach().clone().requires_grad_(x.requires_grad and x.is_floating_point())
        return made[id(x)]
    args, kwargs = arguments
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            results = flat(call(*tree(leaf, args), **tree(leaf, kwargs)))
            roots = [(r, c.to(r.dtype)) for r, c in zip(results, cotangents)
                     if c is not None and isinstance(r, torch.Tensor) and r.requires_grad]
            if roots:
                torch.autograd.backward([r for r, _ in roots], [c for _, c in roots])
    except RuntimeError:
        return None
    return [r.detach() if isinstance(r, torch.Tensor) else r for r in results], \
        {key: x.grad for key, x in made.items() if x.requires_grad}


def largest(tensors):
    """The largest finite number."""
    return max([0.0] + [finite_max(x) for x in tensors_of(tensors) if x.is_floating_point()])


class Comparison:
    """As samples.Comparison; equal and total count elements whose bits are or could be those of PyTorch."""

    def __init__(self, tape, call, counterpart, arguments, dtype, by_element, slope=None, mixes=False, name=None):
        self.differences, self.equal, self.total, self.off = [], 0, 0, []
        self.call, self.arguments, self.by_element, self.kind = call, arguments, by_element, STORED[dtype]
        for x in tensors_of(arguments):
            samples.refuse_kind(x)
            if x.numel() > MOST:
                raise counterparts.NotOffered(f"more than {MOST} elements in 16 bits")
        try:
            results, gradients, self.cotangents = reference(call, arguments, None, drawn=dtype)
        except RuntimeError:
            raise counterparts.NotOffered("PyTorch's own call or backward fails in f64") from None
        if any(r is NotImplemented for r in results):
            raise counterparts.NotOffered("PyTorch has no such operand")
        counterparts.calls.clear()
        values, slopes, self.types = run_swale(tape, counterpart, arguments, self.cotangents)
        rounding = [c for c in counterparts.calls if c[3] in STORED.values() and not OPERATIONS[c[0]].exact]
        one = counterparts.calls[0][0] if len(counterparts.calls) == 1 else None
        theirs = torch_16(call, arguments, self.cotangents)
        self.noise = None
        self.k = 64 + 2 * max([1] + [x.numel() // max(1, r.numel()) for r in results if isinstance(r, torch.Tensor)
                                     for x in tensors_of(arguments)] +
                              [n for x in tensors_of(arguments) for n in x.shape] * (not by_element))
        for i, (got, wanted) in enumerate(zip(values, results)):
            if got is not None:
                self.compare("value", i, got, wanted, max(0, len(rounding) - 1), largest(arguments) * mixes,
                             theirs and theirs[0][i])
        size = self.k * largest(self.cotangents) * mixes
        seen = []
        inputs = tensors_of(arguments)
        for i, x in enumerate(inputs):
            if id(x) in seen or not (x.requires_grad and x.is_floating_point()) or id(x) not in gradients:
                continue
            seen.append(id(x))
            wanted, got = gradients[id(x)], slopes.get(id(x))
            if wanted is None and got is None:
                continue
            wanted = torch.zeros(x.shape, dtype=torch.float64) if wanted is None else wanted
            got = np.zeros(tuple(x.shape)) if got is None else got
            uses = sum(tuple(x.shape) in c[1] for c in counterparts.calls)
            shared = sum(y is x for y in inputs) > 1 or uses > 1 or len(counterparts.calls) > 1 or one is None
            broadcast = any(tuple(x.shape) != tuple(r.shape) for r in results if isinstance(r, torch.Tensor))
            more = max(1, len(counterparts.calls)) if shared else 0
            more += broadcast and (one is None or OPERATIONS[one].by_element)
            y = torch.from_numpy(np.asarray(values[0], dtype=np.float64))
            if slope:
                wanted = self.cotangents[0] * slope(y)
            elif one == "sw_softmax" or name == "Softmax":
                wanted = FROM_RESULT["sw_softmax"](y, self.cotangents[0], None, self.axis_of_softmax(results[0]))[0]
            elif one in FROM_RESULT:
                more += 1  # the relative error of the result is also that of the derivative
            self.compare("gradient", i, got, wanted, more, size, theirs and theirs[1].get(id(x)))

    @staticmethod
    def axis_of_softmax(y):
        """The axis along which the probabilities add up to 1."""
        return next(axis for axis in range(y.dim()) if y.numel() == 0 or ((y.sum(axis) - 1).abs() < 1e-9).all())

    def changes(self):
        """Results and gradients of draws with noise: [{(what, index): tensor}]."""
        if self.noise is None:
            self.noise = []
            inputs = tensors_of(self.arguments)
            for draw in range(samples.DRAWS):
                results, gradients, _ = reference(self.call, self.arguments, self.cotangents,
                                                  torch.Generator().manual_seed(draw))
                one = {("value", i): r for i, r in enumerate(results)}
                for i, x in enumerate(inputs):
                    g = gradients.get(id(x))
                    one["gradient", i] = torch.zeros(x.shape, dtype=torch.float64) if g is None else g
                self.noise.append(one)
        return self.noise

    def scale(self, what, i, wanted):
        """|reference| + C, by element or the largest of the array."""
        size = torch.nan_to_num(wanted.abs(), 0, 0, 0)
        if self.measured:
            change = torch.stack([(other[what, i] - wanted).abs() for other in self.changes()]).amax(0)
            size = size + torch.nan_to_num(change, 0, 0, 0) / samples.ETA
        return (size if self.by_element else torch.full_like(size, float(size.max()))).numpy()

    def compare(self, what, i, got, wanted, roundings, mixed, theirs):
        if tuple(got.shape) != tuple(wanted.shape):
            self.differences.append((what, i, torch.ones(wanted.shape, dtype=torch.bool), got, wanted))
            return
        if not wanted.numel():
            return
        if not wanted.is_floating_point():
            mask = torch.from_numpy(got.astype(np.int64)) != wanted.to(torch.int64)
            if mask.any():
                self.differences.append((what, i, mask, got, wanted))
            return
        result = self.kind if what == "gradient" else self.types[i]
        got, self.measured = got.astype(np.float64), False
        exact = wanted.numpy()

        def wrong():
            scale = self.scale(what, i, wanted)
            error = self.k * (U * scale + TINY) + 4 * U * mixed + 2 * roundings * unit(self.kind) * scale
            if roundings:
                error = error + 2.0**-24 * (self.kind == swale.F16)  # subnormal intermediate results
            return outside(got, exact, error, result)
        mask = wrong()
        if mask.any():
            self.measured = True
            mask = wrong()
        if mask.any():
            self.differences.append((what, i, torch.from_numpy(np.asarray(mask)), got, wanted))
        self.against(what, i, got, wanted, theirs, mixed if what == "value" else mixed / self.k)

    def against(self, what, i, got, wanted, theirs, mixed):
        """PyTorch's 16-bit result: equal bits, and its distance from the reference."""
        if theirs is None or not isinstance(theirs, torch.Tensor) or theirs.dtype not in STORED:
            return
        theirs = theirs.double().numpy()
        ours = rounded_array(got, self.kind)
        finite = np.isfinite(ours) & np.isfinite(theirs)
        self.total += int(finite.sum())
        self.equal += int((finite & (ours == theirs)).sum())
        for self.measured in (False, True):
            scale = self.scale(what, i, wanted)
            error = ROUNDINGS * unit(self.kind) * (2 * scale + mixed) + (2.0**-23 if self.kind == swale.F16 else TINY)
            far = outside(theirs, wanted.numpy(), error, self.kind) & finite
            if not far.any():
                return
        self.off.append((what, i, int(far.sum())))
