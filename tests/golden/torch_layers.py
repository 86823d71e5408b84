#!/usr/bin/env python3
"""torch.nn's layers and torch.nn.init's initializers: golden/torch_layers.h, which
tests/nn/layers/test_torch_layers.c reads. A layer is one line of LAYERS, an initializer one of INITS.

For a layer, the fixture has the output, and the gradients of its input and its parameters for a given cotangent; both
sides draw the same input, parameters and cotangent. For an initializer, whose random numbers differ from those
of swale, it has moments, quantiles and extremes of a matrix of DRAWS numbers.

    /usr/bin/python3 tests/golden/torch_layers.py       (Debian's python3-torch)
"""
import math
import sys
import textwrap

import torch
from torch import nn

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
from torch_shared import Stream, array, filled, flat, text_of, write

# ---- Layers: label, shape of the input with its batch, module ----

class Residual(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return x + self.f(x)


class Gated(nn.Module):
    def __init__(self, a, b):
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x):
        return self.a(x) * torch.sigmoid(self.b(x))


class ChannelsLast(nn.Module):
    """A module of PyTorch with the layout of swale: inputs and outputs [N,...,C], weights [out,...,in]."""

    def __init__(self, module):
        super().__init__()
        self.module = [module]  # in a list, so that its parameters are not those of this module
        for name, p in module.named_parameters():
            value = p.detach().movedim(1, -1).contiguous() if p.dim() > 2 else p.detach()
            self.register_parameter(name.replace(".", "_"), nn.Parameter(value))

    def forward(self, x):
        parameters = {name: p.movedim(-1, 1) if p.dim() > 2 else p for name, p in self.named_parameters()}
        y = torch.func.functional_call(self.module[0].double(), parameters, (x.movedim(-1, 1),))
        return y.movedim(1, -1)


class Recurrent(nn.Module):
    """The outputs of every step, or `last`: those of the last step, in both directions."""

    def __init__(self, module, last=False):
        super().__init__()
        self.module, self.last = module, last

    def forward(self, x):
        y, final = self.module(x)
        if not self.last:
            return y
        h = final[0] if isinstance(final, tuple) else final
        return torch.cat(tuple(h[-2:] if self.module.bidirectional else h[-1:]), -1)


class Positions(nn.Module):
    """x [batch, time, features] and learned positions."""

    def __init__(self, length, features):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, features))

    def forward(self, x):
        return x + self.weight[:x.shape[1]]


class Sinusoidal(nn.Module):
    """Vaswani et al., section 3.5."""

    def forward(self, x):
        time, features = x.shape[1:]
        table = torch.zeros(time, features)
        for t in range(time):
            for i in range(features):
                angle = t / 10000**((i - i % 2) / features)
                table[t, i] = math.cos(angle) if i % 2 else math.sin(angle)
        return x + table


class Attention(nn.Module):
    def __init__(self, features, heads, causal=False, bias=True):
        super().__init__()
        self.mha, self.causal = nn.MultiheadAttention(features, heads, batch_first=True, bias=bias), causal

    def forward(self, x):
        mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if self.causal else None
        return self.mha(x, x, x, need_weights=False, attn_mask=mask)[0]


def rotated(x):
    """Rotary positions of x [batch, heads, time, d]: pairs c and c + d/2."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * 10000.0**(-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), a * angles.sin() + b * angles.cos()], -1)


class ByHand(nn.Module):
    """The parameters of nn.MultiheadAttention, and a function of queries, keys and values [batch, heads, time, d]."""

    def __init__(self, features, heads, attend):
        super().__init__()
        self.mha, self.heads, self.attend = nn.MultiheadAttention(features, heads), heads, attend

    def forward(self, x):
        parts = nn.functional.linear(x, self.mha.in_proj_weight, self.mha.in_proj_bias).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        return self.mha.out_proj(self.attend(q, k, v).transpose(1, 2).flatten(2))


def rotary_attention(q, k, v):
    return nn.functional.scaled_dot_product_attention(rotated(q), rotated(k), v, is_causal=True)


def causal_elu_attention(q, k, v):
    weights = ((nn.functional.elu(q) + 1) @ (nn.functional.elu(k) + 1).transpose(-1, -2)).tril()
    return weights @ v / weights.sum(-1, keepdim=True)


class Block(nn.TransformerEncoderLayer):
    """With a causal mask."""

    def forward(self, x):
        return super().forward(x, nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype))


class SwiGLU(nn.Module):
    """The feed-forward network of a pre-norm block without bias; the rest as in PyTorch's."""

    def __init__(self, features, heads, hidden):
        super().__init__()
        self.attention = nn.MultiheadAttention(features, heads, batch_first=True, bias=False)
        self.linear1, self.linear2 = nn.Linear(features, 2 * hidden, bias=False), nn.Linear(hidden, features, False)
        self.norm1, self.norm2 = nn.LayerNorm(features, bias=False), nn.LayerNorm(features, bias=False)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        gate, value = self.linear1(self.norm2(x)).chunk(2, -1)
        return x + self.linear2(nn.functional.silu(gate) * value)


