"""The counterparts of PyTorch's modules and optimizers: layers and rules of swale, for check_samples.py."""
import ctypes
import inspect
import os
import re

import numpy as np
import torch

import counterparts
import networks
import sequence_samples
import swale
from counterparts import COUNTERPARTS, NotOffered, T, offered
from swale import lib

# ---- Layers ----

built = set()  # functions sw_nn_ that were called


def layer(name, *arguments, known=False):
    """sw_nn_NAME(model, …) as a function of x and its parameters; known: the model knows the shape of x."""
    def run(module, x, *parameters):
        offered(x.rank > 0, "a scalar, which has no batch axis")
        offered(x.rank > 1 or not parameters, "a sample without the batch axis")
        real = [p.type for p in parameters] or [x.type]
        model = lib.sw_model_new(real[0], 1)
        counterparts.keep.append(model)
        if known:
            shape = swale.Shape(x.shape[1:]).expand()
            swale.check(lib.sw_model_set_input_shape(model, shape[0], shape[1]))
        built.add("sw_nn_" + name)
        m = getattr(lib, "sw_nn_" + name)(model, *[a(module) if callable(a) else a for a in arguments])
        if not lib.sw_model_build(model, m):
            raise swale.Refused(lib.error())
        for suffix, p in zip(("weight", "bias"), parameters):
            param = lib.sw_module_find_param(m, suffix.encode())
            view = lib.sw_param_value(param)
            values = swale.stored(np.moveaxis(swale.numbers(p.array), 1, -1) if p.moved else swale.numbers(p.array),
                                  view.type)
            if tuple(view.shape[:view.rank]) != values.shape:
                raise swale.Refused(f"{suffix} has another shape here")
            ctypes.memmove(view.data, values.ctypes.data, values.nbytes)
            p.param = param
        lib.sw_params_mark_changed(lib.sw_model_params(model))
        out = lib.sw_forward(m, x.handle)
        if not out.tape:
            raise swale.Refused(lib.error())
        return T(out)
    return run


def linear(module, x, weight, bias=None):
    name = "linear" if bias is not None else "linear_no_bias"
    parameters = [weight] + ([bias] if bias is not None else [])
    return layer(name, module.in_features, module.out_features)(module, x, *parameters)


def convolution(name, axes):
    """The layer, and its short form where the options are the defaults."""
    def run(module, x, weight, bias=None):
        offered(module.padding_mode == "zeros", "padding with other numbers than 0")
        if x.rank == axes + 1:  # a sample without the batch axis
            y = run(module, counterparts.op("reshape", x, swale.Shape((1, *x.shape))), weight, bias)
            return counterparts.op("reshape", y, swale.Shape(y.shape[1:]))
        weight.moved = True
        kernel, parameters = list(module.kernel_size), [weight] + ([bias] if bias is not None else [])
        options = counterparts.convolution_options(axes, module.stride, module.padding, module.dilation, module.groups)
        if module.transposed:
            options["output_padding"] = tuple(module.output_padding)
        options["no_bias"] = bias is None
        short = len(set(kernel)) == 1 and bias is not None and module.groups == 1 and \
            {*module.stride, *module.dilation} == {1} and not any(options.get("padding", (1,))) and \
            not any(options.get("output_padding", ()))
        make = layer(name, module.in_channels, module.out_channels, kernel[0]) if short else \
            layer(name + "_with_options", module.in_channels, module.out_channels, *kernel, *options.expand())
        return counterparts.first(make(module, counterparts.last(x), *parameters))
    return run


def made(name, short, sizes, options):
    """The short form of a layer where the options are the defaults, else the long one."""
    return layer(name, *sizes[:short]) if short else layer(name + "_with_options", *sizes, *options.expand())


