"""The counterparts of PyTorch's operations in swale: COUNTERPARTS[name of op_db] is a function of PyTorch's arguments,
with tensors as T, that computes the same result with operations of swale.

If swale has no equivalent for an argument, the function raises NotOffered with the reason. A call that swale refuses
raises swale.Refused.
"""
import math
import numbers

import numpy as np
import torch

import swale
from half_graphs import result_type
from operations import OPERATIONS
from rounding import STORED, rounded
from swale import (Axes, BatchNorm, Bce, Conv, CrossEntropy, Huber, Lengths, Loss, Options, Parts, Place, Pool, Shape,
                   lib)


class NotOffered(Exception):
    """swale has no equivalent; str() is the reason."""


class T:
    """A tensor of swale."""

    def __init__(self, handle):
        self.handle = handle
        self.param = None  # a parameter of a layer that has its values
        self.moved = False  # the parameter has axis 1 last: the channels of a convolution's weight

    @property
    def array(self):
        return lib.sw_value(self.handle)

    @property
    def shape(self):
        array = self.array
        return tuple(array.shape[:array.rank])

    @property
    def rank(self):
        return self.array.rank

    @property
    def type(self):
        return self.array.type


used = set()  # operations of swale that were called
keep = []     # models of the layers under test, until the tape's next reset
calls = []    # the operations of the present sample: (name, [shapes of inputs], shape of the result, type)


def op(name, *arguments):
    """Calls sw_NAME; T stand for tensors."""
    used.add("sw_" + name)

    def plain(a):
        if isinstance(a, Options):
            return type(a)((key, plain(value)) for key, value in a.items())
        return Parts(p.handle for p in a) if isinstance(a, Parts) else a.handle if isinstance(a, T) else a

    def inside(a):
        return a if isinstance(a, Parts) else a.values() if isinstance(a, Options) else [a]
    result = T(swale.call("sw_" + name, [plain(a) for a in arguments]))
    inputs = [t for a in arguments for t in inside(a) if isinstance(t, T)]
    calls.append(("sw_" + name, [t.shape for t in inputs], result.shape, result.type))
    types = {t.type for t in inputs} & set(FLOATS)
    if result.type in FLOATS and types and result.type != result_type("sw_" + name, arguments, types):
        raise swale.Refused(f"sw_{name} of {types} has the type {swale.TYPE_NAMES[result.type]}")
    return result


def split(x, axis, count, lengths):
    used.add("sw_split")
    return [T(t) for t in swale.split(x.handle, axis, count, lengths)]


COUNTERPARTS = {}


def counterpart(*names):
    def put(function):
        for name in names:
            COUNTERPARTS[name] = function
        return function
    return put


def offered(condition, reason):
    if not condition:
        raise NotOffered(reason)


FLOATS = (swale.F32, swale.F64, swale.F16, swale.BF16)


def real(*tensors):
    for t in tensors:
        offered(not isinstance(t, T) or t.type in FLOATS, "tensors of whole numbers")


def constant(like, value):
    offered(not isinstance(value, (complex, torch.Tensor)), "complex numbers")
    if like.type in STORED:
        exact = torch.tensor(float(value), dtype=torch.float64)
        offered(bool((rounded(exact, like.type) == exact) | exact.isnan()), "a constant that f16 or bf16 rounds")
    return T(lib.sw_constant(like.handle.tape, like.type, float(value)))


def as_tensors(a, b):
    """Converts both to tensors of one type."""
    offered(isinstance(a, T) or isinstance(b, T), "numbers alone, without a tensor")
    if not isinstance(a, T):
        a = constant(b, a)
    if not isinstance(b, T):
        b = constant(a, b)
    real(a, b)
    offered(a.type == b.type or swale.F64 not in (a.type, b.type), "f64 is not promoted")
    return a, b


def dims(dim):
    """PyTorch's dim of a reduction; None and () are all axes."""
    if dim is None or (isinstance(dim, (tuple, list)) and len(dim) == 0):
        return Axes.ALL
    return Axes([dim] if isinstance(dim, int) else dim)


def scalar_dims(x, dim):
    """PyTorch lets a scalar have an axis 0 or -1; swale does not."""
    if dim is None:
        return Axes.ALL
    axes = dims(dim)
    if x.rank == 0 and axes is not Axes.ALL:
        raise NotOffered("an axis of a scalar")
    return axes


# ---- Arithmetic ----


def arithmetic(name, reverse=False):
    def function(a, b, alpha=None, rounding_mode=None, out=None):
        offered(rounding_mode is None, "rounding_mode")
        if reverse:
            a, b = b, a
        a, b = as_tensors(a, b)
        if alpha is not None:
            offered(not isinstance(alpha, complex), "complex numbers")
            if reverse:
                a = op("scale", a, float(alpha))
            else:
                b = op("scale", b, float(alpha))
        return op(name, a, b)
    return function


for name_, names_ in {"add": ["add", "__radd__"], "sub": ["sub"], "mul": ["mul", "__rmul__"],
                      "div": ["div", "true_divide"], "maximum": ["maximum"], "minimum": ["minimum"]}.items():
    counterpart(*names_)(arithmetic(name_))
counterpart("__rsub__", "rsub")(lambda a, b, alpha=1: arithmetic("sub")(
    b, op("scale", a, float(alpha)) if alpha != 1 else a))
counterpart("__rdiv__")(lambda a, b: arithmetic("div")(b, a))
for name_, names_ in {"greater": "gt", "less": "lt", "equal": "eq", "greater_equal": "ge", "less_equal": "le",
                      "not_equal": "ne"}.items():
    counterpart(names_)(arithmetic(name_))


def logic(name):
    def function(a, b):
        offered(a.type == b.type, "logic of two types")
        return op(name, a, b)
    return function