def squared_relu(x):
    return torch.relu(x)**2


LAYERS = [
    ("linear", (5, 4), nn.Linear(4, 3)),
    ("linear_no_bias", (5, 4), nn.Linear(4, 3, bias=False)),
    ("embedding", (4, 5), nn.Embedding(9, 4)),
    ("embedding_with_options", (4, 5), nn.Embedding(9, 4, padding_idx=6)),
    ("relu", (3, 7), nn.ReLU()),
    ("tanh", (3, 7), nn.Tanh()),
    ("sigmoid", (3, 7), nn.Sigmoid()),
    ("leaky_relu", (3, 7), nn.LeakyReLU(0.2)),
    ("elu", (3, 7), nn.ELU(0.7)),
    ("silu", (3, 7), nn.SiLU()),
    ("softplus", (3, 7), nn.Softplus(threshold=100)),  # beyond 20 PyTorch takes x for it
    ("gelu", (3, 7), nn.GELU()),
    ("gelu_tanh", (3, 7), nn.GELU("tanh")),
    ("softmax", (3, 7), nn.Softmax(-1)),
    ("log_softmax", (3, 4, 2), nn.LogSoftmax(1)),
    ("activation", (3, 7), nn.LeakyReLU(0.01)),
    ("dropout", (3, 7), nn.Dropout(0.5).eval()),
    ("flatten", (3, 2, 2, 3), nn.Sequential(nn.Flatten(), nn.Linear(12, 2))),
    ("reshape", (3, 3, 4), nn.Sequential(nn.Flatten(), nn.Unflatten(1, (2, 6)), nn.Softmax(1))),
    ("sequential", (6, 5),
     nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Dropout(0.5).eval(), nn.Linear(8, 3))),
    ("residual", (4, 5), Residual(nn.Sequential(nn.Linear(5, 5), nn.Tanh()))),
    ("compose", (4, 5), Gated(nn.Linear(5, 3), nn.Linear(5, 3))),
    ("conv2d", (2, 4, 5, 2), ChannelsLast(nn.Conv2d(2, 3, 3))),
    ("conv2d_with_options", (2, 5, 4, 4), ChannelsLast(
        nn.Conv2d(4, 6, (2, 3), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2, bias=False))),
    ("conv2d_with_options same", (2, 4, 3, 2), ChannelsLast(nn.Conv2d(2, 3, (3, 1), padding="same"))),
    ("conv1d", (2, 6, 3), ChannelsLast(nn.Conv1d(3, 4, 3))),
    ("conv1d_with_options", (2, 7, 2), ChannelsLast(nn.Conv1d(2, 4, 3, stride=2, padding=3, dilation=2, groups=2))),
    ("conv2d_transposed", (2, 2, 3, 3), ChannelsLast(nn.ConvTranspose2d(3, 2, 2))),
    ("conv2d_transposed_with_options", (1, 3, 2, 4), ChannelsLast(
        nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2))),
    ("max_pool2d", (2, 5, 4, 3), ChannelsLast(nn.MaxPool2d(2))),
    ("max_pool2d_with_options", (2, 5, 4, 3), ChannelsLast(
        nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2), ceil_mode=True))),
    ("avg_pool2d", (2, 5, 4, 3), ChannelsLast(nn.AvgPool2d(2))),
    ("avg_pool2d_with_options", (2, 5, 4, 3), ChannelsLast(
        nn.AvgPool2d((3, 2), stride=(2, 1), padding=(1, 1), count_include_pad=False))),
    ("max_pool1d", (2, 5, 3), ChannelsLast(nn.MaxPool1d(2))),
    ("max_pool1d_with_options", (2, 6, 3), ChannelsLast(nn.MaxPool1d(3, stride=2))),
    ("avg_pool1d", (2, 5, 3), ChannelsLast(nn.AvgPool1d(2))),
    ("avg_pool1d_with_options", (2, 5, 3), ChannelsLast(nn.AvgPool1d(3, padding=1))),
    ("adaptive_max_pool2d", (2, 3, 4, 3), ChannelsLast(nn.AdaptiveMaxPool2d((2, 3)))),
    ("adaptive_avg_pool2d", (2, 4, 3, 3), ChannelsLast(nn.AdaptiveAvgPool2d((3, 2)))),
    ("global_max_pool2d", (2, 3, 4, 3), nn.Sequential(ChannelsLast(nn.AdaptiveMaxPool2d(1)), nn.Flatten())),
    ("global_avg_pool2d", (2, 3, 4, 3), nn.Sequential(ChannelsLast(nn.AdaptiveAvgPool2d(1)), nn.Flatten())),
    ("lstm", (2, 5, 3), Recurrent(nn.LSTM(3, 4, batch_first=True))),
    ("lstm_with_options", (3, 4, 3),
     Recurrent(nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True, dropout=0.3).eval())),
    ("lstm_with_options last", (3, 5, 2), Recurrent(nn.LSTM(2, 3, 3, bias=False, batch_first=True), True)),
    ("gru", (2, 5, 3), Recurrent(nn.GRU(3, 4, batch_first=True))),
    ("gru_with_options", (3, 4, 3), Recurrent(nn.GRU(3, 3, batch_first=True, bidirectional=True), True)),
    ("batch_norm", (3, 2, 2, 4), ChannelsLast(nn.BatchNorm2d(4).eval())),
    ("batch_norm_with_options batch", (4, 5, 3), ChannelsLast(nn.BatchNorm1d(3, 0.01, track_running_stats=False))),
    ("batch_norm_with_options plain", (5, 3), nn.BatchNorm1d(3, affine=False, track_running_stats=False)),
    ("layer_norm", (3, 2, 5), nn.LayerNorm(5)),
    ("layer_norm_with_options", (3, 4, 3), nn.LayerNorm((4, 3), 0.01)),
    ("layer_norm_with_options no bias", (3, 4), nn.LayerNorm(4, bias=False)),
    ("rms_norm", (3, 7), nn.RMSNorm(7)),
    ("rms_norm_with_options", (2, 2, 2, 3), nn.RMSNorm((2, 2, 3), 0.1)),
    ("rms_norm_with_options plain", (3, 4), nn.RMSNorm(4, elementwise_affine=False)),
    ("group_norm", (2, 3, 2, 6), ChannelsLast(nn.GroupNorm(2, 6))),
    ("group_norm_with_options", (2, 5, 6), ChannelsLast(nn.GroupNorm(3, 6, 0.02))),
    ("linear_with_options", (5, 4), nn.Linear(4, 3, bias=False)),
    ("position", (2, 5, 4), Positions(7, 4)),
    ("position all", (2, 5, 4), Positions(5, 4)),
    ("sinusoidal_position", (2, 5, 7), Sinusoidal()),
    ("attention", (2, 5, 6), Attention(6, 2)),
    ("attention_with_options", (2, 5, 6), Attention(6, 3, causal=True, bias=False)),
    ("attention_with_options rotary", (2, 5, 8), ByHand(8, 2, rotary_attention)),
    ("linear_attention", (2, 5, 6), ByHand(6, 2, lambda q, k, v: q @ k.transpose(-1, -2) @ v)),
    ("linear_attention_with_options", (2, 5, 6), ByHand(6, 3, causal_elu_attention)),
    ("transformer_block", (2, 4, 4), nn.TransformerEncoderLayer(
        4, 2, 16, dropout=0, activation="gelu", batch_first=True, norm_first=True)),
    ("transformer_block_with_options", (2, 4, 6), Block(
        6, 3, 7, dropout=0, activation="relu", batch_first=True)),
    ("transformer_block_with_options relu2", (2, 4, 6), nn.TransformerEncoderLayer(
        6, 1, 7, dropout=0, activation=squared_relu, batch_first=True)),
    ("transformer_block_with_options swiglu", (2, 4, 6), SwiGLU(6, 2, 5)),
]
IDS = {"embedding": 9, "embedding_with_options": 9}  # labels whose input is ids: below this number