def pool(name, axes):
    def run(module, x):
        average = name.startswith("avg")
        offered(not getattr(module, "return_indices", False), "the ids of the largest elements")
        offered(not average or getattr(module, "divisor_override", None) is None, "another divisor")
        window, options = counterparts.pool_options(
            axes, module.kernel_size, module.stride, module.padding, 1 if average else module.dilation,
            module.ceil_mode, not average or module.count_include_pad)
        short = len(set(window)) == 1 and options["stride"] == window and not any(options["padding"]) and \
            set(options["dilation"]) == {1} and not options["ceil_mode"]
        make = made(f"{name}{axes}d", 1 if short else 0, window, options)
        return counterparts.batched(axes, x, lambda y: make(module, y))
    return run


def adaptive_pool(name):
    def run(module, x):
        offered(not getattr(module, "return_indices", False), "the ids of the largest elements")
        lengths = counterparts.for_axes(module.output_size, 2)
        lengths = [n if length is None else length for length, n in zip(lengths, x.shape[-2:])]

        def one(y):
            if lengths != [1, 1]:
                return layer(f"adaptive_{name}_pool2d", *lengths)(module, y)
            z = layer(f"global_{name}_pool2d")(module, y)
            return counterparts.op("reshape", z, swale.Shape((y.shape[0], 1, 1, y.shape[-1])))
        return counterparts.batched(2, x, one)
    return run


def batch_norm(module, x, *parameters):
    offered(x.rank > 1, "a sample without the batch axis")
    offered(module.eps > 0, "eps of 0, which is the default in swale")
    momentum = module.momentum if module.track_running_stats else 0.1
    options = swale.BatchNorm(eps=float(module.eps), momentum=0.0 if momentum is None else float(momentum),
                              cumulative=momentum is None, no_weight=not module.affine, no_bias=not module.affine,
                              no_statistics=not module.track_running_stats)
    if not module.track_running_stats:
        options["momentum"] = 0.0
    short = module.affine and module.track_running_stats and module.eps == 1e-5 and momentum == 0.1
    make = made("batch_norm", 1 if short else 0, (module.num_features,), options)
    lib.sw_tape_set_switch(x.handle.tape, swale.TRAIN, module.training)
    try:
        return counterparts.first(make(module, counterparts.last(x), *parameters))
    finally:
        lib.sw_tape_set_switch(x.handle.tape, swale.TRAIN, True)


def norm(name):
    """Layer and RMS normalization of the last axes."""
    def run(module, x, *parameters):
        axes = counterparts.last_axes(x, module.normalized_shape)
        offered(module.eps is None or module.eps > 0, "eps of 0, which is the default in swale")
        bias = getattr(module, "bias", None) is not None
        usual = module.elementwise_affine and axes == 1 and (name == "rms_norm" or bias) and \
            module.eps == (None if name == "rms_norm" else 1e-5)
        options = swale.Norm(eps=float(module.eps or 0), axes=axes, no_weight=not module.elementwise_affine,
                             no_bias=not bias)
        if usual:
            return layer(name, module.normalized_shape[-1])(module, x, *parameters)
        return layer(name + "_with_options", module.normalized_shape[-1], *options.expand(), known=True)(
            module, x, *parameters)
    return run


def group_norm(module, x, *parameters):
    offered(module.eps > 0, "eps of 0, which is the default in swale")
    options = swale.Norm(eps=float(module.eps), no_weight=not module.affine, no_bias=not module.affine)
    short = module.affine and module.eps == 1e-5
    make = made("group_norm", 2 if short else 0, (module.num_groups, module.num_channels), options)
    return counterparts.first(make(module, counterparts.last(x), *parameters))


def embedding(module, x, weight):
    offered(module.max_norm is None, "max_norm")
    offered(not module.scale_grad_by_freq and not module.sparse, "scaled or sparse gradients")
    sizes = module.num_embeddings, module.embedding_dim
    if module.padding_idx is None:
        return layer("embedding", *sizes)(module, x, weight)
    options = swale.EmbeddingOptions(ctypes.sizeof(swale.EmbeddingOptions), True, module.padding_idx)
    return layer("embedding_with_options", *sizes, ctypes.addressof(options))(module, x, weight)


def softplus(module, x):
    return COUNTERPARTS["nn.functional.softplus"](x, module.beta) if module.beta != 1 else \
        layer("softplus")(module, x)


