"""Random graphs with tensors in f16 and bf16, and their comparison with PyTorch: see check_graphs.py.

Leaves are f16, bf16 or f32, so that many operations have inputs of several types, and casts (also to f64) are drawn
like other operations. The types of all results are predicted (`result_type`) and compared.

Rounding errors of 2^-9 (bf16) would soon hide any other error in a whole graph. Therefore every operation is compared
by itself: PyTorch computes in f64 from the numbers that swale stored, which it reads exactly. swale must have computed
in f32 and rounded once. The same holds for gradients: PyTorch's vjp starts from the cotangent that swale stored. Since
both sides have exactly the same inputs, no margin at kinks is needed.

Tolerance: an element must be a rounding of a number within δ of PyTorch's (rounding.py). δ is 0 for operations that
do not compute, else K 2^-24 (|reference| + C) as in graphs.py, where C is measured by noise in this operation alone,
and the size and C are those of an element where the result depends on one element of each input. Where several
operations use a tensor, each gradient and each sum is rounded.

A second run of the same graph, in which memory is released and used again, must have the same bits.
"""
import numpy as np
import torch

import graphs
import swale
from graphs import ETA, Mismatch, arguments, needs_gradient
from operations import OPERATIONS, Retry
from rounding import FORMATS, STORED, outside, rounded, rounded_array, spacing, unit
from swale import F16, F32, F64, BF16

U, TINY, DRAWS = 2.0**-24, 2.0**-126, 4

# ---- Drawing ----


def result_type(name, args, types):
    """The type of a result for inputs of these floating-point types."""
    if name == "sw_cast":
        return args[1]
    if name == "sw_one_hot":
        return args[2]
    if len(types) > 1:
        return F32
    [kind] = types
    return F32 if kind in STORED and OPERATIONS[name].wide else kind


class Builder(graphs.Builder):
    def __init__(self, seed):
        super().__init__(seed)
        self.dtype = self.graph.dtype = self.rng.choice([F16, BF16])
        self.limit = 2e4
        if self.rng.random() < 0.1:
            self.limit = 1e9  # some numbers are ∞ in f16

    def any_type(self):
        other = F16 if self.dtype == BF16 else BF16
        return self.rng.choices([self.dtype, F32, other], [75, 15, 10])[0]

    def cast_input(self):
        wide = [n for n in self.graph.nodes if n.type == F64 and n.usable]
        return self.rng.choice(wide) if wide and self.rng.random() < 0.5 else self.real()

    def cast_type(self):
        return self.rng.choice([F16, BF16, F32, F64])

    def find(self, fits):
        """A tensor in f64 is the input of a cast alone."""
        return super().find(lambda n: n.type != F64 and fits(n))

    def leaf(self, shape, domain="real", how=None):
        node = super().leaf(shape, domain, how)
        node.type = self.any_type()
        if node.how in ("param", "frozen"):
            node.type = self.dtype
            node.master = rounded(node.value, F32)
            node.value = rounded(node.master, self.dtype)
        else:
            node.value = rounded(node.value, node.type)
        return node

    def distributions(self, shape):
        node = super().distributions(shape)
        node.type = self.any_type()
        node.value = rounded(node.value, node.type)
        return node

    def stored(self, node, value):
        if not node.real:
            return value
        return rounded(value, node.type)

    def check(self, node, op, values, result):
        """Retries a draw whose result is large, not finite, or has too many elements."""
        if result.numel() > 20000 or result.dim() > swale.MAX_RANK:
            raise Retry
        types = {i.type for i in node.inputs() if i.real}
        if result.dtype != F64_TORCH:
            return
        node.type = result_type(node.name, node.args, types)
        finite = torch.isfinite(result)
        if not finite.all() and all(i.value.numel() for i in node.inputs()) and graphs.name_is_not_var(node):
            raise Retry
        if finite.any() and result[finite].abs().max() > self.limit:
            raise Retry

    def build(self):
        """One root, so that the gradient of a tensor is that of one pass; its cotangent has its type."""
        graph = super().build()
        graph.roots = [(root, c if c is None else rounded(c, root.type)) for root, c in graph.roots[:1]]
        for node in graph.nodes:
            if any(node is root for root, _ in graph.roots):
                node.released = False
        return graph


F64_TORCH = torch.float64

# ---- One operation ----

# Derivatives that are computed from the result, which was rounded: (y, cotangent, arguments) gives the gradients of
# the inputs.
FROM_RESULT = {
    "sw_tanh": lambda y, g, x: [g * (1 - y * y)],
    "sw_sigmoid": lambda y, g, x: [g * y * (1 - y)],
    "sw_exp": lambda y, g, x: [g * y],
    "sw_sqrt": lambda y, g, x: [g / (2 * y)],
    "sw_div": lambda y, g, a, b: [g / b, -g * y / b],
    "sw_softmax": lambda y, g, x, axis: [y * (g - (g * y).sum(axis, keepdim=True))],
}

