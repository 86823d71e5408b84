"""Random networks of sequences in swale and in PyTorch: see networks.py, which trains and compares.

The layers in front of the linear ones are LSTM, GRU, attention, linear attention, blocks of transformers, positions and
layer normalization, of sequences [batch, time, features] of numbers or of embedded ids, or a whole GPT. A network has one
output for each sample, or one for each position, with a loss over all of them. PyTorch computes with its own modules,
except for rotary positions and linear attention, which it does not have. Rows that are normalized have at least three
features: of two, the results are 1 and -1, and the gradient consists of rounding errors of larger terms.
"""
import math

import torch
import torch.nn.functional as F
from torch import nn

import half_networks
import networks
import operations
import swale
from networks import compare, shrink
from operations import split_heads
from swale import AttentionLayer, Gpt, LinearAttentionLayer, Norm, RecurrentLayer, TransformerBlock, lib

ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu,
               "relu2": lambda x: F.relu(x)**2, "swiglu": lambda x: F.silu(x.chunk(2, -1)[0]) * x.chunk(2, -1)[1]}
EPS = 1e-5  # of the normalizations in a block


class Network(networks.Network):
    def __init__(self, seed):
        self.sequences = []  # the layers of this file that have parameters
        super().__init__(seed)
        rng = networks.random.Random(self.seed + 2**32)
        for layer in self.sequences:
            layer["freeze"] = rng.random() < 0.1
        if self.positions and not self.open and self.loss == "sw_kl_div":
            self.layers[-1]["axis"] = -1  # the model takes the result of a linear layer for vectors then

    # ---- Drawing ----

    def first_layers(self, rng):
        self.time = rng.choice([1, 2, 3, 5, 6])
        if rng.random() < 0.15:
            return self.gpt(rng)
        width = rng.choice([2, 4, 6, 8])
        self.sample = [self.time, width]
        if rng.random() < 0.6:
            self.rows, self.sample = rng.choice([3, 5, 9]), [self.time]
            padding = rng.randrange(self.rows) if rng.random() < 0.3 else None
            self.embedding = {"kind": "embedding", "rows": self.rows, "dim": width, "padding": padding}
            self.layers.append(self.embedding)
        if rng.random() < 0.4:
            self.position(rng, width)
        for _ in range(rng.randrange(1, 4)):
            width = self.mixer(rng, width)
            if rng.random() < 0.2:
                self.activation(rng, self.layers)
        return self.ending(rng, width)

    def add(self, layers, kind, **more):
        layer = {"kind": kind, **more}
        self.sequences.append(layer)
        layers.append(layer)

    def gpt(self, rng):
        heads, self.rows, self.sample = rng.choice([1, 2, 3]), rng.choice([3, 5, 9]), [self.time]
        options = Gpt({"vocabulary": self.rows, "length": self.time + rng.randrange(3), "layers": rng.choice([1, 2]),
                       "heads": heads, "width": heads * rng.choice([3, 4])})
        for name, value, chance in (("hidden", 5, 0.3), ("no_bias", True, 0.3), ("untied", True, 0.3),
                                    ("activation", rng.choice(sorted(ACTIVATIONS)), 0.5), ("recompute", 2, 0.2)):
            if rng.random() < chance:
                options[name] = value
        self.add(self.layers, "gpt", options=options, bias=not options.get("no_bias"))
        self.positions = [self.time]
        return self.rows

    def position(self, rng, width):
        if rng.random() < 0.5:
            self.layers.append({"kind": "sinusoidal_position"})
        else:
            self.add(self.layers, "position", length=self.time + rng.randrange(3), features=width)

    def mixer(self, rng, width):
        """Adds layers that combine the positions; returns the width after them."""
        kind = rng.choice(["lstm", "gru", "attention", "linear_attention", "transformer_block", "transformer_block",
                           "residual", "residual"])
        if kind == "transformer_block" and width < 3:
            kind = "attention"
        if kind in ("lstm", "gru"):
            return self.recurrent(rng, self.layers, width)
        if kind == "transformer_block":
            self.block_of_transformer(rng, width)
        elif kind == "residual":
            inside = []
            if width > 2 and rng.random() < 0.6:
                self.add(inside, "layer_norm", features=width, options=Norm(eps=rng.choice([1e-3, 0.1])), bias=True)
            rng.choice([self.recurrent, self.attention, self.attention, self.linear_attention])(rng, inside, width, width)
            self.layers.append({"kind": "residual", "layers": inside})
        else:
            (self.attention if kind == "attention" else self.linear_attention)(rng, self.layers, width)
        return width

    def recurrent(self, rng, layers, width, hidden=None, last=False):
        """hidden: the width that the output must have."""
        both = hidden is None and rng.random() < 0.4
        hidden = hidden or rng.choice([2, 3, 4, 6])
        options = RecurrentLayer({"layers": rng.choice([1, 1, 2, 3]), "bidirectional": both,
                                  "no_bias": rng.random() < 0.2, "last": last})
        if options["layers"] > 1 and rng.random() < 0.3:
            options["dropout"] = 0.5  # see make
        self.add(layers, rng.choice(["lstm", "gru"]), features=width, hidden=hidden, options=options,
                 bias=not options["no_bias"])
        return hidden * (2 if both else 1)

    def heads_of(self, rng, width, even=False):
        return rng.choice([n for n in (1, 2, 3, 4) if width % (2 * n if even else n) == 0])

    def attention(self, rng, layers, width, _=None):
        rotary = width % 2 == 0 and rng.random() < 0.3
        options = AttentionLayer({"causal": rng.random() < 0.5, "no_bias": rng.random() < 0.3, "rotary": rotary})
        if rotary and rng.random() < 0.3:
            options["rotary_base"] = 5.0
        self.add(layers, "attention", features=width, heads=self.heads_of(rng, width, rotary), options=options,
                 bias=not options["no_bias"])
        return width

    def linear_attention(self, rng, layers, width, _=None):
        options = LinearAttentionLayer({"causal": rng.random() < 0.5, "no_bias": rng.random() < 0.3})
        options |= rng.choice([{"scale": 0.25}, {"scale": 1 / self.time}, {"map": 1, "scale": 0.25},
                               {"map": 1, "normalized": True}])
        self.add(layers, "linear_attention", features=width, heads=self.heads_of(rng, width), options=options,
                 bias=not options["no_bias"])
        return width

    def block_of_transformer(self, rng, width):
        rotary = width % 2 == 0 and rng.random() < 0.2
        options = TransformerBlock({"hidden": rng.choice([3, 8]), "post_norm": rng.random() < 0.4,
                                    "activation": rng.choice(sorted(ACTIVATIONS)), "causal": rng.random() < 0.5,
                                    "no_bias": rng.random() < 0.2, "rotary": rotary})
        self.add(self.layers, "transformer_block", features=width, heads=self.heads_of(rng, width, rotary),
                 options=options, bias=not options["no_bias"])

    def ending(self, rng, width):
        kind = rng.choice(["positions", "positions", "flatten", "last"])
        if kind == "positions":
            self.positions = [self.time]
        elif kind == "last":
            return self.recurrent(rng, self.layers, width, last=True)
        else:
            self.layers.append({"kind": "flatten"})
            width *= self.time
        return width

    def keeps_rows(self):
        return self.positions != []

    # ---- Parameters ----

    def parametric(self):
        return ([self.embedding] if self.embedding else []) + self.sequences + self.linears

    def shapes(self, layer):
        """{suffix: shape} of the parameters; those of a GPT have their names there in front."""
        options, width = layer.get("options") or {}, layer.get("features")
        if layer["kind"] == "position":
            return {"weight": [layer["length"], width]}
        if layer["kind"] == "layer_norm":
            return {"weight": [width], "bias": [width]}
        if layer["kind"] in ("lstm", "gru"):
            found, rows = {}, layer["hidden"] * (4 if layer["kind"] == "lstm" else 3)
            ends = ["", "_reverse"] if options["bidirectional"] else [""]
            for i in range(options["layers"]):
                for end in ends:
                    columns = layer["hidden"] * len(ends) if i else width
                    found |= {f"weight_ih_l{i}{end}": [rows, columns],
                              f"weight_hh_l{i}{end}": [rows, layer["hidden"]]}
                    if layer["bias"]:
                        found |= {f"bias_ih_l{i}{end}": [rows], f"bias_hh_l{i}{end}": [rows]}
            return found
        if layer["kind"] == "gpt":
            return self.shapes_of_gpt(options, layer["bias"])
        outer = {"in_proj_weight": [3 * width, width], "out_proj.weight": [width, width]}
        if layer["bias"]:
            outer |= {"in_proj_bias": [3 * width], "out_proj.bias": [width]}
        if layer["kind"] != "transformer_block":
            return outer
        found = {"self_attn." + name: shape for name, shape in outer.items()}
        return found | self.shapes_of_block(options, width, layer["bias"], ("linear1", "linear2", "norm1", "norm2"))

    def shapes_of_block(self, options, width, bias, names):
        hidden = options.get("hidden", 4 * width)
        outputs = hidden * (2 if options.get("activation") == "swiglu" else 1)
        shapes = [[outputs, width], [width, hidden], [width], [width]]
        found = {name + ".weight": shape for name, shape in zip(names, shapes)}
        return found | ({name + ".bias": shape[:1] for name, shape in zip(names, shapes)} if bias else {})

    def shapes_of_gpt(self, options, bias):
        width, vocabulary = options["width"], options["vocabulary"]
        found = {"transformer.wte.weight": [vocabulary, width], "transformer.wpe.weight": [options["length"], width]}
        attention = {"attn.c_attn": [3 * width, width], "attn.c_proj": [width, width]}
        for i in range(options["layers"]):
            inside = {name + ".weight": shape for name, shape in attention.items()}
            inside |= {name + ".bias": shape[:1] for name, shape in attention.items()} if bias else {}
            inside |= self.shapes_of_block(options, width, bias, ("mlp.c_fc", "mlp.c_proj", "ln_1", "ln_2"))
            found |= {f"transformer.h.{i}.{name}": shape for name, shape in inside.items()}
        found["transformer.ln_f.weight"] = [width]
        if bias:
            found["transformer.ln_f.bias"] = [width]
        if options.get("untied"):
            found["lm_head.weight"] = [vocabulary, width]
        return found

    def initial_values(self, layer, draw):
        if layer not in self.sequences:
            return super().initial_values(layer, draw)

        def value(suffix, shape):
            if len(shape) == 2:
                return draw(*shape) / math.sqrt(shape[1])
            is_norm = suffix.endswith("weight")
            return 1 + 0.3 * draw(*shape) if is_norm else 0.5 * draw(*shape)
        return [(suffix, value(suffix, shape)) for suffix, shape in self.shapes(layer).items()]

    def keys(self, layer):
        if layer not in self.sequences:
            return super().keys(layer)
        front = "" if layer["kind"] == "gpt" else layer["name"] + "."
        return [(suffix, front + suffix) for suffix in self.shapes(layer)]

    def is_bias(self, key):
        return key.rpartition(".")[2].startswith("bias") or key.endswith("in_proj_bias")

    # ---- In PyTorch ----

    def forward(self, layer, p, x, training, shaken):
        kind, options = layer["kind"], layer.get("options")
        if kind == "sinusoidal_position":
            return x + sinusoidal(*x.shape[1:])
        if layer not in self.sequences:
            return NotImplemented
        values = {suffix: p[key] for suffix, key in self.keys(layer)}
        if kind == "gpt":
            return self.forward_of_gpt(options, values, x.long())
        if kind == "position":
            return x + values["weight"][:x.shape[1]]
        if kind == "layer_norm":
            return F.layer_norm(x, [layer["features"]], values["weight"], values["bias"], options["eps"])
        if kind in ("lstm", "gru"):
            return self.forward_of_recurrent(layer, values, x)
        if kind == "attention":
            return attention_of(x, values, layer["heads"], options)
        if kind == "linear_attention":
            return projected(x, values, lambda q, k, v: operations.linear_attention(
                q, k, v, {**options, "heads": layer["heads"]}))
        return self.forward_of_block(layer, values, x)

    def forward_of_recurrent(self, layer, values, x):
        options, is_lstm = layer["options"], layer["kind"] == "lstm"
        directions = 2 if options["bidirectional"] else 1
        h = x.new_zeros(options["layers"] * directions, x.shape[0], layer["hidden"])
        call, state = (torch.lstm, (h, h)) if is_lstm else (torch.gru, h)
        y, last, *_ = call(x, state, list(values.values()), layer["bias"], options["layers"], 0.0, True, directions == 2,
                           True)
        return torch.cat(tuple(last[-directions:]), -1) if options["last"] else y

    def forward_of_block(self, layer, values, x):
        options, width = layer["options"], layer["features"]
        if options["rotary"]:
            inner = {name.removeprefix("self_attn."): value for name, value in values.items()}
            return block(x, {"norm1": "norm1", "norm2": "norm2", "linear1": "linear1", "linear2": "linear2"}, values,
                         options, lambda y: attention_of(y, inner, layer["heads"], options))
        module = nn.TransformerEncoderLayer(width, layer["heads"], options["hidden"], 0.0,
                                            ACTIVATIONS[options["activation"]], EPS, True, not options["post_norm"],
                                            layer["bias"])
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], dtype=x.dtype) if options["causal"] else None
        return torch.func.functional_call(module, values, (x, mask))

    def forward_of_gpt(self, options, values, ids):
        x = values["transformer.wte.weight"][ids] + values["transformer.wpe.weight"][:ids.shape[1]]
        names = {"norm1": "ln_1", "norm2": "ln_2", "linear1": "mlp.c_fc", "linear2": "mlp.c_proj"}
        more = {"activation": options.get("activation", "gelu_tanh"), "post_norm": False}
        for i in range(options["layers"]):
            front = f"transformer.h.{i}."
            inside = {name.removeprefix(front): value for name, value in values.items() if name.startswith(front)}
            outer = {a: inside.get(b) for a, b in (
                ("in_proj_weight", "attn.c_attn.weight"), ("in_proj_bias", "attn.c_attn.bias"),
                ("out_proj.weight", "attn.c_proj.weight"), ("out_proj.bias", "attn.c_proj.bias"))}
            x = block(x, names, inside, more, lambda y: attention_of(y, outer, options["heads"], {"causal": True}))
        x = F.layer_norm(x, [options["width"]], values["transformer.ln_f.weight"], values.get("transformer.ln_f.bias"),
                         EPS)
        return F.linear(x, values.get("lm_head.weight", values["transformer.wte.weight"]))

    # ---- In swale ----

    def make(self, layer, model):
        kind, options = layer["kind"], layer.get("options")
        new = getattr(lib, f"sw_nn_{kind}_with_options", None)
        width = 0 if self.open else layer.get("features")
        if kind == "sinusoidal_position":
            return lib.sw_nn_sinusoidal_position(model)
        if layer not in self.sequences:
            return None
        if kind == "gpt":
            return lib.sw_nn_gpt(model, *options.expand())
        if kind == "position":
            m = lib.sw_nn_position(model, layer["length"], width)
        elif kind == "layer_norm":
            m = new(model, width, *options.expand())
        elif kind in ("lstm", "gru"):
            dropout = options.get("dropout", 0) if self.by_hand and not self.trains else 0
            options = RecurrentLayer({**options, "dropout": float(dropout)})
            m = new(model, width, layer["hidden"], *options.expand())
        else:
            m = new(model, layer["features"], layer["heads"], *options.expand())
        return lib.sw_module_set_name(m, layer["name"].encode())


