#!/usr/bin/env python3
"""PyTorch's values and gradients of every operation in tests/core/ops/op_table.h: golden/torch_ops.h, which
tests/core/ops/test_torch_ops.c reads. Labels, kinds and shapes are read from the table after the C
preprocessor; EXPRESSIONS has the expression in PyTorch for each label.

    PYTHON tests/golden/torch_ops.py      (PyTorch 2, and cc)
"""
import math
import os
import re
import subprocess
import sys

import torch
import torch.nn.functional as F

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_shared import TOP, Stream, array, flat, rounded, write

FIRST, LONGEST, ALL = 3, 80, 120  # see cases()


# ---- What takes more than a name ----

CLASS_WEIGHTS = [1.5, 0, 0.25, 2, 0.5, 1, 3]  # build_with of ops_loss.h


def cross_entropy(reduction="mean", weights=False, **options):
    """Over the last axis; PyTorch has the classes in axis 1, so rows are put one below the other."""
    def loss(z, target):
        classes = z.shape[-1]
        rows = z.reshape(-1, classes)
        soft = target.is_floating_point()
        w = torch.tensor(CLASS_WEIGHTS[:classes], dtype=z.dtype) if weights else None
        each = F.cross_entropy(rows, target.reshape(rows.shape if soft else -1), weight=w,
                               reduction=reduction, **options)
        return each.reshape(z.shape[:-1]) if reduction == "none" else each
    return loss


def huber(delta, reduction):
    return lambda p, t: F.huber_loss(p, t, reduction=reduction, delta=delta)


def hinge(score, target):  # nn.HingeEmbeddingLoss is another loss
    return F.relu(1 - target * score)


def split_in_three(x):
    a, b, c = x.split(x.shape[1] // 3, 1)
    return torch.cat([c, a * b], 1)


def pairs(other, axis, values, ids):
    """What build_sort_pairs of ops_index.h computes from the result of a sort."""
    return values * other.gather(axis, ids)


def scatter_add_rows(table, ids, values):
    return table.index_add(0, ids.reshape(-1), values.reshape((-1,) + table.shape[1:]))


def kl_rows(q, t):
    """One number a row; the mean is over rows. PyTorch's "mean" is over elements, its "batchmean" over
    axis 0 alone."""
    return F.kl_div(q, t, reduction="none").sum(-1)


def channels_first(f):
    """For a function of x [N, C, ...], weight and bias: the same with the channels last. PyTorch has one axis at least
    after the channels of a group norm, and its batch norm takes [N, C] as well."""
    def of_channels_last(x, weight=None, bias=None):
        y = f(x.movedim(-1, 1), weight, bias)
        return y.movedim(1, -1)
    return of_channels_last


def layer_norm(axes, eps, names="wb"):
    """`names`: which of weight and bias follow x."""
    def norm(x, *given):
        weight = given[names.index("w")] if "w" in names else None
        bias = given[names.index("b")] if "b" in names else None
        return F.layer_norm(x, x.shape[-axes:], weight, bias, eps)
    return norm


def rms_norm(axes, eps=None):
    return lambda x, weight=None: F.rms_norm(x, x.shape[-axes:], weight, eps)


def group_norm(groups, eps):
    def norm(x, weight=None, bias=None):
        rows = x.reshape(x.shape[0], -1, x.shape[-1]).transpose(1, 2)
        n = x.shape[-1] if groups is None else groups
        return F.group_norm(rows, n, weight, bias, eps).transpose(1, 2).reshape(x.shape)
    return norm


def batch_norm(eps):
    return channels_first(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True, eps=eps))


def prod_over(x, dims, keepdim):
    """torch.prod takes one axis."""
    dims = sorted(d % x.dim() for d in dims)
    for d in reversed(dims):
        x = x.prod(d, keepdim=keepdim)
    return x


# ---- What each label is ----

def last_to_first(t):
    """[N,H,W,C] -> [N,C,H,W], and the weight [out,kh,kw,in] -> [out,in,kh,kw]; signals alike."""
    return t.movedim(-1, 1)


def convolution(function, **options):
    def expression(x, w, b=None):
        return function(last_to_first(x), last_to_first(w), b, **options).movedim(1, -1)
    return expression


def conv2d(**options):
    return convolution(F.conv2d, **options)


def conv1d(**options):
    return convolution(F.conv1d, **options)


def conv2d_transposed(**options):
    return convolution(F.conv_transpose2d, **options)