for name_ in ("logical_and", "logical_or", "logical_xor"):
    counterpart(name_)(logic(name_))
counterpart("logical_not")(lambda x: op("logical_not", x))


def unary(name, *more):
    def function(x, inplace=False):
        real(x)
        return op(name, x, *more)
    return function


for name_ in ("neg", "exp", "log", "sqrt", "abs", "sin", "cos", "tanh", "sigmoid", "log1p", "expm1", "erf", "sign",
              "floor", "ceil", "trunc"):
    counterpart(name_)(unary(name_))
for name_ in ("relu", "silu"):
    counterpart("nn.functional." + name_)(unary(name_))
counterpart("square")(unary("pow", 2.0))
counterpart("reciprocal")(unary("pow", -1.0))
counterpart("rsqrt")(lambda x: op("pow", op("sqrt", x), -1.0))


@counterpart("pow")
def power(x, exponent):
    if isinstance(x, T) and isinstance(exponent, numbers.Real):
        real(x)
        return op("pow", x, float(exponent))
    return op("pow_tensor", *as_tensors(x, exponent))


counterpart("__rpow__")(lambda exponent, x: power(x, exponent))


@counterpart("round")
def round_(x, decimals=0):
    offered(decimals == 0, "decimals")
    real(x)
    return op("round", x)


@counterpart("clamp")
def clamp(x, min=None, max=None):
    offered(not isinstance(min, T) and not isinstance(max, T), "bounds that are tensors")
    if min is None and max is None:
        raise swale.Refused("no bound")
    real(x)
    return op("clamp", x, -math.inf if min is None else float(min), math.inf if max is None else float(max))


@counterpart("nn.functional.hardtanh")
def hardtanh(x, min_val=-1.0, max_val=1.0, inplace=False):
    real(x)
    return op("clamp", x, float(min_val), float(max_val))


counterpart("nn.functional.relu6")(lambda x, inplace=False: hardtanh(x, 0, 6))


@counterpart("nn.functional.leaky_relu")
def leaky_relu(x, negative_slope=0.01, inplace=False):
    return op("leaky_relu", x, float(negative_slope))


@counterpart("nn.functional.elu")
def elu(x, alpha=1.0, inplace=False):
    return op("elu", x, float(alpha))


@counterpart("nn.functional.softplus")
def softplus(x, beta=1, threshold=20):
    y = op("softplus", x if beta == 1 else op("scale", x, float(beta)))
    return y if beta == 1 else op("scale", y, 1 / beta)


@counterpart("nn.functional.gelu")
def gelu(x, approximate="none"):
    if approximate not in ("none", "tanh"):
        raise NotOffered("an unknown approximation by name")
    return op("gelu" if approximate == "none" else "gelu_tanh", x)


@counterpart("nn.functional.dropout")
def dropout(x, p=0.5, training=True, inplace=False):
    offered(not training or p == 0 or not 0 <= p < 1, "random masks, which are each side's own")
    lib.sw_tape_set_switch(x.handle.tape, swale.TRAIN, training)
    result = op("dropout", x, float(p), 0)
    lib.sw_tape_set_switch(x.handle.tape, swale.TRAIN, True)
    return result


# ---- Products ----


@counterpart("matmul")
def matmul(a, b):
    real(a, b)
    offered(a.rank > 0 and b.rank > 0, "products of vectors by sw_matmul")
    if a.rank == 1 or b.rank == 1:  # PyTorch's own rule: an axis of length 1 is added, and goes
        left = op("reshape", a, Shape((1, a.shape[0]))) if a.rank == 1 else a
        right = op("reshape", b, Shape((b.shape[0], 1))) if b.rank == 1 else b
        c = op("matmul", left, right)
        shape = list(c.shape)
        if b.rank == 1:
            shape.pop()
        if a.rank == 1:
            shape.pop(-1 if b.rank == 1 else -2)
        return op("reshape", c, Shape(shape))
    return op("matmul", a, b)


counterpart("__rmatmul__")(lambda a, b: matmul(b, a))


def exact_ranks(*ranks):
    def function(a, b):
        if (a.rank, b.rank) != ranks:
            raise swale.Refused("ranks")
        if len(ranks) == 2 and ranks == (3, 3) and a.shape[0] != b.shape[0]:
            raise swale.Refused("batches")  # torch.bmm does not broadcast
        return matmul(a, b)
    return function


counterpart("mm")(exact_ranks(2, 2))
counterpart("bmm")(exact_ranks(3, 3))
counterpart("mv")(exact_ranks(2, 1))


@counterpart("nn.functional.linear")
def linear(x, weight, bias=None):
    offered(weight.rank == 2, "a weight that is a vector")
    if x.rank >= 2:
        return op("linear", x, weight, bias)
    row = op("reshape", x, Shape((1, x.shape[-1])))
    return op("reshape", op("linear", row, weight, bias), Shape((weight.shape[0],)))


# ---- Convolutions ----


def for_axes(value, axes):
    value = tuple(value) if isinstance(value, (tuple, list)) else (value,) * axes
    if len(value) == 1:
        value = value * axes
    if len(value) != axes:
        raise swale.Refused("a number for each axis")
    return value


def last(x):
    """[N,C,...] -> [N,...,C]"""
    return op("permute", x, Axes([0, *range(2, x.rank), 1]))


def first(x):
    return op("permute", x, Axes([0, x.rank - 1, *range(1, x.rank - 1)]))