def sinusoidal(time, features):
    rates = 10000.0**(-torch.arange(0, features, 2) / features)
    angles = torch.arange(time)[:, None] * rates
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(1)[:, :features]


def projected(x, values, attend):
    """The linear layers around a function of queries, keys and values [batch, time, features]."""
    parts = F.linear(x, values["in_proj_weight"], values.get("in_proj_bias")).chunk(3, -1)
    return F.linear(attend(*parts), values["out_proj.weight"], values.get("out_proj.bias"))


def attention_of(x, values, heads, options):
    causal = options.get("causal", False)
    if not options.get("rotary"):
        module = nn.MultiheadAttention(x.shape[-1], heads, bias=values.get("in_proj_bias") is not None,
                                       batch_first=True)
        mask = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if causal else None
        given = {name: value for name, value in values.items() if value is not None and name.startswith(("in_", "out_"))}
        return torch.func.functional_call(module, given, (x, x, x), {"need_weights": False, "attn_mask": mask})[0]

    def attend(q, k, v):
        q, k = (operations.rotary(part, {"heads": heads, "base": options.get("rotary_base", 10000.0)}) for part in (q, k))
        y = F.scaled_dot_product_attention(*(split_heads(part, heads) for part in (q, k, v)), is_causal=causal)
        return y.transpose(1, 2).flatten(2)
    return projected(x, values, attend)


def block(x, names, values, options, attend):
    """A block of a transformer, with a function of x for the attention."""
    def norm(name, y):
        return F.layer_norm(y, y.shape[-1:], values[names[name] + ".weight"], values.get(names[name] + ".bias"), EPS)

    def linear(name, y):
        return F.linear(y, values[names[name] + ".weight"], values.get(names[name] + ".bias"))

    def inner(y):
        return linear("linear2", ACTIVATIONS[options["activation"]](linear("linear1", y)))
    if options["post_norm"]:
        x = norm("norm1", x + attend(x))
        return norm("norm2", x + inner(x))
    x = x + attend(norm("norm1", x))
    return x + inner(norm("norm2", x))


class HalfNetwork(Network, half_networks.Network):
    pass


class Half:
    """The module of networks of sequences in 16 bits, for check_graphs.py."""
    Network, compare, shrink = HalfNetwork, staticmethod(half_networks.compare), staticmethod(half_networks.shrink)