# Gradients that are elements of the cotangent, perhaps with another sign.
MOVING = {"sw_neg", "sw_detach", "sw_cast", "sw_loss_with_weight", "sw_reshape", "sw_transpose", "sw_permute",
          "sw_slice", "sw_concat", "sw_stack", "sw_split", "sw_pad", "sw_add", "sw_sub", "sw_where", "sw_sort",
          "sw_top_k", "sw_slice_with_step", "sw_flip", "sw_roll", "sw_scatter_add", "sw_scatter_add_rows"}


class Call:
    """One operation of a graph, on the numbers that swale stored."""

    def __init__(self, graph, node, values):
        self.graph, self.node, self.values = graph, node, values
        self.op = OPERATIONS[node.name]
        self.k = 64 + 2 * max([1] + [n for i in node.inputs() for n in i.shape] +
                              [i.value.numel() // max(1, node.value.numel()) for i in node.inputs()])

    def result(self, generator=None):
        with torch.no_grad():
            y = self.op.torch(*arguments(self.node, lambda n: self.noisy(self.values[n.index], generator)))
        return self.noisy(y, generator)

    def terms(self, cotangent, needs, generator=None):
        """[(input, gradient)] of every place of an input in the call. Where the result depends on one element of each
        input, the gradients have the shape of the result: their sums over broadcast axes are still to be taken."""
        leaves = []

        def leaf(node):
            x = self.values[node.index]
            if not node.real:
                return x
            x = x.expand(self.node.shape) if self.op.by_element else x
            x = x.detach().clone().requires_grad_(node.index in needs)
            leaves.append((node, x))
            return self.noisy(x, generator)
        g = self.noisy(cotangent, generator)
        if self.node.name in FROM_RESULT:
            args = arguments(self.node, leaf)
            y = self.noisy(self.values[self.node.index], generator)
            found = FROM_RESULT[self.node.name](y, g, *args)
            found = [x.detach() for x in found]
        else:
            y = self.op.torch(*arguments(self.node, leaf))
            y.backward(g)
            found = [torch.zeros_like(x) if x.grad is None else x.grad for _, x in leaves]
        return [(node, self.noisy(x, generator)) for (node, _), x in zip(leaves, found) if node.index in needs]

    def noisy(self, x, generator):
        """x, relative errors of η with random signs."""
        if generator is None or not x.is_floating_point():
            return x
        return x * (1 + ETA * (2 * torch.randint(0, 2, x.shape, generator=generator, dtype=torch.float64) - 1))

    def generators(self):
        return [torch.Generator().manual_seed(self.graph.seed * DRAWS + draw) for draw in range(DRAWS)]

    def error(self, wanted, noisy, exact, size=0.0):
        """δ for the result without rounding errors and others that were computed with noise."""
        if exact:
            return np.zeros(wanted.shape)
        change = [np.nan_to_num(abs((x - wanted).numpy()), nan=0, posinf=0, neginf=0) for x in noisy]
        change = np.max(change, axis=0) / ETA if change else np.zeros(wanted.shape)
        size = size + np.nan_to_num(abs(wanted.numpy()), nan=0, posinf=0, neginf=0)
        if not self.op.by_element and wanted.numel():
            change, size = change.max(), size.max()
        return self.k * (U * (size + change) + TINY)


def to_shape(x, shape):
    """The sum over broadcast axes."""
    x = x.sum(axis=tuple(range(x.ndim - len(shape))))
    return x.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1 and x.shape[i] != 1), keepdims=True).reshape(shape)


# ---- Comparison ----


def compare(graph, tape):
    """None, or the first mismatch."""
    try:
        value, gradient = graphs.run_swale(graph, tape, everything=True)
        again, gradient_again = graphs.run_swale(graph, tape)
    except swale.Refused as error:
        return Mismatch(graph, "refused", -1, f"swale refuses: {error}")
    for what, first, second in (("value", value, again), ("gradient", gradient, gradient_again)):
        for i, x in second.items():
            if x is not None and first[i] is not None and x.tobytes() != first[i].tobytes():
                return Mismatch(graph, "bits", i, f"{what} of t{i}: other bits if memory is used again")
    values = {i: torch.from_numpy(x.astype(np.float64 if graph.nodes[i].real else x.dtype)) for i, x in value.items()}
    for node in graph.nodes:
        mismatch = compare_value(graph, node, values)
        if mismatch:
            return mismatch
    return compare_gradients(graph, values, gradient)


def describe(graph, what, node, got, wanted, error, mask):
    place = tuple(int(i) for i in np.unravel_index(int(np.argmax(mask)), mask.shape))
    delta = float(np.broadcast_to(error, got.shape)[place])
    text = (f"{what} of t{node.index} ({swale.TYPE_NAMES[graph.type_of(node)]}): at {list(place)} swale "
            f"{float(got[place])!r}, PyTorch {float(wanted[place])!r}, δ {delta:.3g}; {int(mask.sum())} of {mask.size} "
            "elements")
    return Mismatch(graph, what, node.index, text)