def gelu(module, x):
    return layer("gelu" if module.approximate == "none" else "gelu_tanh")(module, x)


def functional(name, *attributes):
    """COUNTERPARTS[name] with the module's attributes."""
    def run(module, *arguments):
        return COUNTERPARTS[name](*arguments, **{a: getattr(module, a) for a in attributes})
    return run


def padding(module, x):
    return COUNTERPARTS["nn.functional.pad"](x, module.padding, "constant", module.value)


def cross_entropy(module, x, target, weight=None):
    return COUNTERPARTS["nn.functional.cross_entropy"](
        x, target, weight, ignore_index=module.ignore_index, reduction=module.reduction,
        label_smoothing=module.label_smoothing)


def bce(module, x, target, *buffers):
    weights = dict(zip((name for name, _ in module.named_buffers()), buffers))
    return COUNTERPARTS["nn.functional.binary_cross_entropy_with_logits"](x, target, reduction=module.reduction,
                                                                         **weights)


MODULES = {
    "Linear": linear, "Embedding": embedding,
    "Conv1d": convolution("conv1d", 1), "Conv2d": convolution("conv2d", 2),
    "ConvTranspose2d": convolution("conv2d_transposed", 2),
    **{f"{kind}Pool{axes}d": pool(name, axes) for axes in (1, 2) for kind, name in (
        ("Max", "max_pool"), ("Avg", "avg_pool"))},
    "AdaptiveMaxPool2d": adaptive_pool("max"), "AdaptiveAvgPool2d": adaptive_pool("avg"),
    "BatchNorm1d": batch_norm, "BatchNorm2d": batch_norm, "GroupNorm": group_norm,
    "LayerNorm": norm("layer_norm"), "RMSNorm": norm("rms_norm"),
    "ReLU": layer("relu"), "Tanh": layer("tanh"), "Sigmoid": layer("sigmoid"), "SiLU": layer("silu"),
    "LeakyReLU": layer("leaky_relu", lambda m: m.negative_slope), "ELU": layer("elu", lambda m: m.alpha),
    "Softplus": softplus, "GELU": gelu,
    "Softmax": layer("softmax", lambda m: m.dim), "LogSoftmax": layer("log_softmax", lambda m: m.dim),
    "Hardtanh": functional("nn.functional.hardtanh", "min_val", "max_val"),
    "ReLU6": functional("nn.functional.relu6"),
    "MSELoss": functional("nn.functional.mse_loss", "reduction"),
    "L1Loss": functional("nn.functional.l1_loss", "reduction"),
    "HuberLoss": functional("nn.functional.huber_loss", "reduction", "delta"),
    "SmoothL1Loss": functional("nn.functional.smooth_l1_loss", "reduction", "beta"),
    "KLDivLoss": functional("nn.functional.kl_div", "reduction", "log_target"),
    "BCEWithLogitsLoss": bce, "CrossEntropyLoss": cross_entropy,
    **{f"{kind}Pad{n}d": padding for kind in ("Constant", "Zero") for n in (1, 2, 3)},
    **sequence_samples.MODULES,
}

