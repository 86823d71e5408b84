"""Every operation of ops.h: its counterpart in PyTorch, and a random call of it for graphs.py.

OPERATIONS[name] is an Operation. `torch` takes the arguments of the C function (tensors, numbers, Axes, …) and
computes the same in PyTorch. `draw(builder)` returns arguments for one call; tensors among them are
graphs.Node objects. `exact`: the result is computed without rounding. `kink` returns distances, which must not
be near 0 for rounded inputs: at 0 the result or the derivative is discontinuous, so that a rounding error on either
side would change it. `slope`: the derivative as a function of the result, if both sides compute it in this way; the
derivative then contains the rounding error of the result. `mixes`: the gradient is a difference of terms as large as
the cotangent (softmax) or as the input (var). `by_element`: an element of the result depends on one element of each
input, after broadcasting. `wide`: the result is f32 if the inputs are f16 or bf16.
"""
import math

import torch
import torch.nn.functional as F

from swale import (Attention, Axes, BatchNorm, Bce, Conv, CrossEntropy, Huber, Lengths, LinearAttention, Loss, Parts,
                   Place, Pool, Recurrent, Rotary, Shape)

F64 = torch.float64


class Retry(Exception):
    """The graph has no suitable arguments for this operation."""


class Operation:
    def __init__(self, function, draw, exact=False, kink=None, slope=None, mixes=False, wide=False, by_element=False):
        self.torch, self.draw, self.exact, self.kink, self.slope = function, draw, exact, kink, slope
        self.mixes, self.wide, self.by_element = mixes, wide, by_element


OPERATIONS = {}
# Losses, and reductions that add, are f32 if their inputs are 16-bit (core/README.md); see loss() below.
WIDE = {"sw_sum", "sw_mean", "sw_prod", "sw_sum_over", "sw_mean_over", "sw_prod_over", "sw_var_over", "sw_std_over",
        "sw_norm_over", "sw_logsumexp_over",
        "sw_log_softmax", "sw_accuracy", "sw_cross_entropy", "sw_cross_entropy_with_options", "sw_huber",
        "sw_huber_with_options", "sw_bce_with_logits_with_options"}
BY_ELEMENT = {"sw_div", "sw_scale", "sw_pow", "sw_clamp", "sw_leaky_relu", "sw_elu", "sw_loss_with_weight",
              "sw_dropout", "sw_greater", "sw_less", "sw_equal", "sw_where", "sw_pow_tensor", "sw_greater_equal",
              "sw_less_equal", "sw_not_equal", "sw_logical_and", "sw_logical_or", "sw_logical_xor"}


def operation(name, function, draw, **more):
    OPERATIONS[name] = Operation(function, draw, **{"wide": name in WIDE, "by_element": name in BY_ELEMENT} | more)


# ---- Operations of one and of two tensors ----


def unary(name, function, domain="real", **more):
    operation(name, function, lambda b: [b.real(domain)], by_element=True, **more)


def binary(name, function, **more):
    operation(name, function, lambda b: b.broadcasting(2), by_element=True, **more)


binary("sw_add", torch.add)
binary("sw_sub", torch.sub)
binary("sw_mul", torch.mul)
operation("sw_div", torch.div, lambda b: b.divided())
binary("sw_maximum", torch.maximum, exact=True, kink=lambda x, y: x - y)
binary("sw_minimum", torch.minimum, exact=True, kink=lambda x, y: x - y)
operation("sw_scale", lambda x, factor: x * factor, lambda b: [b.real(), b.number(3)])
unary("sw_neg", torch.neg, exact=True)
unary("sw_exp", torch.exp)
unary("sw_log", torch.log, "positive")
unary("sw_sqrt", torch.sqrt, "positive")
unary("sw_abs", torch.abs, exact=True, kink=lambda x: x)
unary("sw_sin", torch.sin)
unary("sw_cos", torch.cos)


def draw_pow(b):
    exponent = b.choice([2, 3, -1, 0, 1, 0.5, -2, 1.5, 4, 0.25, -0.5, 5])
    whole = exponent == int(exponent)
    return [b.real("real" if whole and exponent >= 0 else "nonzero" if whole else "positive"), float(exponent)]


operation("sw_pow", torch.pow, draw_pow)


def draw_pow_tensor(b):
    base = b.real("positive")
    found = b.find(lambda n: n.real and fits(n.shape, base.shape)) if b.rng.random() < 0.6 else None
    return [base, found or b.leaf(b.related(base.shape))]


operation("sw_pow_tensor", torch.pow, draw_pow_tensor)
unary("sw_log1p", torch.log1p, "positive")
unary("sw_expm1", torch.expm1)
unary("sw_erf", torch.erf)
unary("sw_sign", torch.sign, exact=True, kink=lambda x: x)
for name_ in ("floor", "ceil", "trunc"):
    unary("sw_" + name_, getattr(torch, name_), exact=True, kink=lambda x: x - x.round())
unary("sw_round", torch.round, exact=True, kink=lambda x: x - x.floor() - 0.5)


def draw_clamp(b):
    low = b.number(1.5)
    return [b.real(), low, b.choice([low, low + b.rng.randrange(9) / 4, math.inf])]


def clamp(x, low, high):
    """The derivative is 1 at the ends, as ops.h says; PyTorch's depends on its version."""
    return torch.where((x < low) | (x > high), torch.clamp(x.detach(), low, high), x)


operation("sw_clamp", clamp, draw_clamp, exact=True,
          kink=lambda x, low, high: torch.minimum((x - low).abs(), (x - high).abs()))