def conv2d_same_stride(strides):
    """The zeros of TensorFlow's "SAME": PyTorch has same for stride 1 alone."""
    def expression(x, w, b):
        zeros = []
        for axis in (2, 1):  # F.pad begins with the last axis
            length, window, stride = x.shape[axis], w.shape[axis], strides[axis - 1]
            missing = max(0, (-(-length // stride) - 1) * stride + window - length)
            zeros += [missing // 2, missing - missing // 2]
        y = F.conv2d(F.pad(last_to_first(x), zeros), last_to_first(w), b, stride=strides)
        return y.movedim(1, -1)
    return expression


def pool(function, *arguments, **options):
    return lambda x: function(last_to_first(x), *arguments, **options).movedim(1, -1)


def conv2d_pool(pooled, relu=False, **options):
    def expression(x, w, b):
        y = conv2d(**options)(x, w, b)
        return pooled(F.relu(y) if relu else y)
    return expression


def recurrent(lstm, packed=None, result="outputs", reverse=False):
    """LSTM and GRU, step by step with PyTorch's cells, sample by sample. `packed`: "state" or "lengths", which input 2
    is; then input 1 has weight_ih, weight_hh, bias_ih and bias_hh in its columns."""
    def expression(x, w, third):
        b_ih = b_hh = state = lengths = None
        w_ih, w_hh = w, third
        if packed:
            hidden = w.shape[0] // (4 if lstm else 3)
            w_ih, w_hh, b_ih, b_hh = w.split([w.shape[1] - hidden - 2, hidden, 1, 1], 1)
            b_ih, b_hh = b_ih.reshape(-1), b_hh.reshape(-1)
            state, lengths = (third, None) if packed == "state" else (None, third)
        cells = x.dim() == 2
        sequences = x[:, None] if cells else x
        hidden, width = w_hh.shape[1], w_hh.shape[1] * (2 if lstm else 1)
        rows = []
        for n, sequence in enumerate(sequences):
            steps = sequence.shape[0] if lengths is None else int(lengths[n])
            now = x.new_zeros(1, width) if state is None else state[n:n + 1]
            every = [x.new_zeros(1, width)] * sequence.shape[0]
            for t in reversed(range(steps)) if reverse else range(steps):
                if lstm:
                    now = torch.cat(torch.lstm_cell(sequence[t:t + 1], now.chunk(2, 1), w_ih, w_hh, b_ih, b_hh), 1)
                else:
                    now = torch.gru_cell(sequence[t:t + 1], now, w_ih, w_hh, b_ih, b_hh)
                every[t] = now
            rows.append(now if cells or result == "last" else torch.cat(every)[None])
        y = torch.cat(rows) + 0 * (x.sum() + w.sum())  # without a step there is no graph
        return y[..., :hidden] if result == "outputs" and not cells else y
    return expression


def whole_sequences(function):
    """PyTorch's own loop over the steps, without biases."""
    def expression(x, w_ih, w_hh):
        state = x.new_zeros(1, x.shape[0], w_hh.shape[1])
        states = (state, state) if function is torch.lstm else state
        return function(x, states, (w_ih, w_hh), False, 1, 0.0, True, False, True)[0]
    return expression


def attention(heads=1, causal=False, first=0, scale=None, mask=None):
    """F.scaled_dot_product_attention of [batch, length, features]. `mask`: what the third input is."""
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def expression(q, k, v, given=None, padding=None):
        queries, keys = q.shape[1], k.shape[1]
        seen = torch.ones(queries, keys, dtype=torch.bool)
        if causal:
            seen = seen.tril(first)
        if mask == "seen":
            seen = seen & (given != 0)
        if mask == "padding":
            padding = given
        if padding is not None:
            seen = seen & (padding == 0)[:, None, None, :]
        added = torch.zeros(queries, keys, dtype=q.dtype).masked_fill(~seen, -math.inf)
        if mask == "added":
            added = added + given
        with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
            y = F.scaled_dot_product_attention(split(q), split(k), split(v), attn_mask=added, scale=scale)
        return y.transpose(1, 2).flatten(2)
    return expression


def linear_attention(heads=1, causal=False, scale=1, elu=False):
    """With elu, the weights are divided by their sum; a query without keys has the result 0."""
    def split(x):
        return x.unflatten(-1, (heads, -1)).transpose(1, 2)

    def expression(q, k, v, padding=None):
        if elu:
            q, k = F.elu(q) + 1, F.elu(k) + 1
        weights = scale * split(q) @ split(k).mT
        if causal:
            weights = weights.tril()
        if padding is not None:
            weights = weights * (padding == 0)[:, None, None, :]
        if elu:
            total = weights.sum(-1, keepdim=True)
            weights = weights / torch.where(total == 0, 1, total)
        return (weights @ split(v)).transpose(1, 2).flatten(2)
    return expression


def rotary(heads=1, base=10000, first=0, interleaved=False):
    """As a product of complex numbers."""
    def expression(x):
        parts = x.unflatten(-1, (heads, -1))
        half = parts.shape[-1] // 2
        a, b = (parts[..., ::2], parts[..., 1::2]) if interleaved else parts.split(half, -1)
        angle = (first + torch.arange(x.shape[1]))[:, None, None] * base**(-torch.arange(half) / half)
        turned = torch.complex(a, b) * torch.polar(torch.ones_like(angle), angle)
        pairs_of = [turned.real, turned.imag]
        y = torch.stack(pairs_of, -1).flatten(-2) if interleaved else torch.cat(pairs_of, -1)
        return y.flatten(2)
    return expression


def both(function):
    """Keys and values are one tensor."""
    return lambda q, k, mask: function(q, k, k, mask)


def packed(function):
    return lambda qkv, *masks: function(*qkv.chunk(3, -1), *masks)


EXPRESSIONS = {
    # attention
    "attention": attention(),
    "attention heads": attention(heads=2, scale=0.7),
    "attention causal": attention(heads=2, causal=True),
    "attention continued": attention(causal=True, first=2),
    "attention mask": both(attention(heads=2, mask="seen")),
    "attention added mask": both(attention(heads=2, mask="added", scale=-1)),
    "attention padding": both(attention(causal=True, mask="padding")),
    "attention_packed": packed(attention()),
    "attention_packed causal": packed(attention(heads=2, causal=True)),
    "attention_packed masks": packed(attention(heads=2, mask="added")),
    "linear_attention": linear_attention(),
    "linear_attention causal": linear_attention(heads=2, scale=0.25, causal=True),
    "linear_attention elu": linear_attention(heads=2, elu=True),
    "linear_attention elu causal": linear_attention(elu=True, causal=True),
    "linear_attention padding": both(linear_attention(elu=True)),
    "rotary": rotary(),
    "rotary interleaved": rotary(heads=2, base=50, first=3, interleaved=True),
    # elementwise
    "add": lambda a, b: a + b,
    "add rows": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "sub outer": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "mul scalar": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "scale": lambda x: -1.75 * x,
    "neg": torch.neg,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "abs": torch.abs,
    "sin": torch.sin,
    "cos": torch.cos,
    "pow 2": lambda x: x**2,
    "pow 3": lambda x: x**3,
    "pow -1": lambda x: x**-1,
    "pow 0.3": lambda x: x**0.3,
    "pow_tensor": torch.pow,
    "pow_tensor outer": torch.pow,
    "pow_tensor whole": torch.pow,
    "log1p": torch.log1p,
    "expm1": torch.expm1,
    "erf": torch.erf,
    "sign": torch.sign,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "round": torch.round,
    "trunc": torch.trunc,
    "clamp": lambda x: torch.clamp(x, -1.03, 0.97),
    "relu": F.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": lambda x: F.elu(x, 1.3),
    "silu": F.silu,
    "softplus": F.softplus,
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "squared_relu": lambda x: F.relu(x)**2,
    "swiglu": lambda x: F.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1],
    # losses
    "cross_entropy": cross_entropy(),
    "cross_entropy long rows": cross_entropy(),
    "cross_entropy sum": cross_entropy("sum"),
    "cross_entropy none": cross_entropy("none"),
    "cross_entropy smooth": cross_entropy(label_smoothing=0.1),
    "cross_entropy uniform": cross_entropy(label_smoothing=1),
    "cross_entropy weights": cross_entropy(weights=True),
    "cross_entropy weights sum": cross_entropy("sum", weights=True),
    "cross_entropy ignore": cross_entropy(ignore_index=2),
    "cross_entropy ignore sum": cross_entropy("sum", ignore_index=2),
    "cross_entropy all": cross_entropy(weights=True, label_smoothing=0.3, ignore_index=2),
    "cross_entropy all sum": cross_entropy("sum", weights=True, label_smoothing=0.3, ignore_index=2),
    "cross_entropy all none": cross_entropy("none", weights=True, label_smoothing=0.3, ignore_index=2),
    "cross_entropy soft": cross_entropy(),
    "cross_entropy soft long rows": cross_entropy(),
    "cross_entropy soft sum": cross_entropy("sum"),
    "cross_entropy soft none": cross_entropy("none"),
    "cross_entropy soft smooth": cross_entropy(label_smoothing=0.1),
    "cross_entropy soft all": cross_entropy(weights=True, label_smoothing=0.3),
    "cross_entropy soft all none": cross_entropy("none", weights=True, label_smoothing=0.3),
    "mse": F.mse_loss,
    "mse sum": lambda p, t: F.mse_loss(p, t, reduction="sum"),
    "mse none": lambda p, t: F.mse_loss(p, t, reduction="none"),
    "l1": F.l1_loss,
    "l1 sum": lambda p, t: F.l1_loss(p, t, reduction="sum"),
    "l1 none": lambda p, t: F.l1_loss(p, t, reduction="none"),
    "huber": huber(1, "mean"),
    "huber mean": huber(1.3, "mean"),
    "huber sum": huber(0.7, "sum"),
    "huber none": huber(0.4, "none"),
    "hinge": lambda s, t: hinge(s, t).mean(),
    "hinge with gradient of the target": lambda s, t: hinge(s, t).mean(),
    "hinge sum": lambda s, t: hinge(s, t).sum(),
    "hinge none": hinge,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
    "bce_with_logits sum":
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="sum"),
    "bce_with_logits none":
        lambda z, y: F.binary_cross_entropy_with_logits(z, y, reduction="none"),
    "mse weights": lambda p, t, w: F.mse_loss(p, t, weight=w.expand(p.shape)),
    "mse weights sum": lambda p, t, w: F.mse_loss(p, t, weight=w, reduction="sum"),
    "l1 weights": lambda p, t, w: F.l1_loss(p, t, weight=w),
    "l1 weights none": lambda p, t, w: F.l1_loss(p, t, weight=w, reduction="none"),
    "huber weights": lambda p, t, w: F.huber_loss(p, t, weight=w, delta=1.3),
    "huber weights none": lambda p, t, w: F.huber_loss(p, t, weight=w.expand(p.shape), delta=0.7, reduction="none"),
    "hinge weights": lambda s, t, w: (w * hinge(s, t)).sum() / w.sum(),
    "bce_with_logits weights": lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, w),
    "bce_with_logits weights none":
        lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, w, reduction="none"),
    "bce_with_logits pos_weight": lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, pos_weight=w),
    "bce_with_logits pos_weight none":
        lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, pos_weight=w, reduction="none"),
    "bce_with_logits both weights":
        lambda z, y, w: F.binary_cross_entropy_with_logits(z, y, w, pos_weight=w, reduction="sum"),
    "kl_div": lambda q, t: kl_rows(q, t).mean(),
    "kl_div sum": lambda q, t: kl_rows(q, t).sum(),
    "kl_div none": lambda q, t: kl_rows(q, t),
    # convolutions
    "conv2d": conv2d(),
    "conv2d bias": conv2d(),
    "conv2d 1x1": conv2d(),
    "conv2d one picture": conv2d(),
    "conv2d stride": conv2d(stride=(2, 3)),
    "conv2d padding": conv2d(padding=(1, 2)),
    "conv2d wide padding": conv2d(padding=(4, 3), stride=(1, 2)),
    "conv2d same": conv2d(padding="same"),
    "conv2d same stride": conv2d_same_stride((2, 3)),
    "conv2d dilation": conv2d(dilation=(2, 3), padding=(1, 1)),
    "conv2d groups": conv2d(groups=2),
    "conv2d depthwise": conv2d(groups=4, padding=(1, 1)),
    "conv2d all": conv2d(stride=(2, 1), padding=(2, 1), dilation=(1, 2), groups=3),
    "conv1d": conv1d(),
    "conv1d all": conv1d(stride=2, padding=3, dilation=2, groups=2),
    "conv1d same": conv1d(padding="same", dilation=3),
    "conv2d_max_pool2d": conv2d_pool(pool(F.max_pool2d, 2)),
    "conv2d_max_pool2d relu": conv2d_pool(pool(F.max_pool2d, (3, 2), (1, 2), 1), relu=True, padding="same"),
    "conv2d_avg_pool2d": conv2d_pool(pool(F.avg_pool2d, 3, (2, 1), 1), padding="same"),
    "conv2d_avg_pool2d relu": conv2d_pool(pool(F.avg_pool2d, 2), relu=True, padding="same"),
    "conv2d_transposed": conv2d_transposed(),
    "conv2d_transposed stride": conv2d_transposed(stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
    "conv2d_transposed all": conv2d_transposed(stride=(1, 2), padding=(1, 2), dilation=(2, 3), groups=2,
                                               output_padding=(1, 2)),
    # normalization
    "layer_norm": layer_norm(1, 1e-5),
    "layer_norm plain": layer_norm(1, 1e-3, ""),
    "layer_norm weight": layer_norm(1, 1e-2, "w"),
    "layer_norm bias": layer_norm(1, 2e-2, "b"),
    "layer_norm_over": layer_norm(2, 1e-4),
    "rms_norm": rms_norm(1),
    "rms_norm plain": rms_norm(1, 1e-2),
    "rms_norm_over": rms_norm(2, 1e-4),
    "group_norm": group_norm(2, 1e-5),
    "group_norm one": group_norm(1, 1e-3),
    "group_norm each": group_norm(None, 1e-2),
    "group_norm plain": group_norm(3, 2e-3),
    "batch_norm": batch_norm(1e-5),
    "batch_norm plain": batch_norm(1e-3),
    "batch_norm bias": lambda x, b: batch_norm(1e-2)(x, None, b),
    # products
    "matmul": torch.matmul,
    "matmul wide": torch.matmul,
    "matmul batches": torch.matmul,
    "matmul one right side": torch.matmul,
    "matmul one left side": torch.matmul,
    "matmul outer batches": torch.matmul,
    "matmul transposed a": lambda a, b: a.mT @ b,
    "matmul transposed b": lambda a, b: a @ b.mT,
    "matmul transposed both": lambda a, b: a.mT @ b.mT,
    "linear": F.linear,
    "linear with bias": F.linear,
    "linear tall": F.linear,
    # recurrent networks
    "lstm": whole_sequences(torch.lstm),
    "lstm state": recurrent(True, "state"),
    "lstm states": recurrent(True, "state", "states", reverse=True),
    "lstm last": recurrent(True, "state", "last"),
    "lstm lengths": recurrent(True, "lengths"),
    "lstm lengths states": recurrent(True, "lengths", "states"),
    "lstm lengths last": recurrent(True, "lengths", "last", reverse=True),
    "lstm_cell": recurrent(True, "state"),
    "lstm_cell plain": recurrent(True),
    "gru": whole_sequences(torch.gru),
    "gru state": recurrent(False, "state", reverse=True),
    "gru last": recurrent(False, "state", "last"),
    "gru lengths": recurrent(False, "lengths", reverse=True),
    "gru lengths last": recurrent(False, "lengths", "last"),
    "gru_cell": recurrent(False, "state"),
    "gru_cell plain": recurrent(False),
    # pooling
    "max_pool2d": pool(F.max_pool2d, 2),
    "max_pool2d overlapping": pool(F.max_pool2d, 3, 2, 1),
    "max_pool2d gaps": pool(F.max_pool2d, (2, 1), (3, 2), (1, 0)),
    "max_pool2d ceil": pool(F.max_pool2d, (3, 2), (2, 3), (1, 0), ceil_mode=True),
    "max_pool2d dilated": pool(F.max_pool2d, (2, 3), (1, 2), (1, 1), (3, 2)),
    "max_pool2d large": pool(F.max_pool2d, (15, 18), (1, 2)),
    "avg_pool2d": pool(F.avg_pool2d, 2),
    "avg_pool2d overlapping": pool(F.avg_pool2d, 3, (2, 1), 1),
    "avg_pool2d exclude": pool(F.avg_pool2d, (3, 2), 2, 1, count_include_pad=False),
    "avg_pool2d ceil": pool(F.avg_pool2d, (2, 3), (3, 2), 1, ceil_mode=True),
    "avg_pool2d ceil exclude": pool(F.avg_pool2d, 3, (3, 2), (0, 1), ceil_mode=True, count_include_pad=False),
    "avg_pool2d large": pool(F.avg_pool2d, (4, 70), 1),
    "max_pool2d relu": lambda x: pool(F.max_pool2d, 2)(F.relu(x)),
    "avg_pool2d relu": lambda x: pool(F.avg_pool2d, 2)(F.relu(x)),
    "avg_pool2d relu overlapping": lambda x: pool(F.avg_pool2d, (2, 3), 1)(F.relu(x)),
    "max_pool1d": pool(F.max_pool1d, 3, 2, 1),
    "avg_pool1d": pool(F.avg_pool1d, 3),
    "adaptive_max_pool2d": pool(F.adaptive_max_pool2d, (3, 2)),
    "adaptive_avg_pool2d": pool(F.adaptive_avg_pool2d, (3, 2)),
    "global_max_pool2d": lambda x: x.amax((1, 2)),
    "global_avg_pool2d": lambda x: x.mean((1, 2)),
    # reductions
    "sum": torch.sum,
    "mean": torch.mean,
    "sum_over first": lambda x: x.sum(0),
    "sum_over first few": lambda x: x.sum(0),
    "sum_over last": lambda x: x.sum(-1, keepdim=True),
    "sum_over last long": lambda x: x.sum(-1, keepdim=True),
    "sum_over outer": lambda x: x.sum((-1, 0)),
    "sum_over outer many": lambda x: x.sum((-1, 0)),
    "sum_over none": torch.clone,  # no axes: PyTorch takes that for all
    "sum_over all": lambda x: x.sum().reshape([1] * x.dim()),
    "mean_over middle": lambda x: x.mean(1),
    "mean_over outer": lambda x: x.mean((0, 2), keepdim=True),
    "mean_over last": lambda x: x.mean(-1),
    "var_over last": lambda x: x.var(-1, correction=0),
    "var_over outer": lambda x: x.var((0, 2), correction=1, keepdim=True),
    "var_over all": lambda x: x.var(unbiased=True),
    "var_over correction": lambda x: x.var(1, correction=0.4),
    "std_over last": lambda x: x.std(-1, correction=0, keepdim=True),
    "std_over outer": lambda x: x.std((0, 2), correction=1),
    "std_over all": lambda x: x.std(correction=-0.5),
    "cumsum last": lambda x: x.cumsum(-1),
    "cumsum first": lambda x: x.cumsum(0),
    "cumsum middle": lambda x: x.cumsum(1),
    "cumsum of long rows": lambda x: x.cumsum(-1),
    "cumprod last": lambda x: x.cumprod(-1),
    "cumprod last with zeros": lambda x: x.cumprod(-1),
    "cumprod first": lambda x: x.cumprod(0),
    "cumprod middle": lambda x: x.cumprod(1),
    "prod": torch.prod,
    "prod with zeros": torch.prod,
    "prod_over last": lambda x: x.prod(-1),
    "prod_over first": lambda x: x.prod(0, keepdim=True),
    "prod_over outer": lambda x: prod_over(x, (-1, 0), False),
    "prod_over none": lambda x: x * 1,
    "any_over last": lambda x: x.any(-1),
    "any_over outer of ids": lambda x: x.any(2, keepdim=True).any(0, keepdim=True),
    "all_over first": lambda x: x.all(0),
    "all_over first of masks": lambda x: x.all(0),
    "all_over all": torch.all,
    "max_over last": lambda x: x.amax(-1),
    "max_over outer": lambda x: x.amax((0, 2), keepdim=True),
    "min_over middle": lambda x: x.amin(1),
    "min_over all": lambda x: x.reshape(-1).amin(0),
    "norm_over 1": lambda x: torch.linalg.vector_norm(x, 1, 0),
    "norm_over 2": lambda x: torch.linalg.vector_norm(x, 2, -1, keepdim=True),
    "norm_over 2 outer": lambda x: torch.linalg.vector_norm(x, 2, (0, 2)),
    "norm_over 3": lambda x: torch.linalg.vector_norm(x, 3, -1),
    "norm_over 1.5": lambda x: torch.linalg.vector_norm(x, 1.5, (0, 1)),
    "norm_over max": lambda x: torch.linalg.vector_norm(x, math.inf, (-1, 0)),
    "logsumexp_over last": lambda x: x.logsumexp(-1),
    "logsumexp_over first": lambda x: x.logsumexp(0, keepdim=True),
    "logsumexp_over all": lambda x: x.reshape(-1).logsumexp(0),
    "softmax last": lambda x: x.softmax(-1),
    "softmax first": lambda x: x.softmax(0),
    "softmax middle": lambda x: x.softmax(1),
    "log_softmax last": lambda x: x.log_softmax(-1),
    "log_softmax first": lambda x: x.log_softmax(0),
    "log_softmax middle": lambda x: x.log_softmax(1),
    "argmax last": lambda x: x.argmax(-1),
    "argmax first": lambda x: x.argmax(0, keepdim=True),
    "argmin last": lambda x: x.argmin(-1),
    "argmin first": lambda x: x.argmin(0),
    "accuracy": lambda scores, ids: (scores.argmax(-1) == ids).double().mean(),
    # shape
    "reshape": lambda x: x.reshape(-1),
    "transpose": lambda x: x.transpose(0, -1),
    "transpose inner": lambda x: x.transpose(-2, 1),
    "permute": lambda x: x.permute(1, -1, 0),
    "permute pictures": lambda x: x.permute(0, 2, 3, 1),
    "slice": lambda x: x[1:3],
    "slice last": lambda x: x[..., -3:],
    "slice nothing": lambda x: x[0:0],
    "concat": lambda a, b: torch.cat([a, b, a], -1),
    "concat first": lambda a, b: torch.cat([a, b], 0),
    "stack": lambda a, b: torch.stack([a, b, a], 0),
    "stack last": lambda a, b: torch.stack([a, b], -1),
    "split": split_in_three,
    "split lengths": lambda x: torch.cat(x.split([1, 0, 3], -1)[::-1], -1),
    "pad": lambda x: F.pad(x, (0, 3, 1, 2), value=0.5),
    "pad inner axes": lambda x: F.pad(x, (1, 2, 2, 1)),
    "expand": lambda x: x.expand(4, -1, 3),
    "expand middle": lambda x: x.expand(-1, 200, -1),
    "gather_rows": lambda table, ids: table[ids],
    "gather_rows short": lambda table, ids: table[ids],
    "gather first": lambda x, ids: x.gather(0, ids),
    "gather last": lambda x, ids: x.gather(-1, ids),
    # order, and elements by ids
    "argsort last": lambda x: torch.argsort(x, stable=True),
    "argsort first descending": lambda x: torch.argsort(x, stable=True, dim=0, descending=True),
    "sort last": lambda x: x.sort(-1).values,
    "sort first descending": lambda x: x.sort(0, descending=True).values,
    "sort pairs": lambda x, y: pairs(y, -1, *x.sort(-1, descending=True)),
    "top_k last": lambda x: x.topk(2, -1).values,
    "top_k smallest middle": lambda x: x.topk(3, 1, largest=False).values,
    "top_k none": lambda x: x.topk(0, 0, largest=False).values,
    "top_k pairs": lambda x, y: pairs(y, 0, *x.topk(2, 0, largest=False)),
    "slice_with_step": lambda x: x[1::2],
    "slice_with_step last": lambda x: x[..., :-1:3],
    "flip last": lambda x: x.flip(-1),
    "flip outer": lambda x: x.flip((0, 2)),
    "flip all": lambda x: x.flip(tuple(range(x.dim()))),
    "roll first": lambda x: x.roll(1, 0),
    "roll last": lambda x: x.roll(-5, -1),
    "one_hot": lambda ids: F.one_hot(ids, 7).double(),
    "one_hot bytes": lambda ids: F.one_hot(ids, 90),
    "gather_rows_with_padding":
        lambda table, ids: F.embedding(ids, torch.cat([0 * table[:1].detach(), table]), padding_idx=0),
    "scatter_add first": lambda x, ids, values: x.scatter_add(0, ids, values),
    "scatter_add last": lambda x, ids, values: x.scatter_add(-1, ids, values),
    "scatter_add_rows": scatter_add_rows,
    "scatter_add_rows short": scatter_add_rows,
    # comparisons, logic and choice
    "greater": torch.gt,
    "less": torch.lt,
    "equal": torch.eq,
    "equal to the larger": lambda a, b: a == torch.maximum(a, b),
    "greater_equal": torch.ge,
    "less_equal": torch.le,
    "not_equal": torch.ne,
    "not_equal of ids": torch.ne,
    "logical_and": torch.logical_and,
    "logical_or": torch.logical_or,
    "logical_xor": torch.logical_xor,
    "logical_not": torch.logical_not,
    "logical_and of masks": torch.logical_and,
    "logical_xor of ids": torch.logical_xor,
    "logical_not of a mask": torch.logical_not,
    "where": lambda c, a, b: torch.where(c != 0, a, b),
    "where by ids": lambda c, a, b: torch.where(c != 0, a, b),
}