def compare_value(graph, node, values):
    got = values[node.index].numpy()
    if node.name == "leaf":
        mask = ~(got == node.value.numpy())
        return describe(graph, "value", node, got, node.value.numpy(), 0, mask) if mask.any() else None
    call = Call(graph, node, values)
    wanted = call.result()
    if got.shape != tuple(wanted.shape):
        return Mismatch(graph, "value", node.index, f"t{node.index}: shape {got.shape}, PyTorch {list(wanted.shape)}")
    if not node.real:
        mask = got != wanted.numpy()
        return describe(graph, "value", node, got, wanted.numpy(), 0, mask) if mask.any() else None
    kind = graph.type_of(node)
    error = call.error(wanted, [], call.op.exact)
    mask = outside(got, wanted.numpy(), error, kind)
    if mask.any() and not call.op.exact:
        error = call.error(wanted, [call.result(g) for g in call.generators()], False)
        mask = outside(got, wanted.numpy(), error, kind)
    return describe(graph, "value", node, got, wanted.numpy(), error, mask) if mask.any() else None


class Sum:
    """The expected gradient of a tensor: a sum of contributions that are rounded, and added with roundings."""

    def __init__(self, shape, kind):
        self.kind, self.count = kind, 0
        self.total, self.size, self.error = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.finite = True

    def add(self, x, error):
        self.total, self.size, self.error = self.total + x, self.size + abs(x), self.error + error
        self.count += 1

    def bound(self, contributions_rounded):
        """δ: of one contribution its own. Several are rounded each, and so are their sums."""
        if self.count < 2:
            return self.error
        return self.error + contributions_rounded + (self.count - 1) * spacing(self.size, self.kind) / 2


def contributions(call, cotangent, needs, measured):
    """[(input, gradient, δ)]"""
    node, plain = call.node, call.terms(cotangent, needs)
    noisy = [call.terms(cotangent, needs, g) for g in call.generators()] if measured else []
    size = 0.0
    if call.op.mixes and cotangent.numel():
        size = float(cotangent.abs().max())
        if node.name == "sw_var_over":
            size *= graphs.size_of(call.values[node.inputs()[0].index])
    found = []
    for i, (source, x) in enumerate(plain):
        error = call.error(x, [other[i][1] for other in noisy], node.name in MOVING, size)
        error = np.broadcast_to(error, tuple(x.shape))
        x = x.numpy()
        if tuple(x.shape) != source.shape or call.op.by_element:
            kind = call.graph.type_of(source)
            if tuple(x.shape) != source.shape and kind in STORED:
                error = error + spacing(x, kind) / 2  # the terms of a sum over broadcast axes are in this type
            if tuple(x.shape) != source.shape:
                error = error + call.k * U * abs(x)
            x, error = to_shape(x, source.shape), to_shape(error, source.shape)
        found.append((source, x, error))
    return found


def compare_gradients(graph, values, gradient):
    needs = needs_gradient(graph.nodes)
    for measured in (False, True):
        mismatch = follow(graph, values, gradient, needs, measured)
        if mismatch is None:
            return None
    return mismatch


def follow(graph, values, gradient, needs, measured):
    """Compares all gradients, each with the contributions of the operations that use the tensor."""
    expected, roundings, unknown = {}, {}, set()

    def add(node, x, error):
        kind = graph.type_of(node)
        if node.index not in expected:
            expected[node.index], roundings[node.index] = Sum(node.shape, kind), np.zeros(node.shape)
        expected[node.index].add(x, error)
        roundings[node.index] = roundings[node.index] + spacing(x, kind) / 2
    for root, c in graph.roots:
        add(root, np.ones(root.shape) if c is None else c.numpy(), 0)
    for node in reversed(graph.nodes):
        if node.index not in needs or node.index not in expected:
            continue
        got = gradient.get(node.index)
        got = np.zeros(node.shape) if got is None else got.astype(np.float64)
        one = expected[node.index]
        if node.index not in unknown:
            error = one.bound(roundings[node.index])
            mask = outside(got, one.total, error, graph.type_of(node))
            if mask.any():
                return describe(graph, "gradient", node, got, one.total, error, mask)
        if node.name == "leaf":
            continue
        inputs = [i for i in node.inputs() if i.real]
        if node.index in unknown or not np.isfinite(got).all() or \
                not all(torch.isfinite(values[i.index]).all() for i in inputs):
            unknown |= {i.index for i in inputs}  # of 0·∞ the two sides may have different derivatives
            for i in inputs:
                if i.index in needs:
                    add(i, np.zeros(i.shape), 0)
            continue
        call = Call(graph, node, values)
        for source, x, error in contributions(call, torch.from_numpy(got), needs, measured):
            add(source, x, error)
    return None


def shrink(graph, tape):
    return graphs.shrink(graph, tape, compare)