# Functions sw_nn_ without a module in module_db.
NO_MODULE = {
    "sw_nn_dropout": "nn.Dropout draws masks of its own; it is not in module_db",
    "sw_nn_gelu_tanh": "module_db has nn.GELU with approximate='none' alone; op_db has the other",
    "sw_nn_embedding_with_options": "module_db has nn.Embedding without padding_idx; check-graphs has it",
    "sw_nn_conv2d_transposed_with_options": "module_db has nn.ConvTranspose2d with the defaults alone",
    "sw_nn_max_pool1d_with_options": "module_db has nn.MaxPool1d without options alone; check-graphs has it",
    "sw_nn_global_max_pool2d": "module_db has no nn.AdaptiveMaxPool2d(1); check-graphs has it",
    **{f"sw_nn_{name}": f"as sw_nn_{name}_with_options; module_db has no sample without options" for name in (
        "max_pool2d", "layer_norm", "rms_norm", "group_norm")},
    "sw_nn_activation": "one of the others by its name; check-graphs has it",
    "sw_nn_flatten": "not in module_db; check-graphs has it", "sw_nn_reshape": "not in module_db; check-graphs has it",
    "sw_nn_sequential": "variable arguments", "sw_nn_sequential_listed": "as sw_nn_sequential",
    "sw_nn_compose_listed": "a function of the user's",
    "sw_nn_sequential_array": "not in module_db; check-graphs has it",
    "sw_nn_residual": "not a module there; check-graphs has it",
    **{f"sw_nn_{name}": "a network: check-networks has it" for name in ("lenet", "resnet", "resnet18", "resnet34")},
    "sw_nn_resnet_with_options": "a network: check-networks has it", "sw_nn_basic_block": "a part of check-networks",
    "sw_nn_recompute": "not a module there; check-graphs has it",
    "sw_nn_sequential_with_options": "the bits of sw_nn_sequential",
    "sw_nn_linear_with_options": "as sw_nn_linear; the option concerns files",
    "sw_nn_position": "not a module there; check-graphs has it",
    "sw_nn_sinusoidal_position": "not a module there; check-graphs has it",
    **{f"sw_nn_{name}": "the samples in module_db have three different inputs, which the operations compute; check-graphs "
                        "has the layer" for name in ("attention", "attention_with_options")},
    "sw_nn_transformer_block": "module_db has no sample with the defaults; check-graphs has it",
    **{f"sw_nn_{name}": "not in torch.nn; check-graphs has it" for name in (
        "linear_attention", "linear_attention_with_options")},
    "sw_nn_gpt": "a network: golden/gpt2.py and check-graphs have it",
    "sw_nn_compose": "a function of the user's", "sw_nn_compose_with_options": "a function of the user's",
    "sw_nn_compose_many": "a function of the user's",
}


def missing_layers():
    """Errors of completeness: functions sw_nn_ that are neither tested nor listed, or both."""
    for name in swale.DECLARED:
        has = name in built | sequence_samples.built
        if name.startswith("sw_nn_") and has == (name in NO_MODULE):
            yield f"{name} has {'a module and' if has else 'neither a module nor'} a reason in NO_MODULE"


def arguments_of(module, inputs):
    """(function of x… and parameters in PyTorch, the same in swale, arguments)."""
    names, values = [], []
    running = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)  # its buffers have their initial values
    for name, p in list(module.named_parameters()) + ([] if running else list(module.named_buffers())):
        names.append(name)
        values.append(p.detach().clone().requires_grad_(isinstance(p, torch.nn.Parameter)))
    count = len(inputs)

    def call(*arguments):
        state = dict(zip(names, arguments[count:]))
        result = sequence_samples.RESULTS.get(type(module).__name__)
        return result(module, state, *arguments[:count]) if result else \
            torch.func.functional_call(module, state, arguments[:count])

    def own(*arguments):
        return MODULES[type(module).__name__](module, *arguments)
    return call, own, (list(inputs) + values, {})


# ---- Rules ----

OPTIONS = {  # PyTorch's arguments: swale's option, or a function of the value that gives text
    "lr": "lr", "weight_decay": "weight_decay", "eps": "eps", "rho": "rho", "alpha": "alpha",
    "momentum": "momentum", "dampening": "dampening", "lr_decay": "lr_decay",
    "lambd": "lambda", "t0": "t0", "beta2_decay": "beta2_decay", "d": "d", "initial_accumulator_value": "initial", "momentum_decay": "momentum_decay",
    "betas": lambda v: f"beta1={float(v[0])} beta2={float(v[1])}",
    "etas": lambda v: f"eta_minus={float(v[0])} eta_plus={float(v[1])}",
    "step_sizes": lambda v: f"min_step={float(v[0])} max_step={float(v[1])}",
    "nesterov": lambda v: f"nesterov={str(bool(v)).lower()}",
    "centered": lambda v: f"centered={str(bool(v)).lower()}",
    "decoupled_weight_decay": lambda v: f"decoupled={str(bool(v)).lower()}",
}
ELSEWHERE = {"maximize", "amsgrad"}  # another rule, another sign
CHOICES = {"foreach", "fused", "capturable", "differentiable"}  # of the implementation
RULES = {"SGD": "sgd", "Adagrad": "adagrad", "RMSprop": "rmsprop", "Adadelta": "adadelta", "Adam": "adam",
         "AdamW": "adamw", "NAdam": "nadam", "RAdam": "radam", "Adamax": "adamax", "ASGD": "asgd", "Rprop": "rprop",
         "Adafactor": "adafactor"}