# ---- The table ----

STRING = r'(?:"(?:[^"\\]|\\.)*"\s*)+'
ENTRY = re.compile(r'\{\s*"(?P<function>\w+)",\s*"(?P<label>[^"]+)",\s*\w+,\s*(?P<inputs>\d+),\s*'
                   r'\{(?P<kinds>[^}]*)\},\s*(?P<shapes>' + STRING + r'),\s*'
                   r'(?:' + STRING + r'|\(\(void \*\)0\)|NULL),\s*(?P<flags>[^,{]+),\s*\{')
GRADIENT = {"REAL", "ZEROS", "AWAY", "POSITIVE", "UNIT"}
PLAIN = {"FIXED", "WEIGHT", "SIGN", "WHOLE", "IDS", "ROWS", "MASK"}


def entries():
    subprocess.run(["make", "-s", "build/include/swale/.made"], cwd=TOP, check=True)
    text = subprocess.run([os.environ.get("CC", "cc"), "-E", "-P", "-Ibuild/include", "-I.", "tests/core/ops/op_table.h"],
                          cwd=TOP, check=True, capture_output=True, text=True).stdout
    found = []
    for body in re.findall(r"static const op_entry ops_\w+\[\] = \{(.*?)\n?\};", text, re.S):
        own = [m.groupdict() for m in ENTRY.finditer(body)]
        builds = len(re.findall(r"\bbuild_\w+,", body))
        if len(own) != builds:
            sys.exit(f"torch_ops.py understands {len(own)} of {builds} entries of a family")
        found += own
    for e in found:
        e["inputs"] = int(e["inputs"])
        e["kinds"] = [k.strip() for k in e["kinds"].split(",") if k.strip()]
        e["shapes"] = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', e["shapes"]))
        unknown = set(e["kinds"]) - GRADIENT - PLAIN
        if unknown or len(e["kinds"]) != e["inputs"]:
            sys.exit(f"torch_ops.py, {e['label']}: kinds {e['kinds']}")
    return found


