"""The counterparts of PyTorch's recurrent layers, attention and blocks of transformers, for check_samples.py.

MODULES[name of the class] is a function of the module, its inputs and its parameters, as in layers.py. RESULTS[name] is
what is compared of the result of the module in PyTorch, as a function of (module, state, inputs).
"""
import ctypes

import torch
import torch.nn.functional as F

import counterparts
import swale
from counterparts import T, counterpart, offered, op
from swale import Attention, AttentionLayer, Axes, Parts, Recurrent, RecurrentLayer, Shape, TransformerBlock, lib

# ---- Attention ----


def reshaped(x, *shape):
    return op("reshape", x, Shape(shape))


def joined_heads(x):
    """[batch, heads, length, features] -> [batch, length, heads features]"""
    batch, heads, length, features = x.shape
    return reshaped(op("permute", x, Axes([0, 2, 1, 3])), batch, length, heads * features)


@counterpart("nn.functional.scaled_dot_product_attention")
def scaled_dot_product_attention(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None,
                                 enable_gqa=False):
    counterparts.real(q, k, v)
    offered(dropout_p == 0, "another mask of dropout")
    offered(q.rank == k.rank == v.rank and q.shape[:-2] == k.shape[:-2] == v.shape[:-2], "heads that broadcast")
    offered(q.rank in (3, 4), "another number of axes of batches")
    options = Attention(heads=q.shape[1] if q.rank == 4 else 1, causal=bool(is_causal), scale=float(scale or 0))
    if attn_mask is not None:
        options["mask"] = attn_mask
    if q.rank == 3:
        return op("attention", q, k, v, options)
    batch, heads, length, features = *q.shape[:3], v.shape[-1]
    y = op("attention", joined_heads(q), joined_heads(k), joined_heads(v), options)
    return op("permute", reshaped(y, batch, length, heads, features), Axes([0, 2, 1, 3]))


def inputs_of(module, arguments):
    """(inputs, {name: parameter})"""
    names = [name for name, _ in module.named_parameters()]
    count = len(arguments) - len(names)
    return arguments[:count], dict(zip(names, arguments[count:]))


def with_batch(module, x):
    """A sequence, or a batch of them, with the batch first."""
    if x.rank == 2:
        return reshaped(x, 1, *x.shape)
    return x if module.batch_first else op("transpose", x, 0, 1)


def as_given(module, x, y):
    """y [batch, time, features] in the layout of x."""
    if x.rank == 2:
        return reshaped(y, *y.shape[1:])
    return y if module.batch_first else op("transpose", y, 0, 1)


def attention(module, *arguments):
    (q, k, v, padding, mask), p = inputs_of(module, arguments)
    offered(module.bias_k is None and not module.add_zero_attn, "further keys")
    width, heads, bias = module.embed_dim, module.num_heads, p.get("in_proj_bias")
    parts = []
    for i, x in enumerate((q, k, v)):
        weight = op("slice", p["in_proj_weight"], 0, i * width, (i + 1) * width)
        shift = op("slice", bias, 0, i * width, (i + 1) * width) if bias is not None else None
        parts.append(op("linear", with_batch(module, x), weight, shift))
    options = Attention(heads=heads)
    if padding is not None:
        options["key_padding"] = reshaped(padding, parts[0].shape[0], -1)
    if mask is not None:  # true: not seen
        options["mask"] = op("logical_not", reshaped(mask, parts[0].shape[0], heads, *mask.shape[1:]))
    y = op("linear", op("attention", *parts, options), p["out_proj.weight"], p.get("out_proj.bias"))
    return as_given(module, q, y)


def attention_in_torch(module, state, q, k, v, padding, mask):
    return torch.func.functional_call(module, state, (q, k, v), {"key_padding_mask": padding, "attn_mask": mask})[0]


# ---- Layers with several parameters ----

built = set()  # functions sw_nn_ that were called


def put(model, name, parameters):
    """Copies the parameters {suffix: T} to those of the layer NAME."""
    for suffix, p in parameters.items():
        p.param = lib.sw_params_find(lib.sw_model_params(model), f"{name}.{suffix}".encode())
        view = lib.sw_param_value(p.param)
        values = swale.stored(swale.numbers(p.array), view.type)
        if tuple(view.shape[:view.rank]) != values.shape:
            raise swale.Refused(f"{suffix} has another shape here")
        ctypes.memmove(view.data, values.ctypes.data, values.nbytes)
    lib.sw_params_mark_changed(lib.sw_model_params(model))


def run_layer(name, sizes, options, parameters, inputs, roundings):
    """Runs sw_nn_NAME, the short form without options. roundings: of results in 16 bits inside."""
    model = lib.sw_model_new(inputs[0].type, 1)
    counterparts.keep.append(model)
    name = f"sw_nn_{name}" + ("_with_options" if options else "")
    built.add(name)
    m = getattr(lib, name)(model, *sizes, *(options.expand() if options else []))
    lib.sw_module_set_name(m, b"layer")
    if not lib.sw_model_build(model, m):
        raise swale.Refused(lib.error())
    put(model, "layer", parameters)
    out = lib.sw_forward_many(m, len(inputs), (swale.Tensor * len(inputs))(*[x.handle for x in inputs]))
    if not out.tape:
        raise swale.Refused(lib.error())
    y = T(out)
    counterparts.calls.extend([("sw_linear", [x.shape for x in inputs], y.shape, y.type)] * roundings)
    return y