def convolution_options(axes, stride, padding, dilation, groups):
    options = Conv(stride=for_axes(stride, axes), dilation=for_axes(dilation, axes), groups=groups)
    if any(n < 1 for n in options["stride"] + options["dilation"]) or groups < 1:
        raise swale.Refused("0 is the default in swale, and an error in PyTorch")
    if padding == "same":
        if set(options["stride"]) != {1}:
            raise swale.Refused("PyTorch has same for stride 1 alone")
        options["same"] = True
    elif padding != "valid":
        offered(not isinstance(padding, str), "another padding by name")
        options["padding"] = for_axes(padding, axes)
    return options


def convolve(name, axes, x, weight, bias, options):
    """A sample without the batch axis gets one."""
    real(x, weight)
    if x.rank == axes + 1:
        y = convolve(name, axes, op("reshape", x, Shape((1, *x.shape))), weight, bias, options)
        return op("reshape", y, Shape(y.shape[1:]))
    if x.rank != axes + 2 or weight.rank != axes + 2:
        raise swale.Refused("ranks")
    return first(op(name, last(x), last(weight), bias, options))


@counterpart("nn.functional.conv1d")
def conv1d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return convolve("conv1d", 1, x, weight, bias, convolution_options(1, stride, padding, dilation, groups))


@counterpart("nn.functional.conv2d")
def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    return convolve("conv2d", 2, x, weight, bias, convolution_options(2, stride, padding, dilation, groups))