ruled = set()


def spec_of(kind, options):
    """The spec in swale for an optimizer of PyTorch with these arguments; raises NotOffered."""
    name, extra = RULES.get(kind.__name__), []
    offered(name is not None, f"{kind.__name__}, a rule that swale does not have")
    if options.get("amsgrad"):
        extra = ["decoupled"] if name == "adamw" else []
        if name == "adamw" and "weight_decay" not in options:
            options = {**options, "weight_decay": 0.01}  # AMSGrad has none by default
        name = "amsgrad"
    options = {"lr": inspect.signature(kind).parameters["lr"].default, **options}
    texts = [name] + extra
    for key, value in options.items():
        if isinstance(value, torch.Tensor):
            offered(value.numel() == 1, "a learning rate for each parameter")
            value = float(value)
        if key in ELSEWHERE or key in CHOICES:
            continue
        if key == "eps" and isinstance(value, tuple):  # Adafactor's; None is the unit of the type
            texts.append(f"eps1={float(value[0] or 0)} eps2={float(value[1])}")
            continue
        offered(key in OPTIONS, f"the argument {key}")
        option = OPTIONS[key]
        texts.append(option(value) if callable(option) else f"{option}={float(value)}")
    ruled.add(name)
    return " ".join(texts)


def trained(kind, options, dtype):
    """A network that this optimizer trains, for networks.compare."""
    network = networks.Network(1)
    spec = spec_of(kind, options)
    first = {"kind": "linear", "in": 5, "out": 4, "bias": True, "tie": None}
    last = {"kind": "linear", "in": 4, "out": 2, "bias": True, "tie": None}
    network.dtype, network.embedding, network.sample = dtype, None, [5]
    network.linears = [first, last]
    network.layers = [first, {"kind": "tanh"}, last]
    network.loss, network.outputs, network.n, network.batch = "sw_mse", 2, 6, 3
    network.steps = 10 if dtype == swale.F64 else 4
    more = {"lr": float(options.get("lr", inspect.signature(kind).parameters["lr"].default))}
    more.update({k: float(v) if isinstance(v, torch.Tensor) else v for k, v in options.items()
                 if k not in CHOICES})
    network.rules = [(spec, kind, more)]
    network.schedule = network.average = None
    network.clip, network.estimator, network.by_hand, network.micro, network.open = 0, "minibatch", True, 1, False
    network.maximize = bool(options.get("maximize"))
    network.data()
    return network


def asked_of_torch():
    """The rules whose golden numbers come from PyTorch."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "golden", "rules.h")
    with open(path, encoding="utf-8") as file:
        return set(re.findall(r'{"(\w+)[^"]*", "PyTorch",', file.read()))


def missing_rules():
    index, of_torch = 0, asked_of_torch()
    while rule := lib.sw_rule_at(index):
        name = ctypes.cast(rule + 8, ctypes.POINTER(ctypes.c_char_p))[0].decode()  # after size
        if name in of_torch and name not in ruled:
            yield f"rule {name} is in torch.optim, and no sample has used it: add it to RULES"
        index += 1


def refuses(spec):
    """Whether swale refuses a rule's spec."""
    params = lib.sw_params_new(swale.F64, 1)
    try:
        shape = swale.Shape([2]).expand()
        lib.sw_params_add(params, b"w", shape[0], shape[1], None)
        swale.check(lib.sw_params_build(params))
        optim = lib.sw_optim_new(params, spec.encode())
        refused = not optim
        lib.sw_optim_free(optim)
        lib.sw_clear_error()
        return refused
    finally:
        lib.sw_params_free(params)