def encoder_layer(module, *arguments):
    inputs, p = inputs_of(module, arguments)
    x, mask, padding = (*inputs, None, None)[:3]
    offered(mask is None, "a mask of pairs other than the causal one")
    activation = {F.relu: "relu", F.gelu: "gelu"}.get(module.activation)
    offered(activation is not None, "another activation")
    bias = module.linear1.bias is not None
    options = TransformerBlock(hidden=module.linear1.out_features, post_norm=not module.norm_first,
                               activation=activation, no_bias=not bias)
    if options["hidden"] == 4 * x.shape[-1] and module.norm_first and activation == "gelu" and bias:
        options = None
    y = with_batch(module.self_attn, x)
    more = [reshaped(padding, y.shape[0], -1)] if padding is not None else []
    y = run_layer("transformer_block", (x.shape[-1], module.self_attn.num_heads), options, p, [y] + more, 10)
    return as_given(module.self_attn, x, y)


# ---- Recurrent layers ----


def weights_of(p, layer, end):
    return [p.get(f"{name}_l{layer}{end}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def recurrent(name):
    """Without a first state, the layer and its outputs; with one, the operations, and also the last state."""
    def run(module, *arguments):
        (x, *state), p = inputs_of(module, arguments)
        offered(isinstance(x, T), "packed sequences; check-graphs compares lengths")
        offered(not module.proj_size, "a projection of the hidden state")
        directions = 2 if module.bidirectional else 1
        y = with_batch(module, x)
        if not state:
            options = RecurrentLayer(layers=module.num_layers, bidirectional=module.bidirectional,
                                     no_bias=not module.bias)
            if module.num_layers == 1 and module.bias and not module.bidirectional:
                options = None
            y = run_layer(name, (module.input_size, module.hidden_size), options, p, [y],
                          directions * module.num_layers)
            return as_given(module, x, y)
        given = list(state[0]) if isinstance(state[0], tuple) else state
        first = [reshaped(s, s.shape[0], y.shape[0], s.shape[-1]) for s in given]
        last = []
        for layer in range(module.num_layers):
            outputs = []
            for direction, end in enumerate(("", "_reverse")[:directions]):
                i = layer * directions + direction
                before = [reshaped(op("slice", s, 0, i, i + 1), *s.shape[1:]) for s in first]
                options = Recurrent(state=op("concat", Parts(before), -1), reverse=direction == 1)
                weight_ih, weight_hh, *biases = weights_of(p, layer, end)
                if module.bias:
                    options |= {"bias_ih": biases[0], "bias_hh": biases[1]}
                outputs.append(op(name, y, weight_ih, weight_hh, options))
                last.append(op(name, y, weight_ih, weight_hh, Recurrent({**options, "result": 2})))
            y = op("concat", Parts(outputs), -1) if directions == 2 else outputs[0]
        return [as_given(module, x, y)] + last_states(module, last, x.rank == 2)
    return run


def last_states(module, last, plain):
    """h, and c of an LSTM, of all layers and directions: [layers, batch, hidden]."""
    found, hidden = [], module.hidden_size
    for begin in range(0, last[0].shape[-1], hidden):
        part = op("stack", Parts([op("slice", s, -1, begin, begin + hidden) for s in last]), 0)
        found.append(reshaped(part, part.shape[0], hidden) if plain else part)
    return found


def recurrent_in_torch(module, state, x, *hidden):
    y, last = torch.func.functional_call(module, state, (x, *hidden))
    return [y, *(last if isinstance(last, tuple) else [last])] if hidden else y


def cell(name):
    def run(module, *arguments):
        (x, state), p = inputs_of(module, arguments)
        given = list(state) if isinstance(state, tuple) else [state]
        rows = [reshaped(t, 1, t.shape[0]) if t.rank == 1 else t for t in [x] + given]
        options = Recurrent(state=op("concat", Parts(rows[1:]), -1))
        if module.bias:
            options |= {"bias_ih": p["bias_ih"], "bias_hh": p["bias_hh"]}
        y, hidden = op(name, rows[0], p["weight_ih"], p["weight_hh"], options), module.hidden_size
        parts = [op("slice", y, -1, begin, begin + hidden) for begin in range(0, y.shape[-1], hidden)]
        return [reshaped(part, hidden) if x.rank == 1 else part for part in parts]
    return run


MODULES = {"MultiheadAttention": attention, "TransformerEncoderLayer": encoder_layer, "LSTM": recurrent("lstm"),
           "GRU": recurrent("gru"), "LSTMCell": cell("lstm_cell"), "GRUCell": cell("gru_cell")}
RESULTS = {"MultiheadAttention": attention_in_torch, "LSTM": recurrent_in_torch, "GRU": recurrent_in_torch}