@counterpart("nn.functional.conv_transpose2d")
def conv_transpose2d(x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    options = convolution_options(2, stride, padding, dilation, groups)
    options["output_padding"] = for_axes(output_padding, 2)
    return convolve("conv2d_transposed", 2, x, weight, bias, options)


# ---- Pooling and normalization ----


def batched(axes, x, run):
    """run(x) for a sample with or without the batch axis, channels last."""
    real(x)
    if x.rank == axes + 1:
        y = batched(axes, op("reshape", x, Shape((1, *x.shape))), run)
        return op("reshape", y, Shape(y.shape[1:]))
    if x.rank != axes + 2:
        raise swale.Refused("ranks")
    return first(run(last(x)))


def pool_options(axes, window, stride, padding, dilation, ceil_mode, include=True):
    """(lengths of the window, options)"""
    window = for_axes(window, axes)
    options = Pool(stride=window if stride in (None, ()) else for_axes(stride, axes), padding=for_axes(padding, axes),
                   dilation=for_axes(dilation, axes), ceil_mode=bool(ceil_mode))
    if any(n < 1 for n in options["stride"] + options["dilation"]):
        raise swale.Refused("0 is the default in swale, and an error in PyTorch")
    if not include:
        options["exclude_padding"] = True
    return window, options


def max_pool(axes):
    def run(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
        offered(not return_indices, "the ids of the largest elements")
        window, options = pool_options(axes, kernel_size, stride, padding, dilation, ceil_mode)
        return batched(axes, x, lambda y: op(f"max_pool{axes}d", y, *window, options))
    return run


def avg_pool(axes):
    def run(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
        offered(divisor_override is None, "another divisor")
        window, options = pool_options(axes, kernel_size, stride, padding, 1, ceil_mode, count_include_pad)
        return batched(axes, x, lambda y: op(f"avg_pool{axes}d", y, *window, options))
    return run


def adaptive_pool(name):
    def run(x, output_size, return_indices=False):
        offered(not return_indices, "the ids of the largest elements")
        lengths = for_axes(output_size, 2)
        lengths = [n if length is None else length for length, n in zip(lengths, x.shape[-2:])]
        if lengths == [1, 1]:
            return batched(2, x, lambda y: op("reshape", op(f"global_{name}_pool2d", y),
                                              Shape((y.shape[0], 1, 1, y.shape[-1]))))
        return batched(2, x, lambda y: op(f"adaptive_{name}_pool2d", y, *lengths))
    return run


for axes_ in (1, 2):
    COUNTERPARTS[f"nn.functional.max_pool{axes_}d"] = max_pool(axes_)
    COUNTERPARTS[f"nn.functional.avg_pool{axes_}d"] = avg_pool(axes_)
for name_ in ("max", "avg"):
    COUNTERPARTS[f"nn.functional.adaptive_{name_}_pool2d"] = adaptive_pool(name_)


def last_axes(x, normalized_shape):
    real(x)
    count = len(normalized_shape)
    if count < 1 or x.shape[x.rank - count:] != tuple(normalized_shape):
        raise swale.Refused("another shape")
    return count


@counterpart("nn.functional.layer_norm")
def layer_norm(x, normalized_shape, weight=None, bias=None, eps=1e-5):
    axes = last_axes(x, normalized_shape)
    offered(eps > 0, "eps of 0, which is the default in swale")
    if axes == 1:
        return op("layer_norm", x, weight, bias, float(eps))
    return op("layer_norm_over", x, axes, weight, bias, float(eps))


@counterpart("nn.functional.rms_norm")
def rms_norm(x, normalized_shape, weight=None, eps=None):
    axes = last_axes(x, normalized_shape)
    offered(eps is None or eps > 0, "eps of 0, which is the default in swale")
    if axes == 1:
        return op("rms_norm", x, weight, float(eps or 0))
    return op("rms_norm_over", x, axes, weight, float(eps or 0))


@counterpart("nn.functional.group_norm")
def group_norm(x, num_groups, weight=None, bias=None, eps=1e-5):
    real(x)
    offered(eps > 0, "eps of 0, which is the default in swale")
    return first(op("group_norm", last(x), num_groups, weight, bias, float(eps)))


@counterpart("nn.functional.batch_norm")
def batch_norm(x, running_mean=None, running_var=None, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
    real(x)
    offered(x.rank > 1, "a batch without features")
    offered(training, "running statistics that are no parameters; check-graphs has them")
    offered(eps > 0, "eps of 0, which is the default in swale")
    return first(op("batch_norm", last(x), weight, bias, BatchNorm(eps=float(eps))))


# ---- Reductions ----


def no_dtype(dtype):
    offered(dtype is None, "dtype of the result")


@counterpart("sum")
def sum_(x, dim=None, keepdim=False, dtype=None):
    no_dtype(dtype)
    real(x)
    if dim is None and not keepdim:
        return op("sum", x)
    return op("sum_over", x, scalar_dims(x, dim), keepdim)


@counterpart("mean")
def mean(x, dim=None, keepdim=False, dtype=None):
    no_dtype(dtype)
    real(x)
    if dim is None and not keepdim:
        return op("mean", x)
    return op("mean_over", x, scalar_dims(x, dim), keepdim)


def variance(x, dim=None, unbiased=None, correction=None, keepdim=False, name="var_over"):
    real(x)
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    return op(name, x, scalar_dims(x, dim), keepdim, float(correction))


counterpart("var")(variance)
counterpart("std")(lambda *a, **k: variance(*a, name="std_over", **k))


def with_mean(name):
    def both(x, dim=None, unbiased=None, correction=None, keepdim=False):
        v = variance(x, dim, unbiased, correction, keepdim, name)
        if isinstance(dim, bool):
            dim = None
        return v, op("mean_over", x, scalar_dims(x, dim), keepdim)
    return both


counterpart("var_mean")(with_mean("var_over"))
counterpart("std_mean")(with_mean("std_over"))


@counterpart("prod")
def prod(x, dim=None, keepdim=False, dtype=None):
    no_dtype(dtype)
    real(x)
    if dim is None and not keepdim:
        return op("prod", x)
    return op("prod_over", x, scalar_dims(x, dim), keepdim)


def truth(name):
    def function(x, dim=None, keepdim=False):
        return op(name, x, scalar_dims(x, dim), keepdim)
    return function


counterpart("any")(truth("any_over"))
counterpart("all")(truth("all_over"))


def extreme(name):
    def function(x, dim=None, keepdim=False):
        real(x)
        return op(name + "_over", x, scalar_dims(x, dim), keepdim)
    return function


counterpart("amax")(extreme("max"))
counterpart("amin")(extreme("min"))


def largest(name):
    def function(x, other=None, dim=None, keepdim=False):
        if isinstance(other, T):
            return arithmetic(name + "imum")(x, other)
        dim = other if other is not None else dim
        if dim is None:
            return op(name + "_over", x, Axes.ALL, False)
        scalar_dims(x, dim)
        offered(False, "values and places of the extremes in one call: only one gets the gradient there")
    return function


counterpart("max")(largest("max"))
counterpart("min")(largest("min"))


@counterpart("linalg.vector_norm")
def vector_norm(x, ord=2, dim=None, keepdim=False, dtype=None):
    no_dtype(dtype)
    real(x)
    offered(isinstance(ord, numbers.Real), "a norm by name")
    offered(ord >= 1, "norms of order below 1")
    return op("norm_over", x, float(ord), scalar_dims(x, dim), keepdim)


@counterpart("norm")
def norm(x, p="fro", dim=None, keepdim=False, dtype=None):
    if p == "fro":
        p = 2
    if p is None:
        p = 2
    return vector_norm(x, p, dim, keepdim, dtype)


@counterpart("logsumexp")
def logsumexp(x, dim, keepdim=False):
    real(x)
    return op("logsumexp_over", x, scalar_dims(x, dim), keepdim)


def along(name):
    def function(x, dim=None, dtype=None, _stacklevel=3):
        no_dtype(dtype)
        real(x)
        offered(dim is not None, "an axis chosen by the rank")
        offered(x.rank > 0, "an axis of a scalar")
        return op(name, x, dim)
    return function


counterpart("softmax")(along("softmax"))
counterpart("log_softmax")(along("log_softmax"))


def cumulative(name):
    def function(x, dim, dtype=None):
        no_dtype(dtype)
        real(x)
        offered(x.rank > 0, "an axis of a scalar")
        return op(name, x, dim)
    return function


counterpart("cumsum")(cumulative("cumsum"))
counterpart("cumprod")(cumulative("cumprod"))


@counterpart("argmax")
def argmax(x, dim=None, keepdim=False):
    real(x)
    if dim is None:
        offered(not keepdim, "argmax over all axes with keepdim")
        return op("argmax", op("reshape", x, Shape((-1,))), 0, False)
    offered(x.rank > 0, "an axis of a scalar")
    return op("argmax", x, dim, keepdim)


@counterpart("argmin")
def argmin(x, dim=None, keepdim=False):
    real(x)
    if dim is None:
        offered(not keepdim, "argmin over all axes with keepdim")
        return op("argmin", op("reshape", x, Shape((-1,))), 0, False)
    offered(x.rank > 0, "an axis of a scalar")
    return op("argmin", x, dim, keepdim)


# ---- Order ----


def with_ids(name, x, *arguments):
    """The values and the ids of an operation with two results."""
    place = Place(True)
    values = op(name, x, *arguments, place)
    return values, T(place.tensor)


def distinct(x, dim):
    """Of equal elements, PyTorch chooses any: in topk, and in a sort that is not stable."""
    if -x.rank <= dim < x.rank:
        values = np.sort(swale.numbers(x.array), dim)
        offered(not (np.diff(values, axis=dim) == 0).any(), "equal elements in any order")


@counterpart("sort")
def sort(x, dim=-1, descending=False, stable=None):
    offered(x.rank > 0, "an axis of a scalar")
    if not stable:
        distinct(x, dim)
    return with_ids("sort", x, dim, descending)


@counterpart("argsort")
def argsort(x, dim=-1, descending=False, stable=False):
    offered(x.rank > 0, "an axis of a scalar")
    if not stable:
        distinct(x, dim)
    return op("argsort", x, dim, descending)


@counterpart("msort")
def msort(x):
    offered(x.rank > 0, "an axis of a scalar")
    return op("sort", x, 0, False, Place())


@counterpart("topk")
def topk(x, k, dim=-1, largest=True, sorted=True):
    offered(x.rank > 0, "an axis of a scalar")
    offered(sorted, "elements in any order")
    distinct(x, dim)
    return with_ids("top_k", x, k, dim, not largest)


# ---- Choice ----


def in_type_of(x, value):
    return value if isinstance(value, T) else constant(x, value)


def kind_of(condition):
    offered(condition.type in (swale.U8, swale.I32), "a condition of real numbers")


@counterpart("where")
def where(a, condition, b):  # as op_db has it: the tensor comes first
    offered(isinstance(condition, T), "indices where a condition holds")
    a, b = as_tensors(a, b)
    kind_of(condition)
    return op("where", condition, a, b)


@counterpart("masked_fill")
def masked_fill(x, mask, value):
    real(x)
    kind_of(mask)
    value = in_type_of(x, value)
    if value.rank:
        raise swale.Refused("the value is not a number")
    offered(value.type == x.type, "a value of another type")
    y = op("where", mask, value, x)
    offered(y.shape == x.shape, "a mask that makes the result larger is sw_where's, not masked_fill's")
    return y


# ---- Shape ----


def moved(x, axis):
    return axis + x.rank if axis < 0 else axis


@counterpart("reshape", "view", "view_copy")
def reshape(x, *shape):
    if len(shape) == 1 and isinstance(shape[0], (tuple, list, torch.Size)):
        shape = shape[0]
    offered(all(isinstance(n, int) for n in shape), "a view as another type")
    return op("reshape", x, Shape(shape))


counterpart("reshape_as", "view_as")(lambda x, other: op("reshape", x, Shape(other.shape)))
counterpart("ravel")(lambda x: op("reshape", x, Shape((-1,))))


@counterpart("flatten")
def flatten(x, start_dim=0, end_dim=-1):
    if x.rank == 0:
        return op("reshape", x, Shape((1,)))
    if not (-x.rank <= start_dim < x.rank and -x.rank <= end_dim < x.rank):
        raise swale.Refused("an axis out of range")
    a, b = moved(x, start_dim), moved(x, end_dim)
    if a > b:
        raise swale.Refused("start after end")
    return op("reshape", x, Shape(x.shape[:a] + (int(math.prod(x.shape[a:b + 1])),) + x.shape[b + 1:]))


@counterpart("unsqueeze", "unsqueeze_copy")
def unsqueeze(x, dim):
    if not -x.rank - 1 <= dim <= x.rank:
        raise swale.Refused("an axis out of range")
    return op("stack", Parts([x]), dim)


@counterpart("squeeze", "squeeze_copy")
def squeeze(x, dim=None):
    chosen = range(x.rank) if dim is None else [dim] if isinstance(dim, int) else dim
    chosen = {moved(x, a) for a in chosen}
    return op("reshape", x, Shape(n for i, n in enumerate(x.shape) if n != 1 or i not in chosen))


@counterpart("transpose", "transpose_copy")
def transpose(x, dim0, dim1):
    offered(x.rank > 0, "an axis of a scalar")
    return op("transpose", x, dim0, dim1)


@counterpart("t", "t_copy", "T")
def t(x):
    if x.rank > 2:
        raise swale.Refused("more than two axes")
    return op("transpose", x, 0, 1) if x.rank == 2 else op("reshape", x, Shape(x.shape))


@counterpart("mT")
def mT(x):
    if x.rank < 2:
        raise swale.Refused("fewer than two axes")
    return op("transpose", x, -2, -1)


@counterpart("permute", "permute_copy")
def permute(x, *order):
    if len(order) == 1 and isinstance(order[0], (tuple, list)):
        order = order[0]
    return op("permute", x, Axes(order))


@counterpart("movedim")
def movedim(x, source, destination):
    source = [source] if isinstance(source, int) else list(source)
    destination = [destination] if isinstance(destination, int) else list(destination)
    if len(source) != len(destination) or not x.rank:
        raise NotOffered("an axis of a scalar" if not x.rank else "unequal numbers of axes")
    for axes in (source, destination):
        if any(not -x.rank <= a < x.rank for a in axes) or len({moved(x, a) for a in axes}) < len(axes):
            raise swale.Refused("axes out of range or twice")
    source, destination = [moved(x, a) for a in source], [moved(x, a) for a in destination]
    order = [-1] * x.rank
    for a, b in zip(source, destination):
        order[b] = a
    rest = iter(a for a in range(x.rank) if a not in source)
    return op("permute", x, Axes(next(rest) if a < 0 else a for a in order))


@counterpart("narrow", "narrow_copy")
def narrow(x, dim, start, length):
    offered(not isinstance(start, T), "a beginning that is a tensor")
    offered(x.rank > 0, "an axis of a scalar")
    if length < 0:
        raise swale.Refused("a negative length")
    axis = dim + x.rank if dim < 0 else dim
    n = x.shape[axis] if 0 <= axis < x.rank else 0
    if start < -n:  # sw_slice's begin would be another
        raise swale.Refused("a beginning out of range")
    begin = start + n if start < 0 else start
    return op("slice", x, dim, begin, begin + length)


@counterpart("slice")
def slice_(x, dim=0, start=None, end=None, step=1):
    if step < 1:
        raise swale.Refused("a step below 1")
    offered(x.rank > 0, "an axis of a scalar")
    axis = dim + x.rank if dim < 0 else dim
    n = x.shape[axis] if 0 <= axis < x.rank else 0
    begin, end, _ = slice(start, end).indices(n)  # PyTorch clips what is out of range
    if step != 1:
        return op("slice_with_step", x, dim, begin, max(begin, end), step)
    return op("slice", x, dim, begin, max(begin, end))


@counterpart("flip")
def flip(x, dims):
    return op("flip", x, dims if isinstance(dims, Axes) else Axes([dims] if isinstance(dims, int) else dims))


counterpart("flipud")(lambda x: op("flip", x, Axes((0,))))
counterpart("fliplr")(lambda x: op("flip", x, Axes((1,))))


@counterpart("roll")
def roll(x, shifts, dims=()):
    shifts = [shifts] if isinstance(shifts, int) else list(shifts)
    dims = [dims] if isinstance(dims, int) else list(dims)
    if not dims and len(shifts) == 1:  # PyTorch's rule: the elements in a row
        offered(x.rank > 0, "an axis of a scalar")
        return op("reshape", op("roll", op("reshape", x, Shape((-1,))), shifts[0], 0), Shape(x.shape))
    if len(shifts) != len(dims) or not dims:
        raise swale.Refused("unequal numbers of shifts and axes")
    for shift, dim in zip(shifts, dims):
        x = op("roll", x, shift, dim)
    return x


@counterpart("select")
def select(x, dim, index):
    offered(x.rank > 0, "an axis of a scalar")
    axis = dim + x.rank if dim < 0 else dim
    if not 0 <= axis < x.rank:
        return op("slice", x, dim, 0, 1)
    n = x.shape[axis]
    if not -n <= index < n:
        return op("slice", x, dim, index, index + 1)
    begin = index + n if index < 0 else index
    y = op("slice", x, dim, begin, begin + 1)
    return op("reshape", y, Shape(x.shape[:axis] + x.shape[axis + 1:]))


@counterpart("__getitem__")
def getitem(x, index):
    index = list(index) if isinstance(index, tuple) else [index]
    axis = 0
    for part in index:
        if isinstance(part, bool) or part is None or part is Ellipsis:
            raise NotOffered("indexing by None, … or booleans")
        if isinstance(part, slice):
            x = slice_(x, axis, part.start, part.stop, part.step or 1)
            axis += 1
        elif isinstance(part, int):
            x = select(x, axis, part)
        elif isinstance(part, T) and len(index) == 1 and part.type == swale.I32:
            offered(not negative(part), "negative ids")
            return op("gather_rows", x, part)
        else:
            raise NotOffered("indexing by lists, masks or several tensors")
    return x


def negative(ids):
    values = swale.numbers(ids.array)
    return bool((values < 0).any())


@counterpart("cat")
def cat(tensors, dim=0):
    tensors = list(tensors)
    if not tensors:
        raise swale.Refused("nothing to join")
    offered(not any(x.rank == 1 and x.shape[0] == 0 for x in tensors) or all(x.rank == 1 for x in tensors),
            "an empty vector among larger shapes")
    types = {x.type for x in tensors}
    offered(len(types) == 1 or types < set(FLOATS) - {swale.F64}, "f64 and integers are not promoted")
    offered(all(x.rank for x in tensors) or len(tensors) > 1, "an axis of a scalar")
    return op("concat", Parts(tensors), dim)


@counterpart("stack")
def stack(tensors, dim=0):
    tensors = list(tensors)
    if not tensors:
        raise swale.Refused("nothing to join")
    return op("stack", Parts(tensors), dim)


@counterpart("split")
def split_(x, size, dim=0):
    if isinstance(size, (list, tuple)):
        return split_with_sizes(x, size, dim)
    n = length_of(x, dim)
    if size < 0 or (size == 0 and n != 0):
        raise swale.Refused("a size of 0")
    sizes = [min(size, n - at) for at in range(0, n, size)] if n else [0]
    return split_with_sizes(x, sizes, dim)


def length_of(x, dim):
    offered(x.rank > 0, "an axis of a scalar")
    axis = dim + x.rank if dim < 0 else dim
    return x.shape[axis] if 0 <= axis < x.rank else 1


@counterpart("split_with_sizes", "split_with_sizes_copy")
def split_with_sizes(x, sizes, dim=0):
    offered(x.rank > 0, "an axis of a scalar")
    return split(x, dim, len(sizes), Lengths(sizes))


@counterpart("chunk", "unsafe_chunk")
def chunk(x, chunks, dim=0):
    if chunks < 1:
        raise swale.Refused("no parts")
    n = length_of(x, dim)
    if n and n % chunks == 0:
        return split(x, dim, chunks, None)
    size = -(-n // chunks)
    return split_(x, size, dim) if size else split_with_sizes(x, [0] * chunks, dim)


counterpart("unsafe_split")(split_)


@counterpart("unbind", "unbind_copy")
def unbind(x, dim=0):
    return [select(x, dim, i) for i in range(length_of(x, dim))]


@counterpart("nn.functional.pad", "constant_pad_nd")
def pad(x, pad, mode="constant", value=None):
    if isinstance(mode, numbers.Real):
        mode, value = "constant", mode
    offered(mode == "constant", "padding by what is there")
    if len(pad) % 2 or len(pad) // 2 > x.rank:
        raise swale.Refused("pairs that do not fit")
    offered(all(n >= 0 for n in pad), "negative padding")
    before, after = [0] * x.rank, [0] * x.rank
    for i in range(len(pad) // 2):
        before[-1 - i], after[-1 - i] = pad[2 * i], pad[2 * i + 1]
    return op("pad", x, Shape(before), Lengths(after), float(value or 0))


@counterpart("expand", "expand_copy", "broadcast_to")
def expand(x, *shape):
    if len(shape) == 1 and isinstance(shape[0], (tuple, list, torch.Size)):
        shape = shape[0]
    return op("expand", x, Shape(shape))


counterpart("expand_as")(lambda x, other: op("expand", x, Shape(other.shape)))

# ---- Gathering ----


@counterpart("take_along_dim")
def take_along_dim(x, index, dim=None):
    offered(dim is not None, "gathering from all elements in a row")
    offered(index.type == swale.I32, "ids of another type")
    if x.rank != index.rank or not -x.rank <= dim < x.rank:
        raise swale.Refused("unequal ranks")
    axis = moved(x, dim)

    def along(own, other):
        return Shape(n if i == axis else max(n, other[i]) if n else 0 for i, n in enumerate(own))
    return gather(op("expand", x, along(x.shape, index.shape)), dim,
                  op("expand", index, along(index.shape, x.shape)))


@counterpart("gather")
def gather(x, dim, index, sparse_grad=False):
    offered(x.rank > 0 and index.rank > 0, "an axis of a scalar")
    real(x)
    offered(index.type == swale.I32, "ids of another type")
    offered(not negative(index), "negative ids")
    if x.rank == index.rank and -x.rank <= dim < x.rank:
        axis = moved(x, dim)
        if any(index.shape[i] < x.shape[i] for i in range(x.rank) if i != axis):
            for i in range(x.rank):  # PyTorch takes ids that are shorter
                if i != axis and index.shape[i] < x.shape[i]:
                    x = op("slice", x, i, 0, index.shape[i])
    return op("gather", x, dim, index)


@counterpart("scatter_add")
def scatter_add(x, dim, index, src):
    offered(x.rank > 0 and index.rank > 0 and src.rank > 0, "an axis of a scalar")
    real(x, src)
    offered(index.type == swale.I32, "ids of another type")
    offered(not negative(index), "negative ids")
    if not x.rank == index.rank == src.rank or not -x.rank <= dim < x.rank:
        raise swale.Refused("unequal ranks")
    axis = moved(x, dim)
    if any(index.shape[i] > src.shape[i] or (i != axis and index.shape[i] > x.shape[i]) for i in range(x.rank)):
        raise swale.Refused("ids beyond the values or x")
    offered(all(index.shape[i] == x.shape[i] for i in range(x.rank) if i != axis), "ids shorter than x")
    for i in range(x.rank):  # PyTorch takes values that are longer
        if index.shape[i] < src.shape[i]:
            src = op("slice", src, i, 0, index.shape[i])
    return op("scatter_add", x, dim, index, src)


@counterpart("index_add")
def index_add(x, dim, index, source, alpha=1):
    real(x, source)
    offered(x.rank > 0 and source.rank > 0, "an axis of a scalar")
    offered(index.type == swale.I32, "ids of another type")
    offered(not negative(index), "negative ids")
    axis = dim + x.rank if dim < 0 else dim
    if not 0 <= axis < x.rank or index.rank > 1 or source.rank != x.rank:
        raise swale.Refused("an axis out of range, or ids in more than one axis")
    if index.rank == 0:
        index = op("reshape", index, Shape((1,)))
    if alpha != 1:
        source = op("scale", source, float(alpha))
    if axis == 0:
        return op("scatter_add_rows", x, index, source)
    order = [axis] + [a for a in range(x.rank) if a != axis]
    rows = op("scatter_add_rows", op("permute", x, Axes(order)), index, op("permute", source, Axes(order)))
    return op("permute", rows, Axes(order.index(a) for a in range(x.rank)))


@counterpart("index_select")
def index_select(x, dim, index):
    real(x)
    offered(x.rank > 0, "an axis of a scalar")
    axis = dim + x.rank if dim < 0 else dim
    if not 0 <= axis < x.rank or index.rank > 1:
        raise swale.Refused("an axis out of range, or ids in more than one axis")
    if index.rank == 0:
        index = op("reshape", index, Shape((1,)))
    offered(index.type == swale.I32, "ids of another type")
    if axis == 0:
        return op("gather_rows", x, index)
    order = [axis] + [a for a in range(x.rank) if a != axis]
    rows = op("gather_rows", op("permute", x, Axes(order)), index)
    return op("permute", rows, Axes(order.index(a) for a in range(x.rank)))


@counterpart("nn.functional.embedding")
def embedding(weight, ids, padding_idx=None, max_norm=None, norm_type=2.0, scale_grad_by_freq=False,
              sparse=False):
    offered(max_norm is None, "max_norm")
    offered(not scale_grad_by_freq, "scale_grad_by_freq")
    offered(not sparse, "sparse gradients")
    offered(ids.type == swale.I32, "ids of another type")
    if weight.rank != 2:
        raise swale.Refused("the weight is not a matrix")
    if padding_idx is not None:
        return op("gather_rows_with_padding", weight, ids, padding_idx + weight.shape[0] * (padding_idx < 0))
    return op("gather_rows", weight, ids)


# ---- Losses ----


def how(reduction):
    if reduction not in ("mean", "sum", "none"):
        raise swale.Refused("an unknown reduction")
    return ["mean", "sum", "none"].index(reduction)


def loss_offered(x, target, size_average, reduce):
    offered(size_average is None and reduce is None, "size_average and reduce, which are deprecated")
    offered(x.shape == target.shape, "losses do not broadcast")
    real(x, target)


def with_weight(options, weight):
    if weight is not None:
        options["weight"] = weight
    return options


def loss(name):
    def function(x, target, weight=None, size_average=None, reduce=None, reduction="mean", **more):
        loss_offered(x, target, size_average, reduce)
        offered(not more, "options: " + " ".join(more))
        if reduction == "mean" and weight is None:
            return op(name, x, target)
        return op(name + "_with_options", x, target, with_weight(Loss(reduction=how(reduction)), weight))
    return function


counterpart("nn.functional.mse_loss")(loss("mse"))
counterpart("nn.functional.l1_loss")(loss("l1"))


@counterpart("nn.functional.huber_loss")
def huber(x, target, reduction="mean", delta=1.0, weight=None, size_average=None, reduce=None):
    loss_offered(x, target, size_average, reduce)
    if delta == 1 and reduction == "mean" and weight is None:
        return op("huber", x, target)
    offered(delta != 0, "delta = 0, which stands for the default here")
    return op("huber_with_options", x, target, with_weight(Huber(reduction=how(reduction), delta=float(delta)), weight))


@counterpart("nn.functional.smooth_l1_loss")
def smooth_l1(x, target, size_average=None, reduce=None, reduction="mean", beta=1.0):
    offered(beta != 0, "beta = 0, which is sw_l1")
    if beta == 1 and size_average is None and reduce is None:
        return huber(x, target, reduction)
    y = huber(x, target, reduction, beta, None, size_average, reduce)
    return y if beta == 1 else op("scale", y, 1 / beta)


@counterpart("nn.functional.binary_cross_entropy_with_logits")
def bce(x, target, weight=None, size_average=None, reduce=None, reduction="mean", pos_weight=None):
    loss_offered(x, target, size_average, reduce)
    if reduction == "mean" and weight is None and pos_weight is None:
        return op("bce_with_logits", x, target)
    options = with_weight(Bce(reduction=how(reduction)), weight)
    if pos_weight is not None:
        options["pos_weight"] = pos_weight
    return op("bce_with_logits_with_options", x, target, options)


@counterpart("nn.functional.kl_div")
def kl_div(x, target, size_average=None, reduce=None, reduction="mean", log_target=False):
    offered(not log_target, "log_target")
    offered(x.rank > 0, "scalars")
    offered(x.shape == target.shape, "losses do not broadcast")
    offered(size_average is None and reduce is None, "size_average and reduce, which are deprecated")
    offered(reduction != "none", "kl_div by element: here it is one number a row")
    if reduction == "sum":
        return op("kl_div_with_options", x, target, Loss(reduction=how("sum")))
    y = op("kl_div", x, target)  # the mean over rows
    rows, n = math.prod(x.shape[:-1]), x.shape[-1]
    if reduction == "mean":
        return op("scale", y, 1 / n)
    if reduction != "batchmean":
        raise swale.Refused("an unknown reduction")
    return op("scale", y, rows / x.shape[0]) if x.shape[0] else y


@counterpart("nn.functional.cross_entropy")
def cross_entropy(x, target, weight=None, size_average=None, ignore_index=-100, reduce=None,
                  reduction="mean", label_smoothing=0.0):
    offered(size_average is None and reduce is None, "size_average and reduce, which are deprecated")
    soft = target.type in FLOATS
    offered(soft or target.type == swale.I32, "ids of another type")
    if x.rank > 2:  # classes are in axis 1 there, in the last here
        order = [0] + list(range(2, x.rank)) + [1]
        x = op("permute", x, Axes(order))
        if soft:
            target = op("permute", target, Axes(order))
    options = CrossEntropy(reduction=how(reduction), label_smoothing=float(label_smoothing))
    if weight is not None:
        if weight.rank != 1:
            raise swale.Refused("weights are not a vector")
        options["class_weights"] = [float(w) for w in swale.numbers(weight.array)]
    if not soft or ignore_index >= 0:
        options["ignore"] = True
        options["ignored_id"] = int(ignore_index)
    if reduction == "mean" and weight is None and not label_smoothing and (
            soft and ignore_index < 0 or not soft and not (swale.numbers(target.array) == ignore_index).any()):
        return op("cross_entropy", x, target)
    y = op("cross_entropy_with_options", x, target, options)
    if soft and reduction == "mean" and len(x.shape) > 2:
        return op("scale", y, math.prod(x.shape[:-1]) / x.shape[0] / math.prod(x.shape[1:-1]))
    return y


@counterpart("clone", "contiguous", "positive", "resolve_conj", "resolve_neg")
def same(x, memory_format=None):
    return op("reshape", x, Shape(x.shape))


# Operations that have no counterpart in op_db, each with the reason.
NO_COUNTERPART = {
    "sw_accuracy": "a measure, not an operation there; check-graphs compares it with argmax",
    "sw_cast": "Tensor.to is not in op_db; check-graphs has it",
    "sw_conv2d_max_pool2d": "a composition of two operations; check-graphs has it",
    "sw_conv2d_avg_pool2d": "a composition of two operations; check-graphs has it",
    "sw_global_avg_pool2d": "the mean over two axes, which op_db has as mean; check-graphs has it",
    "sw_detach": "Tensor.detach is not in op_db; check-graphs has it",
    "sw_gather_rows_with_padding": "op_db has no padding_idx; check-graphs has it",
    "sw_hinge": "nn.HingeEmbeddingLoss is another loss; check-graphs compares it with relu(1 - t s)",
    "sw_hinge_with_options": "as sw_hinge",
    "sw_loss_with_weight": "the identity; PyTorch's losses do not know what they were divided by",
    "sw_one_hot": "nn.functional.one_hot is not in op_db; check-graphs has it",
    **{f"sw_{name}": "op_db has no recurrent networks; module_db and check-graphs have them" for name in (
        "lstm", "lstm_cell", "gru", "gru_cell")},
    "sw_attention_packed": "its layers; check-graphs compares it with scaled_dot_product_attention",
    "sw_linear_attention": "PyTorch has none; check-graphs compares it with its formula",
    "sw_rotary": "as sw_linear_attention",
    "sw_squared_relu": "as sw_linear_attention",
    "sw_swiglu": "as sw_linear_attention",
    "sw_matmul_transposed": "matmul with .mT is two operations there; check-graphs has it",
}