def draw(kind, first, stream):
    """op_draw of tests/core/ops/op_table.h."""
    if kind in ("IDS", "ROWS"):
        return stream.word() % first[-1 if kind == "IDS" else 0]
    if kind == "MASK":
        return stream.word() % 2
    x = stream.uniform(-2, 2)
    if kind == "ZEROS":
        x = 0.0 if x < -1 else x
    elif kind == "AWAY":
        x = x - 0.1 if x < 0 else x + 0.1
    elif kind in ("POSITIVE", "WEIGHT"):
        x = abs(x) + 0.1
    elif kind == "SIGN":
        x = -1 if x < 0 else 1
    elif kind == "WHOLE":
        x = math.floor(x + 0.5)
    elif kind == "UNIT":
        x = 0.05 + 0.225 * (x + 2)
    return rounded(x)


def inputs_of(entry, number, shapes):
    """op_next of tests/core/ops/op_table.h: the inputs of case `number`, from 1."""
    stream, tensors = Stream(1000 + number - 1), []
    for kind, shape in zip(entry["kinds"], shapes):
        count = 1
        for length in shape:
            count *= length
        values = [draw(kind, shapes[0], stream) for _ in range(count)]
        whole = kind in ("IDS", "ROWS", "MASK")
        t = torch.tensor(values, dtype=torch.int64 if whole else torch.float64).reshape(shape)
        tensors.append(t.requires_grad_(kind in GRADIENT))
    return tensors