def layer_rows():
    rows, numbers = [], []
    for label, shape, module in LAYERS:
        module = module.double()
        if label in IDS:
            stream = Stream(21)
            count = int(torch.Size(shape).numel())
            x = torch.tensor([stream.word() % IDS[label] for _ in range(count)]).reshape(shape)
        else:
            x = filled(shape, -2, 2, Stream(21)).requires_grad_()
        stream, parameters = Stream(22), list(module.parameters())
        with torch.no_grad():
            for p in parameters:
                p.copy_(filled(p.shape, -0.6, 0.6, stream))
        y = module(x)
        wanted = ([x] if x.requires_grad else []) + parameters
        grads = torch.autograd.grad(y, wanted, filled(y.shape, -1, 1, Stream(23)))
        if not x.requires_grad:
            grads = (torch.empty(0),) + grads
        sizes = [y.numel(), grads[0].numel(), sum(p.numel() for p in parameters)]
        dims = ", ".join(map(str, shape))
        rows.append(f'    {{"{label}", {IDS.get(label, 0)}, {len(shape)}, {{{dims}}}, '
                    f'{sizes[0]}, {sizes[1]}, {sizes[2]}, {len(numbers)}}},\n')
        numbers += flat(y)
        for g in grads:
            numbers += flat(g)
    return rows, numbers