unary("sw_relu", F.relu, exact=True, kink=lambda x: x)
unary("sw_tanh", torch.tanh, slope=lambda y: 1 - y * y)
unary("sw_sigmoid", torch.sigmoid, slope=lambda y: y * (1 - y))
operation("sw_leaky_relu", F.leaky_relu, lambda b: [b.real(), b.number(1)], kink=lambda x, slope: x)
operation("sw_elu", F.elu, lambda b: [b.real(), b.number(2)], kink=lambda x, alpha: x)
unary("sw_silu", F.silu)
unary("sw_squared_relu", lambda x: F.relu(x)**2)
# PyTorch's softplus is linear above a threshold of 20; this one is not.
unary("sw_softplus", lambda x: torch.logaddexp(x, torch.zeros((), dtype=x.dtype)))
# F.gelu is 0 below -8.3; torch.special.ndtr loses digits from -3 on.
unary("sw_gelu", lambda x: x * 0.5 * torch.special.erfc(-x * math.sqrt(0.5)))
# F.gelu's ½ (1 + tanh u) loses digits below 0; this is σ(2 u).
unary("sw_gelu_tanh", lambda x: x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
unary("sw_detach", torch.detach, exact=True)
# Drawn in half_graphs.py; in other graphs it is the identity.
operation("sw_cast", lambda x, kind: x * 1, lambda b: [b.cast_input(), b.cast_type()], exact=True, by_element=True)
# The identity; its weight counts between passes, and a graph has one.
operation("sw_loss_with_weight", lambda x, weight: x * 1,
          lambda b: [b.find(lambda n: n.real and n.value.numel() == 1) or b.leaf([]), b.choice([0.5, 1.0, 3.0])],
          exact=True)
# Masks cannot be drawn by PyTorch: with p = 0, or while the tape does not train, it is the identity.
operation("sw_dropout", lambda x, p, site: x * 1,
          lambda b: [b.real(), 0.0 if b.train else b.rng.random() * 0.9, b.rng.randrange(2**32)], exact=True)


# ---- Products ----


def draw_matmul(b, transposed=False):
    a = b.real(least=2)
    shape = list(a.shape)
    ta, tb = (b.rng.random() < 0.5, b.rng.random() < 0.5) if transposed else (False, False)
    if b.rng.random() < 0.5:  # a square of itself, or two that fit by chance
        inner = shape[-2] if ta else shape[-1]
        other = b.find(lambda n: n.real and n.rank >= 2 and n.shape[-1 if tb else -2] == inner and
                       fits(n.shape[:-2], shape[:-2]))
        if other is not None:
            return [a, other] + ([ta, tb] if transposed else [])
    inner, n = (shape[-2] if ta else shape[-1]), b.length()
    tail = [n, inner] if tb else [inner, n]
    batch = b.related(shape[:-2])
    return [a, b.leaf(batch + tail)] + ([ta, tb] if transposed else [])


def fits(a, b):
    return all(x == y or x == 1 or y == 1 for x, y in zip(reversed(a), reversed(b)))


operation("sw_matmul", torch.matmul, draw_matmul)
operation("sw_matmul_transposed",
          lambda a, c, ta, tb: torch.matmul(a.mT if ta else a, c.mT if tb else c),
          lambda b: draw_matmul(b, True))


def draw_linear(b):
    x = b.real(least=2)
    n = b.length()
    weight = b.find(lambda node: node.real and node.rank == 2 and node.shape[1] == x.shape[-1]) \
        if b.rng.random() < 0.4 else None
    weight = weight or b.leaf([n, x.shape[-1]])
    bias = None if b.rng.random() < 0.3 else b.leaf([weight.shape[0]])
    return [x, weight, bias]


operation("sw_linear", F.linear, draw_linear)

# ---- Convolutions ----


def same_zeros(length, kernel, stride, dilation):
    """The zeros before and after an axis for the option same."""
    missing = max(0, (-(-length // stride) - 1) * stride + dilation * (kernel - 1) + 1 - length)
    return missing // 2, missing - missing // 2


def convolution(function):
    """PyTorch's function for channels last, with the options of sw_conv_options. conv1d has pairs of one number."""
    def run(x, weight, bias, options):
        more = dict(options)
        x, weight = x.movedim(-1, 1), weight.movedim(-1, 1)
        if more.pop("same", False):
            axes = x.dim() - 2
            stride, dilation = more.get("stride", (1,) * axes), more.get("dilation", (1,) * axes)
            zeros = [same_zeros(x.shape[i + 2], weight.shape[i + 2], stride[i], dilation[i]) for i in range(axes)]
            x = F.pad(x, [n for pair in reversed(zeros) for n in pair])
        return function(x, weight, bias, **more).movedim(1, -1)
    return run


def draw_convolution(axes, transposed=False):
    def pair(b, numbers):
        return tuple(b.choice(numbers) for _ in range(axes))

    def draw(b):
        groups = b.choice([1, 1, 1, 2, 3])
        x = b.find(lambda n: n.real and n.rank == axes + 2 and 0 not in n.shape and n.shape[-1] % groups == 0) \
            if b.rng.random() < 0.6 else None
        x = x or b.leaf([b.choice([1, 2, 3])] + [b.choice([1, 2, 3, 5, 8]) for _ in range(axes)] +
                        [groups * b.choice([1, 2, 3, 8, 17])])
        kernel, dilation, stride = pair(b, [1, 2, 3, 4]), pair(b, [1, 1, 1, 2, 3]), pair(b, [1, 1, 1, 2, 3])
        options = Conv({"groups": groups})
        if b.rng.random() < 0.5:
            options |= {"stride": stride}
        if b.rng.random() < 0.3:
            options |= {"dilation": dilation}
        if b.rng.random() < 0.3 and not transposed:
            options["same"] = True
        elif b.rng.random() < 0.6:
            options["padding"] = pair(b, [0, 0, 1, 2, 3])
        if transposed and "stride" in options and b.rng.random() < 0.5:
            options["output_padding"] = tuple(b.rng.randrange(s) for s in stride)
        outputs = groups * b.choice([1, 2, 3, 16])
        ends = (x.shape[-1], outputs // groups) if transposed else (outputs, x.shape[-1] // groups)
        shape = (ends[0], *kernel, ends[1])
        weight = b.find(lambda n: n.real and n.shape == shape) if b.rng.random() < 0.4 else None
        weight = weight or b.leaf(shape)
        bias = None if b.rng.random() < 0.4 else b.leaf([outputs])
        return [x, weight, bias, options]
    return draw


operation("sw_conv1d", convolution(F.conv1d), draw_convolution(1))
operation("sw_conv2d", convolution(F.conv2d), draw_convolution(2))
operation("sw_conv2d_transposed", convolution(F.conv_transpose2d), draw_convolution(2, True))

# ---- Recurrent networks ----


def recurrent(lstm, cell):
    """The steps of all samples together, by PyTorch's cells. A sample that has ended keeps its state."""
    def step(x, state, w_ih, w_hh, options):
        biases = []
        for name in ("bias_ih", "bias_hh"):  # PyTorch has both biases or none
            given = options.get(name)
            biases.append(w_hh.new_zeros(w_hh.shape[0]) if given is None else given)
        if lstm:
            return torch.cat(torch.lstm_cell(x, state.chunk(2, 1), w_ih, w_hh, *biases), 1)
        return torch.gru_cell(x, state, w_ih, w_hh, *biases)

    def run(x, w_ih, w_hh, options):
        hidden, width = w_hh.shape[1], w_hh.shape[1] * (2 if lstm else 1)
        state = options.get("state")
        state = x.new_zeros(x.shape[0], width) if state is None else state
        if cell:
            return step(x, state, w_ih, w_hh, options)
        batch, time = x.shape[:2]
        lengths = options.get("lengths")
        lengths = torch.full((batch,), time) if lengths is None else lengths
        every = [None] * time
        for t in reversed(range(time)) if options.get("reverse") else range(time):
            inside = (t < lengths)[:, None]
            state = torch.where(inside, step(x[:, t], state, w_ih, w_hh, options), state)
            every[t] = torch.where(inside, state, 0.0)
        none = 0 * (x.sum() + w_ih.sum() + w_hh.sum() + state.sum())  # without a step there is no graph
        result = options.get("result", 0)
        if result == 2:
            return state + none
        y = (torch.stack(every, 1) if time else x.new_zeros(batch, 0, width)) + none
        return y[..., :hidden] if result == 0 else y
    return run


def draw_recurrent(lstm, cell):
    def draw(b):
        x = b.real(exactly=2 if cell else 3)
        batch, hidden = x.shape[0], b.choice([1, 2, 3, 5, 17])
        if not cell and x.shape[1] > 8:  # rounding errors can grow with every step
            raise Retry
        rows, width = hidden * (4 if lstm else 3), hidden * (2 if lstm else 1)
        options = Recurrent()
        for name, shape in (("bias_ih", [rows]), ("bias_hh", [rows]), ("state", [batch, width])):
            if b.rng.random() < 0.5:
                options[name] = b.leaf(shape)
        if not cell:
            if b.rng.random() < 0.5:
                options["lengths"] = b.ids([batch], x.shape[1] + 1)
            options |= {"reverse": b.rng.random() < 0.3, "result": b.rng.randrange(3)}
        return [x, b.leaf([rows, x.shape[-1]]), b.leaf([rows, hidden]), options]
    return draw


for prefix, is_lstm in (("sw_lstm", True), ("sw_gru", False)):
    operation(prefix, recurrent(is_lstm, False), draw_recurrent(is_lstm, False), mixes=True)
    operation(prefix + "_cell", recurrent(is_lstm, True), draw_recurrent(is_lstm, True), mixes=True)

# ---- Attention ----


def split_heads(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def seen_keys(queries, keys, options):
    """[queries, keys] or [batch, 1, queries, keys]: the keys that a query sees, apart from the option mask."""
    seen = torch.ones(queries, keys, dtype=torch.bool)
    if options.get("causal"):
        seen = seen.tril(options.get("first_position", 0))
    if options.get("key_padding") is not None:
        seen = seen & (options["key_padding"] == 0)[:, None, None, :]
    return seen


def attention(q, k, v, options):
    heads = options["heads"]
    seen, mask = seen_keys(q.shape[1], k.shape[1], options), options.get("mask")
    if mask is not None and not mask.is_floating_point():
        seen, mask = seen & (mask != 0), None
    added = torch.zeros(seen.shape, dtype=q.dtype).masked_fill(~seen, -math.inf)
    added = added if mask is None else added + mask
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        y = F.scaled_dot_product_attention(*(split_heads(x, heads) for x in (q, k, v)), attn_mask=added,
                                           scale=options.get("scale"))
    return y.transpose(1, 2).flatten(2)


def linear_attention(q, k, v, options):
    heads = options["heads"]
    if options.get("map"):
        q, k = F.elu(q) + 1, F.elu(k) + 1
    weights = split_heads(q, heads) @ split_heads(k, heads).mT * options.get("scale", 1)
    weights = weights * seen_keys(q.shape[1], k.shape[1], options)
    if options.get("normalized"):
        total = weights.sum(-1, keepdim=True)
        weights = weights / torch.where(total == 0, 1, total)
    return (weights @ split_heads(v, heads)).transpose(1, 2).flatten(2)


def moderate(b):
    """A node [batch, length, features] whose numbers are small, because rounding errors of scores are those of their
    exponentials, relative to the result."""
    x = b.real(exactly=3, filled=True)
    if x.value.abs().max() > 3:
        raise Retry
    return x


def heads_of(b, *features):
    return b.choice([n for n in range(1, 5) if all(f % n == 0 for f in features)])


def draw_attention(b, linear=False):
    q = moderate(b)
    batch, queries, features = q.shape
    heads = heads_of(b, features)
    keys, values = b.choice([1, 2, 3, 7, 33]), heads * b.choice([1, 2, 5, 16])
    options = (LinearAttention if linear else Attention)({"heads": heads})
    if b.rng.random() < 0.4:
        options["causal"] = True
    if b.rng.random() < 0.3:
        options["key_padding"] = b.mask([batch, keys], "mask")
    if linear:
        options |= b.choice([{}, {"scale": 0.25}, {"map": 1}, {"map": 1, "normalized": True}])
    else:
        if options.get("causal") and b.rng.random() < 0.5:
            options["first_position"] = b.choice([1, 2, 5])
        if b.rng.random() < 0.3:
            options["scale"] = b.choice([0.25, 0.5, -0.5])
        if b.rng.random() < 0.4:
            shape = [b.choice([1, n]) for n in (batch, heads, queries, keys)][b.rng.randrange(5):]
            options["mask"] = b.mask(shape, "mask") if b.rng.random() < 0.5 else b.leaf(shape)
    return [q, b.leaf([batch, keys, features]), b.leaf([batch, keys, values]), options]


def draw_packed_attention(b):
    x = moderate(b)
    if x.shape[-1] % 3:
        x = b.leaf([*x.shape[:2], 3 * b.choice([1, 2, 4, 17])])
    batch, length, features = x.shape
    options = Attention({"heads": heads_of(b, features // 3)})
    if b.rng.random() < 0.5:
        options["causal"] = True
    if b.rng.random() < 0.3:
        options["key_padding"] = b.mask([batch, length], "mask")
    return [x, options]


def rotary(x, options):
    parts = x.unflatten(-1, (options["heads"], -1))
    half = parts.shape[-1] // 2
    a, b = (parts[..., ::2], parts[..., 1::2]) if options.get("interleaved") else parts.split(half, -1)
    rates = options.get("base", 10000)**(-torch.arange(half, dtype=F64) / half)
    angle = ((options.get("first_position", 0) + torch.arange(x.shape[1]))[:, None, None] * rates)
    cosine, sine = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    turned = [a * cosine - b * sine, a * sine + b * cosine]
    return (torch.stack(turned, -1).flatten(-2) if options.get("interleaved") else torch.cat(turned, -1)).flatten(2)


def draw_rotary(b):
    x = b.real(exactly=3, filled=True)
    if x.shape[-1] % 2:
        x = b.leaf([*x.shape[:2], 2 * b.choice([1, 2, 3, 17])])
    options = Rotary({"heads": heads_of(b, x.shape[-1] // 2)})
    options |= b.choice([{}, {"base": 7.5}, {"first_position": 1000}, {"interleaved": True}])
    return [x, options]


operation("sw_attention", attention, draw_attention, mixes=True)
operation("sw_attention_packed", lambda x, options: attention(*x.chunk(3, -1), options), draw_packed_attention,
          mixes=True)
operation("sw_linear_attention", linear_attention, lambda b: draw_attention(b, True), mixes=True)
operation("sw_rotary", rotary, draw_rotary, mixes=True)


def draw_swiglu(b):
    x = b.real(least=1)
    return [x if x.shape[-1] % 2 == 0 else b.leaf([*x.shape[:-1], 2 * b.length()])]


operation("sw_swiglu", lambda x: F.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1] if x.shape[-1] else x * 1, draw_swiglu)

# ---- Normalization ----

NORM_EPS = [0.25, 0.5, 1.0, 2.0]  # large, so that rows of nearly equal numbers do not amplify rounding errors


def norm_params(b, shape):
    """Weight and bias, or None."""
    return [None if b.rng.random() < 0.3 else b.leaf(list(shape)) for _ in range(2)]


def draw_row_norm(b, axes=False, bias=True):
    x = b.real(least=1, filled=True)
    count = b.rng.randrange(1, x.rank + 1) if axes else 1
    weight, shift = norm_params(b, x.shape[x.rank - count:])
    return [x] + ([count] if axes else []) + [weight] + ([shift] if bias else []) + [b.choice(NORM_EPS)]


operation("sw_layer_norm", lambda x, w, shift, eps: F.layer_norm(x, x.shape[-1:], w, shift, eps), draw_row_norm,
          mixes=True)
operation("sw_layer_norm_over", lambda x, axes, w, shift, eps: F.layer_norm(x, x.shape[-axes:], w, shift, eps),
          lambda b: draw_row_norm(b, True), mixes=True)
operation("sw_rms_norm", lambda x, w, eps: F.rms_norm(x, x.shape[-1:], w, eps),
          lambda b: draw_row_norm(b, bias=False), mixes=True)
operation("sw_rms_norm_over", lambda x, axes, w, eps: F.rms_norm(x, x.shape[-axes:], w, eps),
          lambda b: draw_row_norm(b, True, False), mixes=True)


def draw_group_norm(b):
    x = b.real(least=2, filled=True)
    groups = b.choice([n for n in range(1, x.shape[-1] + 1) if x.shape[-1] % n == 0])
    if x.value[0].numel() == groups:
        raise Retry  # the result is 0; PyTorch's has the rounding errors of a x + b
    return [x, groups, *norm_params(b, x.shape[-1:]), b.choice(NORM_EPS)]


operation("sw_group_norm", lambda x, groups, w, shift, eps: torch.group_norm(
    x.movedim(-1, 1), groups, w, shift, eps).movedim(1, -1), draw_group_norm, mixes=True)


def draw_batch_norm(b):
    x = b.real(least=2, filled=True)
    if math.prod(x.shape[:-1]) < 2:
        raise Retry
    return [x, *norm_params(b, x.shape[-1:]), BatchNorm(eps=b.choice(NORM_EPS))]


operation("sw_batch_norm", lambda x, w, shift, options: F.batch_norm(
    x.movedim(-1, 1), None, None, w, shift, True, 0, options["eps"]).movedim(1, -1), draw_batch_norm, mixes=True)

# ---- Pooling ----


def pool(function, axes):
    """PyTorch's function for channels last, with the options of sw_pool_options."""
    def run(x, *arguments):
        window, options = arguments[:axes], dict(arguments[axes])
        x = F.relu(x) if options.pop("relu", False) else x
        if "exclude_padding" in options:
            options["count_include_pad"] = not options.pop("exclude_padding")
        return function(x.movedim(-1, 1), window, **options).movedim(1, -1)
    return run


def adaptive(function):
    return lambda x, *lengths: function(x.movedim(-1, 1), lengths or 1).movedim(1, -1)


def neighbors_of_channels(x, *rest):
    """Distances between the elements of a channel that are next to each other in order."""
    if x.numel() == 0:
        return torch.ones(1, dtype=x.dtype)
    rows = x.movedim(-1, 1).flatten(2).sort(-1).values
    return rows.diff(dim=-1) if rows.shape[-1] > 1 else torch.ones(1, dtype=x.dtype)


def draw_picture(b, axes):
    x = b.find(lambda n: n.real and n.rank == axes + 2 and 0 not in n.shape) if b.rng.random() < 0.6 else None
    return x or b.leaf([b.choice([1, 2, 3])] + [b.choice([1, 2, 3, 5, 8]) for _ in range(axes)] +
                       [b.choice([1, 2, 3, 4, 8, 17])])


def draw_pool(axes, average):
    def draw(b):
        x = draw_picture(b, axes)
        window = [b.choice([1, 2, 3, 4]) for _ in range(axes)]
        options = Pool({"ceil_mode": b.choice([True, False])})
        if b.rng.random() < 0.7:
            options["stride"] = tuple(b.choice([1, 2, 3]) for _ in range(axes))
        if b.rng.random() < 0.5:
            options["padding"] = tuple(b.choice(range(w // 2 + 1)) for w in window)
        if average and b.rng.random() < 0.5:
            options["exclude_padding"] = True
        return [x, *window, options]
    return draw


def draw_adaptive(b):
    return [draw_picture(b, 2), b.choice([1, 2, 3, 5]), b.choice([1, 2, 3, 5])]


for axes_ in (1, 2):
    operation(f"sw_max_pool{axes_}d", pool(getattr(F, f"max_pool{axes_}d"), axes_), draw_pool(axes_, False), exact=True,
              kink=neighbors_of_channels)
    operation(f"sw_avg_pool{axes_}d", pool(getattr(F, f"avg_pool{axes_}d"), axes_), draw_pool(axes_, True))


def conv_pool(function):
    def run(x, weight, bias, options, *arguments):
        return pool(function, 2)(convolution(F.conv2d)(x, weight, bias, options), *arguments)
    return run


def conv_pool_kink(x, weight, bias, options, *rest):
    """Distances between the results of the convolution, and from 0."""
    y = convolution(F.conv2d)(x, weight, bias, options)
    return torch.cat([neighbors_of_channels(y).flatten(), y.flatten()])


def draw_conv_pool(average):
    def draw(b):
        x, weight, bias, options = draw_convolution(2)(b)
        options = Conv({k: v for k, v in options.items() if k != "padding"} | {"same": True})
        shape = [-(-n // s) for n, s in zip(x.shape[1:3], options.get("stride", (1, 1)))]
        window = [b.choice([w for w in (1, 2, 3) if w <= n]) for n in shape]
        more = Pool({"relu": b.choice([True, False])})
        if b.rng.random() < 0.4:
            more["stride"] = tuple(b.choice([1, 2, 3]) for _ in range(2))
        return [x, weight, bias, options, *window, more]
    return draw


operation("sw_conv2d_max_pool2d", conv_pool(F.max_pool2d), draw_conv_pool(False), kink=conv_pool_kink)
operation("sw_conv2d_avg_pool2d", conv_pool(F.avg_pool2d), draw_conv_pool(True), kink=conv_pool_kink)
operation("sw_adaptive_max_pool2d", adaptive(F.adaptive_max_pool2d), draw_adaptive, exact=True,
          kink=neighbors_of_channels)
operation("sw_adaptive_avg_pool2d", adaptive(F.adaptive_avg_pool2d), draw_adaptive)
operation("sw_global_max_pool2d", lambda x: adaptive(F.adaptive_max_pool2d)(x).flatten(1), lambda b: [draw_picture(b, 2)], exact=True,
          kink=neighbors_of_channels)
operation("sw_global_avg_pool2d", lambda x: x.mean((1, 2)), lambda b: [draw_picture(b, 2)])

# ---- Reductions ----


def reducing(function):
    """function(x, dim, keepdim, …) over Axes; no axes at all is an axis of length 1 at the end."""
    def over(x, axes, keepdim, *more):
        if axes is Axes.ALL:
            dims = tuple(range(x.dim()))
        else:
            dims = tuple(axes)
        if not dims:
            return function(x.unsqueeze(-1), (-1,), False, *more)
        return function(x, dims, keepdim, *more)
    return over


def draw_reduced(b, *more, filled=False, domain="real"):
    x = b.real(domain, filled=filled)
    return [x, b.axes(x.rank), b.rng.random() < 0.4, *more]


def gap(largest):
    """Distance between the largest and the second largest along the axes."""
    def distances(x, dims, keepdim):
        rest = [axis for axis in range(x.dim()) if axis not in [d % x.dim() for d in dims]]
        rows = x.permute(rest + [d % x.dim() for d in dims]).reshape([x.shape[a] for a in rest] + [-1])
        if rows.shape[-1] < 2:
            return torch.ones(1, dtype=x.dtype)
        top = torch.topk(rows if largest else -rows, 2, -1).values
        return top[..., 0] - top[..., 1]
    return reducing(distances)


def norm(x, dims, keepdim, p):
    return torch.linalg.vector_norm(x, p, dims, keepdim)


def norm_kink(x, axes, keepdim, p):
    if p == math.inf:
        return gap(True)(x.abs(), axes, keepdim)
    return x if p < 2 else reducing(norm)(x, axes, keepdim, p)


operation("sw_sum", torch.sum, lambda b: [b.real()])
operation("sw_mean", torch.mean, lambda b: [b.real()])
operation("sw_sum_over", reducing(torch.sum), draw_reduced)
operation("sw_mean_over", reducing(torch.mean), draw_reduced)
operation("sw_var_over", reducing(lambda x, dims, keepdim, correction: torch.var(
    x, dims, correction=correction, keepdim=keepdim)), lambda b: draw_reduced(b, b.choice([0, 1, 0.5, -1])), mixes=True)


def std(x, dims, keepdim, correction):
    return torch.std(x, dims, correction=correction, keepdim=keepdim)


# At 0 the derivative of a root is discontinuous.
operation("sw_std_over", reducing(std), lambda b: draw_reduced(b, b.choice([0, 1, 0.5, -1])), mixes=True,
          kink=lambda x, axes, keepdim, correction: reducing(std)(x, axes, keepdim, 0))


def prod(x, dims, keepdim):
    """torch.prod takes one axis."""
    for axis in sorted((d % x.dim() for d in dims), reverse=True):
        x = x.prod(axis, keepdim=keepdim)
    return x


def draw_factors(b):
    """The gradient at a factor is the product of the others, which must be a number in f32."""
    x = b.real()
    if x.value.numel() and torch.where(x.value == 0, 1.0, x.value).abs().log2().clamp(min=0).sum() > 100:
        raise Retry
    return x


operation("sw_prod", torch.prod, lambda b: [draw_factors(b)])
operation("sw_prod_over", reducing(prod), lambda b: (lambda x: [x, b.axes(x.rank), b.rng.random() < 0.4])(
    draw_factors(b)))
operation("sw_max_over", reducing(torch.amax), lambda b: draw_reduced(b, filled=True), exact=True,
          kink=gap(True))
operation("sw_min_over", reducing(torch.amin), lambda b: draw_reduced(b, filled=True), exact=True,
          kink=gap(False))
operation("sw_norm_over", lambda x, p, axes, keepdim: reducing(norm)(x, axes, keepdim, p),
          lambda b: (lambda x, axes, keepdim, p: [x, p, axes, keepdim])(
              *draw_reduced(b, b.choice([1.0, 2.0, 2.0, 3.0, 1.5, math.inf]))),
          kink=lambda x, p, axes, keepdim: norm_kink(x, axes, keepdim, p))
operation("sw_logsumexp_over", reducing(torch.logsumexp), draw_reduced)


def draw_along(b):
    x = b.real(least=1)
    return [x, b.axis(x.rank)]


operation("sw_cumsum", torch.cumsum, draw_along)
operation("sw_cumprod", torch.cumprod, draw_along)
operation("sw_softmax", torch.softmax, draw_along, mixes=True)
operation("sw_log_softmax", torch.log_softmax, draw_along, mixes=True)


def draw_argmax(b):
    x = b.real(least=1, filled=True)
    return [x, b.axis(x.rank), b.rng.random() < 0.4]


operation("sw_argmax", lambda x, axis, keepdim: torch.argmax(x, axis, keepdim).to(torch.int32), draw_argmax,
          exact=True, kink=lambda x, axis, keepdim: gap(True)(x, (axis,), keepdim))


operation("sw_argmin", lambda x, axis, keepdim: torch.argmin(x, axis, keepdim).to(torch.int32), draw_argmax,
          exact=True, kink=lambda x, axis, keepdim: gap(False)(x, (axis,), keepdim))


def scores_of(b):
    """Scores [..., classes] of two classes or more: one class is refused."""
    x = b.real(least=1, filled=True)
    while x.shape[-1] == 1:
        x = b.real(least=1, filled=True)
    return x


def draw_rows(b):
    x = scores_of(b)
    return [x, b.ids(x.shape[:-1], x.shape[-1])]


operation("sw_accuracy", lambda x, ids: (x.argmax(-1) == ids).to(x.dtype).mean(), draw_rows,
          kink=lambda x, ids: gap(True)(x, (-1,), False))

# ---- Order ----


def neighbors(x, axis, *rest):
    """The distances of neighbors in the order along an axis."""
    return torch.sort(x, axis).values.diff(dim=axis)


def first_of(x, k, axis, smallest, ids):
    """The first k elements of a stable sort; torch.topk chooses any of equal elements."""
    return torch.sort(x, dim=axis, descending=not smallest, stable=True).values.narrow(axis, 0, k)


def draw_sorted(b):
    x = b.real(least=1)
    return [x, b.axis(x.rank), b.rng.random() < 0.5]


def draw_first(b):
    x = b.real(least=1)
    axis = b.axis(x.rank)
    return [x, b.rng.randrange(x.shape[axis] + 1), axis, b.rng.random() < 0.5, Place()]


operation("sw_argsort", lambda x, axis, descending: torch.sort(
    x, dim=axis, descending=descending, stable=True).indices.to(torch.int32), draw_sorted, exact=True, kink=neighbors)
operation("sw_sort", lambda x, axis, descending, ids: torch.sort(
    x, dim=axis, descending=descending, stable=True).values, lambda b: draw_sorted(b) + [Place()], exact=True,
    kink=neighbors)
operation("sw_top_k", first_of, draw_first, exact=True, kink=lambda x, k, axis, *rest: neighbors(x, axis))

# ---- Comparison, logic and choice ----

for name_, function_ in (("greater", torch.gt), ("less", torch.lt), ("equal", torch.eq), ("greater_equal", torch.ge),
                         ("less_equal", torch.le), ("not_equal", torch.ne)):
    operation("sw_" + name_, lambda x, y, compare=function_: compare(x, y).to(torch.uint8),
              lambda b: b.broadcasting(2), exact=True, kink=lambda x, y: x - y)


def draw_logic(b):
    """Two tensors of one kind. Random numbers are hardly ever 0; masks and ids often are."""
    x = b.any()
    if x.real:
        return b.broadcasting(2)
    y = b.find(lambda n: n.kind == x.kind and fits(n.shape, x.shape))
    return [x, y]


def draw_logic_of_one(b):
    return [b.any()]


for name_ in ("and", "or", "xor"):
    operation("sw_logical_" + name_, lambda x, y, logic=getattr(torch, "logical_" + name_): logic(x, y).to(torch.uint8),
              draw_logic, exact=True, kink=lambda x, y: torch.minimum(x.abs(), y.abs()))
operation("sw_logical_not", lambda x: torch.logical_not(x).to(torch.uint8), draw_logic_of_one, exact=True,
          by_element=True, kink=lambda x: x)


def draw_truths(b):
    x = b.any()
    return [x, b.axes(x.rank), b.rng.random() < 0.4]


for name_, function_ in (("any", torch.any), ("all", torch.all)):
    operation(f"sw_{name_}_over", lambda x, axes, keepdim, truth=reducing(function_): truth(x, axes, keepdim).to(
        torch.uint8), draw_truths, exact=True, kink=lambda x, axes, keepdim: x)


def draw_where(b):
    x, y = b.broadcasting(2)
    shape = torch.broadcast_shapes(x.shape, y.shape)
    condition = b.find(lambda n: not n.real and fits(n.shape, shape)) if b.rng.random() < 0.5 else None
    return [condition or b.mask(b.related(list(shape))), x, y]


operation("sw_where", lambda condition, x, y: torch.where(condition != 0, x, y), draw_where, exact=True)

# ---- Shape ----


def draw_reshape(b):
    x = b.any()
    count, shape = math.prod(x.shape), []
    left = count
    for _ in range(b.rng.randrange(4)):
        divisors = [d for d in range(1, max(1, min(left, 12)) + 1) if left and left % d == 0] or [0, 1, 2]
        shape.append(b.choice(divisors))
        left = left // shape[-1] if shape[-1] else left
    if math.prod(shape) != count:
        shape.append(left if count else 0)
    if shape and 0 not in shape and b.rng.random() < 0.4:
        shape[b.rng.randrange(len(shape))] = -1
    return [x, Shape(shape)]


operation("sw_reshape", torch.reshape, draw_reshape, exact=True)


def draw_transpose(b):
    x = b.any(least=1)
    return [x, b.axis(x.rank), b.axis(x.rank)]


def draw_permute(b):
    x = b.any()
    order = list(range(x.rank))
    b.rng.shuffle(order)
    return [x, Axes(a - x.rank if b.rng.random() < 0.3 else a for a in order)]


def draw_slice(b):
    x = b.any(least=1)
    axis = b.axis(x.rank)
    n = x.shape[axis]
    begin = b.rng.randrange(n + 1)
    end = b.rng.randrange(begin, n + 1)
    if b.rng.random() < 0.2 and begin < n:
        begin -= n
    if b.rng.random() < 0.2:
        end = 2**63 - 1
    elif b.rng.random() < 0.2 and end < n:
        end -= n
    return [x, axis, begin, end]


def torch_slice(x, axis, begin, end):
    n = x.shape[axis]
    begin = begin + n if begin < 0 else begin
    end = n if end == 2**63 - 1 else end + n if end < 0 else end
    return x.narrow(axis, begin, end - begin)


def draw_stepped(b):
    return draw_slice(b) + [b.choice([1, 2, 2, 3, 100])]


def torch_stepped(x, axis, begin, end, step):
    part = torch_slice(x, axis, begin, end)
    return part[(slice(None),) * (axis % x.dim()) + (slice(None, None, step),)]


def draw_flip(b):
    x = b.any()
    return [x, b.axes(x.rank)]


def torch_flip(x, axes):
    return x.flip(tuple(range(x.dim())) if axes is Axes.ALL else tuple(axes))


def draw_roll(b):
    x = b.any(least=1)
    return [x, b.rng.randrange(-9, 10), b.axis(x.rank)]


operation("sw_slice_with_step", torch_stepped, draw_stepped, exact=True)
operation("sw_flip", torch_flip, draw_flip, exact=True)
operation("sw_roll", torch.roll, draw_roll, exact=True)


def draw_concat(b):
    x = b.any(least=1)
    axis = b.axis(x.rank)
    parts = [x]
    for _ in range(b.rng.randrange(4)):
        other = b.find(lambda n: n.kind == x.kind and n.rank == x.rank and
                       all(i == axis % x.rank or n.shape[i] == x.shape[i] for i in range(x.rank)))
        if other is None or (x.real and b.rng.random() < 0.4):
            if not x.real:
                break
            shape = list(x.shape)
            shape[axis] = b.length()
            other = b.leaf(shape)
        parts.append(other)
    b.rng.shuffle(parts)
    return [Parts(parts), axis]


def draw_stack(b):
    x = b.any(most=6)
    parts = [x]
    for _ in range(b.rng.randrange(3)):
        other = b.find(lambda n: n.kind == x.kind and n.shape == x.shape)
        parts.append(other if b.rng.random() < 0.6 or not x.real else b.leaf(x.shape))
    b.rng.shuffle(parts)
    return [Parts(parts), b.rng.randrange(-x.rank - 1, x.rank + 1)]


def draw_split(b):
    x = b.any(least=1)
    axis = b.axis(x.rank)
    n = x.shape[axis]
    count = b.rng.randrange(1, 4)
    if b.rng.random() < 0.5 and n % count == 0:
        return [x, axis, count, None, b.rng.randrange(count)]
    cuts = sorted(b.rng.randrange(n + 1) for _ in range(count - 1))
    lengths = [high - low for low, high in zip([0] + cuts, cuts + [n])]
    return [x, axis, count, Lengths(lengths), b.rng.randrange(count)]


def torch_split(x, axis, count, lengths, which):
    if lengths is None:
        lengths = [x.shape[axis] // count] * count
    return torch.split(x, list(lengths), axis)[which]


def draw_pad(b):
    x = b.any()
    before = [b.choice([0, 0, 1, 2]) for _ in x.shape]
    after = [b.choice([0, 0, 1, 3]) for _ in x.shape]
    return [x, Shape(before), Lengths(after), b.number(2) if x.real else 1.0]


def torch_pad(x, before, after, value):
    pairs = [length for pair in zip(reversed(before), reversed(after)) for length in pair]
    return F.pad(x, pairs, value=value) if pairs else x * 1


def draw_expand(b):
    x = b.any(most=5)
    shape = [b.choice([-1, n]) if n != 1 else b.choice([-1, 1, 2, 3, 0]) for n in x.shape]
    return [x, Shape([b.length() for _ in range(b.rng.randrange(3))] + shape)]


operation("sw_transpose", torch.transpose, draw_transpose, exact=True)
operation("sw_permute", lambda x, axes: x.permute(tuple(axes)), draw_permute, exact=True)
operation("sw_slice", torch_slice, draw_slice, exact=True)
operation("sw_concat", lambda parts, axis: torch.cat(list(parts), axis), draw_concat, exact=True)
operation("sw_stack", lambda parts, axis: torch.stack(list(parts), axis), draw_stack, exact=True)
operation("sw_split", torch_split, draw_split, exact=True)
operation("sw_pad", torch_pad, draw_pad, exact=True)
operation("sw_expand", lambda x, shape: x.expand(tuple(shape)), draw_expand, exact=True)


def draw_gather_rows(b):
    table = b.real(least=1)
    shape = [b.length() for _ in range(b.rng.randrange(0, 3))]
    return [table, b.ids(shape, table.shape[0])]


def draw_gather(b):
    x = b.real(least=1)
    axis = b.axis(x.rank)
    shape = list(x.shape)
    shape[axis] = b.length()
    return [x, axis, b.ids(shape, x.shape[axis])]


operation("sw_gather_rows", lambda table, ids: table[ids.long()], draw_gather_rows, exact=True)
operation("sw_gather", lambda x, axis, ids: torch.gather(x, axis, ids.long()), draw_gather, exact=True)



def rows_with_padding(table, ids, padding_id):
    rows = table[ids.long()]
    padding = (ids == padding_id).reshape(ids.shape + (1,) * (table.dim() - 1))
    return torch.where(padding, rows.detach(), rows)


def draw_padded_rows(b):
    table, ids = draw_gather_rows(b)
    if not table.shape[0]:
        raise Retry
    return [table, ids, b.rng.randrange(table.shape[0])]


def draw_added(b, shape):
    """Values that are added: a tensor of this shape."""
    return b.find(lambda n: n.real and n.shape == tuple(shape)) or b.leaf(shape)


def draw_scatter_add(b):
    x, axis, ids = draw_gather(b)
    return [x, axis, ids, draw_added(b, ids.shape)]


def draw_scatter_add_rows(b):
    table, ids = draw_gather_rows(b)
    return [table, ids, draw_added(b, tuple(ids.shape) + tuple(table.shape[1:]))]


def draw_one_hot(b):
    classes = max(1, b.length())
    return [b.ids([b.length() for _ in range(b.rng.randrange(0, 3))], classes), classes, b.cast_type()]


operation("sw_gather_rows_with_padding", rows_with_padding, draw_padded_rows, exact=True)
operation("sw_scatter_add", lambda x, axis, ids, values: x.scatter_add(axis, ids.long(), values), draw_scatter_add)
operation("sw_scatter_add_rows", lambda table, ids, values: table.index_add(
    0, ids.reshape(-1).long(), values.reshape((ids.numel(),) + table.shape[1:])), draw_scatter_add_rows)
operation("sw_one_hot", lambda ids, classes, kind: F.one_hot(ids.long(), classes).to(F64), draw_one_hot, exact=True)

# ---- Losses ----


def rows_of(z, target):
    """PyTorch has the classes in axis 1: rows one below the other."""
    rows = z.reshape(-1, z.shape[-1]) if z.numel() else z.reshape(math.prod(z.shape[:-1]), z.shape[-1])
    soft = target.is_floating_point()
    return rows, target.reshape(rows.shape) if soft else target.reshape(-1).long()


def cross_entropy(z, target, options=None):
    options = options or {}
    reduction = ["mean", "sum", "none"][options.get("reduction", 0)]
    weights = options.get("class_weights")
    rows, flat = rows_of(z, target)
    more = {"ignore_index": options["ignored_id"]} if options.get("ignore") else {}
    each = F.cross_entropy(rows, flat, weight=torch.tensor(weights, dtype=z.dtype) if weights else None,
                           reduction=reduction, label_smoothing=options.get("label_smoothing", 0.0), **more)
    return each.reshape(z.shape[:-1]) if reduction == "none" else each


def draw_targets(b):
    z = scores_of(b)
    if b.rng.random() < 0.6:
        return z, b.ids(z.shape[:-1], z.shape[-1])
    return z, b.distributions(z.shape)


def draw_cross_entropy_with(b):
    z, target = draw_targets(b)
    options = CrossEntropy(reduction=b.rng.randrange(3))
    if b.rng.random() < 0.5:
        options["label_smoothing"] = b.choice([0.1, 0.5, 1.0])
    if b.rng.random() < 0.5 and target.kind == "ids":
        options["ignore"] = True
        options["ignored_id"] = b.choice([0, 1, -100])
    if b.rng.random() < 0.5:
        options["class_weights"] = [b.choice([0.5, 1.0, 2.0, 0.25, 3.0]) for _ in range(z.shape[-1])]
    return [z, target, options]


operation("sw_cross_entropy", cross_entropy, lambda b: list(draw_targets(b)), mixes=True)
operation("sw_cross_entropy_with_options", cross_entropy, draw_cross_entropy_with, mixes=True)


def kl_rows(q, t):
    return F.kl_div(q, t, reduction="none").sum(-1)


def reduced(options, over_weights=True):
    """The reduction of losses with the weights in the options, which are constants. The mean is divided by the sum of
    the weights, or by the number of elements."""
    def reduce(x):
        weight = options.get("weight")
        w = None if weight is None else weight.detach().expand(x.shape)
        x = x if w is None else x * w
        if options["reduction"]:
            return x.sum() if options["reduction"] == 1 else x
        return x.mean() if w is None or not over_weights else x.sum() / w.sum()
    return reduce


def draw_weights(b, arguments, options, *names):
    for name in names:
        if b.rng.random() < 0.4:
            options[name] = b.constant(arguments[0].shape, "positive")
    return arguments + [options]


def loss(name, each, draw, kink=None, weights=("weight",)):
    """The short form, and the one with options."""
    operation(name, lambda p, t: each(p, t).mean(), draw, kink=kink, wide=True)
    operation(name + "_with_options", lambda p, t, options: reduced(options)(each(p, t)),
              lambda b: draw_weights(b, draw(b), Loss(reduction=b.rng.randrange(3)), *weights),
              kink=kink and (lambda p, t, options: kink(p, t)), wide=True)


def draw_pair(kind="real"):
    return lambda b: b.equal_pair(kind)


loss("sw_mse", lambda p, t: (p - t)**2, draw_pair())
loss("sw_l1", lambda p, t: F.l1_loss(p, t, reduction="none"), draw_pair(), kink=lambda p, t: p - t)
operation("sw_huber", F.huber_loss, draw_pair())
operation("sw_huber_with_options",
          lambda p, t, options: reduced(options, False)(F.huber_loss(p, t, reduction="none", delta=options["delta"])),
          lambda b: draw_weights(b, draw_pair()(b), Huber(delta=0.25 + b.rng.randrange(8) / 4,
                                                          reduction=b.rng.randrange(3)), "weight"))
loss("sw_hinge", lambda s, t: F.relu(1 - t * s), draw_pair("sign"), kink=lambda s, t: 1 - t * s)


def bce(z, y, positive=1.0):
    """PyTorch's own gives 0 for exp(-114), as it adds before it takes the logarithm."""
    return (1 + (positive - 1) * y) * torch.logaddexp(z, torch.zeros((), dtype=z.dtype)) - positive * y * z


def bce_with_options(z, y, options):
    positive = options.get("pos_weight")
    return reduced(options, False)(bce(z, y, 1.0 if positive is None else positive.detach()))


operation("sw_bce_with_logits", lambda z, y: bce(z, y).mean(), draw_pair("unit"), wide=True)
operation("sw_bce_with_logits_with_options", bce_with_options,
          lambda b: draw_weights(b, draw_pair("unit")(b), Bce(reduction=b.rng.randrange(3)), "weight", "pos_weight"))
loss("sw_kl_div", kl_rows, lambda b: b.divergence(), weights=())