def cases(entry):
    """Numbers and shapes of the cases that are kept: of those with elements in every input and at most
    ALL in inputs and result together, the first FIRST, and the longest of up to LONGEST if that is
    longer than these; the shortest, if all have more than ALL."""
    groups = re.findall(r"\[([\d,]*)\]", entry["shapes"])
    shapes = [[int(n) for n in g.split(",") if n] for g in groups]
    n, found = entry["inputs"], []
    if len(shapes) % n:
        sys.exit(f"torch_ops.py, {entry['label']}: {len(shapes)} shapes for {n} inputs")
    for number in range(1, len(shapes) // n + 1):
        group = shapes[(number - 1) * n:number * n]
        if all(0 not in s for s in group):
            inputs = inputs_of(entry, number, group)
            result = EXPRESSIONS[entry["label"]](*inputs)
            total = sum(t.numel() for t in inputs) + result.numel()
            found.append((total, number, group))
    if not found:
        sys.exit(f"torch_ops.py, {entry['label']}: every case is empty")
    found = [f for f in found if f[0] <= ALL] or [min(found, key=lambda f: f[0])]
    kept = found[:FIRST]
    rest = [f for f in found[FIRST:] if f[0] <= LONGEST]
    if rest:
        longest = max(rest, key=lambda f: f[0])
        if longest[0] > max(f[0] for f in kept):
            kept.append(longest)
    return [(number, group) for _, number, group in kept]


# ---- Values and gradients ----

def golden(entry, number, shapes):
    """[result, gradient of each input]; None for an input without."""
    inputs = inputs_of(entry, number, shapes)
    y = EXPRESSIONS[entry["label"]](*inputs)
    wanted = [t for t in inputs if t.requires_grad]
    if not wanted or "NO_GRADIENT" in FLAGS[entry["label"]]:
        return [flat(y)] + [None] * len(inputs)
    stream = Stream(77)  # op_cotangent of tests/core/ops/op_table.h
    cotangent = torch.tensor([rounded(stream.uniform(-1, 1)) for _ in range(y.numel())])
    grads = iter(torch.autograd.grad(y, wanted, cotangent.reshape(y.shape)))
    return [flat(y)] + [flat(next(grads)) if t.requires_grad else None for t in inputs]


FLAGS = {}


def flags_of(entry):
    """Names of the flags; enumerators are not macros, and stay as they are written."""
    return {f.strip() for f in entry["flags"].split("|")} - {"0"}


def main():
    rows, values, missing = [], [], []
    for entry in entries():
        label = entry["label"]
        FLAGS[label] = flags_of(entry)
        if "COMPOSED" in FLAGS[label]:
            continue
        if label not in EXPRESSIONS:
            missing.append(label)
            continue
        for number, shapes in cases(entry):
            parts = golden(entry, number, shapes)
            counts = [-1 if p is None else len(p) for p in parts[1:]] + [-1] * (4 - len(parts))
            rows.append(f'    {{"{label}", {number}, {len(values)}, {len(parts[0])}, '
                        f'{{{", ".join(map(str, counts))}}}}},\n')
            for p in parts:
                values += p or []
    if missing:
        sys.exit(f"torch_ops.py has no expression for: {', '.join(missing)}")
    write("torch_ops.h",
          "/* The result of a case of ops.h, then the gradients of its inputs, at numbers[at]. */\n"
          "static const struct torch_case {\n    const char *label;\n"
          "    int number, at, outputs, gradients[3]; /* elements; -1: none */\n} torch_cases[] = {\n"
          + "".join(rows) + "};\n" + array("static const double torch_numbers[]", values))
    print(f"{len(rows)} cases, {len(values)} numbers", file=sys.stderr)


if __name__ == "__main__":
    main()