# ---- Initialisers: label, and what fills a matrix [OUT, IN] ----

OUT, IN = 400, 500
DRAWS = OUT * IN
QUANTILES = 19  # at 0.05, 0.10, …, 0.95
RANK = 21       # which of the largest (smallest) is kept beside the largest: see the test

INITS = [
    ("he_normal", lambda w: nn.init.kaiming_normal_(w)),
    ("he_normal tanh", lambda w: nn.init.kaiming_normal_(w, nonlinearity="tanh")),
    ("he_uniform", lambda w: nn.init.kaiming_uniform_(w)),
    ("xavier_normal", lambda w: nn.init.xavier_normal_(w)),
    ("xavier_uniform", lambda w: nn.init.xavier_uniform_(w, gain=5 / 3)),
    ("zeros", nn.init.zeros_),
    ("constant", lambda w: nn.init.constant_(w, 0.3)),
    ("normal", lambda w: nn.init.normal_(w, 0.2, 1.7)),
    ("uniform", lambda w: nn.init.uniform_(w, -0.4, 1.1)),
    ("truncated_normal", lambda w: nn.init.trunc_normal_(w, 0.5, 2, -1, 2)),
    ("truncated_normal tail", lambda w: nn.init.trunc_normal_(w, 0, 1, 2, 4)),
    ("truncated_normal slice", lambda w: nn.init.trunc_normal_(w, 0.1, 1, -1.9, -1.4)),
    # PyTorch has no name for LeCun's; its rule for linear layers is the same.
    ("lecun_normal", lambda w: nn.init.kaiming_normal_(w, nonlinearity="linear")),
    ("lecun_uniform", lambda w: nn.init.kaiming_uniform_(w, nonlinearity="linear")),
    ("pytorch", lambda w: nn.init.kaiming_uniform_(w, a=math.sqrt(5))),
    ("pytorch bias", lambda w: w.copy_(torch.cat([nn.Linear(IN, OUT).bias for _ in range(IN)])
                                       .reshape(w.shape))),
    ("orthogonal", lambda w: nn.init.orthogonal_(w, 1.5)),
]


def wrapped(values):
    """With nine digits: far more than the statistics tell."""
    items = ", ".join(text_of(float(f"{float(v):.9g}")) for v in values)
    return textwrap.fill(items, 92, subsequent_indent=" " * 6)


def init_rows():
    rows = []
    torch.manual_seed(20251124)
    for label, fill in INITS:
        w = torch.empty(OUT, IN)
        with torch.no_grad():
            fill(w)
        x = w.reshape(-1).sort().values
        mean, std = float(x.mean()), float(x.std(unbiased=False)) if x[0] < x[-1] else 0.0
        kurtosis = float(((x - mean)**4).mean() / std**4) if std > 0 else 0
        at = [math.ceil((q + 1) / (QUANTILES + 1) * DRAWS) - 1 for q in range(QUANTILES)]
        head = [mean, std, kurtosis, float(w.diagonal().mean()), float(x[0]), float(x[RANK - 1]),
                float(x[-RANK]), float(x[-1])]
        quantiles = wrapped(x[i] for i in at)
        rows.append(f'    {{"{label}",\n     {wrapped(head)},\n     {{{quantiles}}}}},\n')
    return rows


def main():
    rows, numbers = layer_rows()
    write("torch_layers.h",
          "/* The output, then the gradients of the input (none for ids) and of the parameters, at\n"
          " * torch_layer_numbers[at]. `ids`: the input is ids below this; 0: it is real. */\n"
          "static const struct torch_layer {\n    const char *label;\n    int ids, rank;\n"
          "    int64_t shape[4]; /* of the input */\n"
          "    int outputs, inputs, parameters, at; /* elements */\n} torch_layers[] = {\n"
          + "".join(rows) + "};\n" + array("static const double torch_layer_numbers[]", numbers)
          + f"\nenum {{ INIT_OUT = {OUT}, INIT_IN = {IN}, INIT_DRAWS = {DRAWS}, "
          f"INIT_QUANTILES = {QUANTILES}, INIT_RANK = {RANK} }};\n"
          "/* Of a matrix [INIT_OUT, INIT_IN]. */\n"
          "static const struct torch_init {\n    const char *label;\n"
          "    double mean, std, kurtosis, diagonal /* its mean */;\n"
          "    double least, low /* the INIT_RANK-th smallest */, high, largest;\n"
          "    double quantile[INIT_QUANTILES]; /* at 1/20, 2/20, … */\n} torch_inits[] = {\n"
          + "".join(init_rows()) + "};\n")
    print(f"{len(rows)} layers, {len(INITS)} initializers", file=sys.stderr)


main()
