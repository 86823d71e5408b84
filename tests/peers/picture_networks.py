"""Random networks of pictures and sequences in swale and in PyTorch: see networks.py, which trains and compares.

The layers in front of the linear ones are convolutions (also transposed, with groups and dilation), pools and
normalizations. Running statistics are buffers among the parameters: their values after each step, those that an average
gives, and evaluation with them are compared. PyTorch has channels first; every layer is computed on a permuted view.
"""
import math

import torch
import torch.nn.functional as F

import half_networks
import networks
import swale
from networks import compare, shrink
from operations import convolution
from swale import BatchNorm, Conv, Norm, Pool, lib

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
DEFAULT_EPS = 1e-5


class Network(networks.Network):
    """spatial: the lengths of the present picture or sequence while layers are drawn."""
    statistics = True  # batch normalization may have running statistics

    def __init__(self, seed):
        self.pictures = []  # the layers here that have parameters
        super().__init__(seed)
        self.trains = True
        if any(layer["kind"] == "batch_norm" for layer in self.pictures):
            self.micro = 1  # the statistics of two batches are not those of one
        if any(layer["options"].get("axes") for layer in self.pictures):
            self.open = True  # such a layer needs the shape of the samples
        self.freeze_some()

    def freeze_some(self):
        rng = networks.random.Random(self.seed + 2**32)
        for layer in self.pictures:
            layer["freeze"] = rng.random() < 0.1

    # ---- Drawing ----

    def first_layers(self, rng):
        self.axes = rng.choice([1, 2, 2])
        self.spatial = [rng.choice([3, 4, 5, 6, 8]) for _ in range(self.axes)]
        channels = rng.choice([1, 2, 3, 4])
        self.sample = self.spatial + [channels]
        for _ in range(rng.randrange(1, 4)):
            channels = self.convolution(rng, self.layers, channels)
            for draw in (self.normalization, self.activation_of_channels, self.pool):
                if rng.random() < 0.5:
                    draw(rng, self.layers, channels)
            if rng.random() < 0.2:
                self.residual(rng, channels)
        if self.axes == 2 and rng.random() < 0.3:
            self.layers.append({"kind": rng.choice(["global_avg_pool", "global_max_pool"])})
            return channels
        if self.axes == 2 and rng.random() < 0.2:
            self.spatial = [rng.choice([1, 2, 3]), rng.choice([1, 2])]
            self.layers.append({"kind": rng.choice(["adaptive_avg_pool", "adaptive_max_pool"]),
                                "window": tuple(self.spatial)})
        self.layers.append({"kind": "flatten"})
        return math.prod(self.spatial) * channels

    def residual(self, rng, channels):
        inside = []
        self.convolution(rng, inside, channels, channels)
        self.normalization(rng, inside, channels)
        self.layers.append({"kind": "residual", "layers": inside})

    def activation_of_channels(self, rng, layers, channels):
        layers.append({"kind": rng.choice(sorted(networks.ACTIVATIONS) + ["relu", "relu"])})

    def convolution(self, rng, layers, channels, same_as=None):
        """Adds a convolution; returns its channels. same_as: it must keep the shape."""
        groups = rng.choice([g for g in (1, 1, 1, 2, channels) if channels % g == 0])
        outputs = same_as or groups * rng.choice([1, 2, 3, 4])
        kernel = tuple(rng.choice([1, 2, 3, 3]) for _ in self.spatial)
        options = Conv({"groups": groups, "dilation": tuple(rng.choice([1, 1, 1, 2]) for _ in self.spatial)})
        transposed = self.axes == 2 and same_as is None and max(self.spatial) < 6 and rng.random() < 0.25
        if same_as or (not transposed and rng.random() < 0.3):
            options["same"] = True
        else:
            options["stride"] = tuple(rng.choice([1, 1, 2]) for _ in self.spatial)
            options["padding"] = tuple(rng.randrange(k) for k in kernel)
        if transposed:
            options["output_padding"] = tuple(rng.randrange(s) for s in options["stride"])
        lengths = [self.conv_length(i, kernel[i], options, transposed) for i in range(self.axes)]
        if min(lengths) < 1:
            return self.convolution(rng, layers, channels, same_as)
        self.spatial = lengths
        layer = {"kind": "conv_transposed" if transposed else "conv", "in": channels, "out": outputs, "window": kernel,
                 "options": options, "groups": groups, "bias": rng.random() < 0.7}
        options["no_bias"] = not layer["bias"]
        self.pictures.append(layer)
        layers.append(layer)
        return outputs

    def conv_length(self, i, kernel, options, transposed):
        n, reach = self.spatial[i], options["dilation"][i] * (kernel - 1)
        if options.get("same"):
            return n
        stride, padding = options["stride"][i], options["padding"][i]
        if transposed:
            return (n - 1) * stride - 2 * padding + reach + options["output_padding"][i] + 1
        return (n + 2 * padding - reach - 1) // stride + 1 if n + 2 * padding > reach else 0

    def pool(self, rng, layers, channels):
        average = rng.random() < 0.5
        window = tuple(rng.choice([1, 2, 2, 3]) for _ in self.spatial)
        stride = tuple(rng.choice([1, 2, 2]) for _ in self.spatial)
        options = Pool({"stride": stride, "padding": tuple(rng.randrange(w // 2 + 1) for w in window),
                        "ceil_mode": rng.random() < 0.3})
        if average:
            options["exclude_padding"] = rng.random() < 0.5
        layer = {"kind": "avg_pool" if average else "max_pool", "axes": self.axes, "window": window, "options": options}
        try:
            y = self.forward(layer, None, torch.zeros(1, *self.spatial, 1), None, None)
        except RuntimeError:
            return  # no room for a window
        self.spatial = list(y.shape[1:-1])
        layers.append(layer)

    def normalization(self, rng, layers, channels):
        values = math.prod(self.spatial)
        kinds = ["group_norm"] if values * channels > 1 else []
        kinds += ["layer_norm", "rms_norm"] if channels > 1 else []
        kinds += ["batch_norm"] * 4 if values > 1 else []
        if not kinds:
            return
        kind = rng.choice(kinds)
        eps = rng.choice([0, 1e-3, 0.1]) if kind == "batch_norm" else rng.choice([1e-3, 0.1])
        layer = {"kind": kind, "features": channels, "weight": rng.random() < 0.8,
                 "bias": kind != "rms_norm" and rng.random() < 0.8, "statistics": ()}
        more = {"eps": eps, "no_weight": not layer["weight"], "no_bias": not layer["bias"]}
        if kind == "batch_norm":
            layer["options"] = BatchNorm(more)
            layer["options"]["cumulative"] = cumulative = self.statistics and rng.random() < 0.3
            if not cumulative:
                layer["options"]["momentum"] = rng.choice([0, 0.5, 1])
            layer["options"]["no_statistics"] = plain = not self.statistics or rng.random() < 0.1
            if plain:
                layer["options"] |= {"cumulative": False, "momentum": 0}
            layer["statistics"] = () if plain else STATISTICS if cumulative else STATISTICS[:2]
        else:
            layer["options"] = Norm(more)
            layer["lengths"] = [channels]
            if kind != "group_norm" and rng.random() < 0.4:
                layer["lengths"] = self.spatial + [channels]
                layer["options"]["axes"] = len(layer["lengths"])
            if kind == "group_norm":
                layer["groups"] = rng.choice([g for g in range(1, channels + 1) if channels % g == 0 and
                                              (values > 1 or g < channels)])
        self.pictures.append(layer)
        layers.append(layer)

    # ---- Parameters ----

    def parametric(self):
        return self.pictures + super().parametric()

    def initial_values(self, layer, draw):
        if layer not in self.pictures:
            return super().initial_values(layer, draw)
        if "window" in layer:
            inputs, outputs = layer["in"], layer["out"]
            ends = (inputs, outputs // layer["groups"]) if layer["kind"] == "conv_transposed" else \
                (outputs, inputs // layer["groups"])
            size = 1 / math.sqrt(math.prod(layer["window"]) * inputs / layer["groups"])
            return [("weight", draw(ends[0], *layer["window"], ends[1]) * size)] + \
                ([("bias", draw(outputs))] if layer["bias"] else [])
        shape = layer.get("lengths", [layer["features"]])
        values = {"weight": lambda: 1 + 0.3 * draw(*shape), "bias": lambda: draw(*shape),
                  "running_mean": lambda: 0.3 * draw(*shape), "running_var": lambda: 0.5 + draw(*shape).abs(),
                  "num_batches_tracked": lambda: draw() * 0}
        return [(suffix, values[suffix]()) for suffix, _ in self.keys(layer)]

    def keys(self, layer):
        if layer not in self.pictures or "window" in layer:
            return super().keys(layer)
        names = [name for name in ("weight", "bias") if layer[name]] + list(layer["statistics"])
        return [(name, f"{layer['name']}.{name}") for name in names]

    def frozen(self):
        return super().frozen() | {key for key in self.initial if key.endswith(STATISTICS)}

    # ---- In PyTorch ----

    def forward(self, layer, p, x, training, shaken):
        kind, options = layer["kind"], dict(layer.get("options") or {})
        first = x.movedim(-1, 1)
        values = {suffix: p[key] for suffix, key in self.keys(layer)} if "name" in layer else {}
        weight, bias = values.get("weight"), values.get("bias")
        if kind in ("conv", "conv_transposed"):
            del options["no_bias"]
            function = F.conv_transpose2d if kind == "conv_transposed" else F.conv2d if self.axes == 2 else F.conv1d
            return convolution(function)(x, weight, bias, options)
        if kind in ("max_pool", "avg_pool"):
            if "exclude_padding" in options:
                options["count_include_pad"] = not options.pop("exclude_padding")
            return getattr(F, f"{kind}{layer['axes']}d")(first, layer["window"], **options).movedim(1, -1)
        if kind.startswith(("adaptive", "global")):
            function = F.adaptive_avg_pool2d if "avg" in kind else F.adaptive_max_pool2d
            y = function(first, layer.get("window", 1)).movedim(1, -1)
            return y if "window" in layer else y.flatten(1)
        if not kind.endswith("_norm"):
            return NotImplemented
        eps = options.get("eps") or DEFAULT_EPS
        x, watch = self.with_terms(layer, x, weight, eps, shaken)
        first = x.movedim(-1, 1)
        if kind == "group_norm":
            y = F.group_norm(first, layer["groups"], weight, bias, eps).movedim(1, -1)
        elif kind == "layer_norm":
            y = F.layer_norm(x, layer["lengths"], weight, bias, eps)
        elif kind == "rms_norm":
            y = F.rms_norm(x, layer["lengths"], weight, eps)
        else:
            y = self.batch_norm(layer, values, first, training, eps).movedim(1, -1)
        if y.requires_grad:
            y.register_hook(watch)
        return y

    def with_terms(self, layer, x, weight, eps, shaken):
        """(x, function that notes the cotangent of the result). The gradient of x is a difference of terms as large as
        cotangent · weight / deviation, and rounding errors are relative to them, not to what is left."""
        largest = [0.0]
        groups = x.detach().movedim(-1, 0).flatten(1) if layer["kind"] == "batch_norm" else \
            x.detach().movedim(-1, 1).reshape(x.shape[0] * layer["groups"], -1) if layer["kind"] == "group_norm" else \
            x.detach().flatten(-len(layer["lengths"]))
        squares = groups.square().mean(-1) if layer["kind"] == "rms_norm" else groups.var(-1, correction=0)
        factor = float(torch.rsqrt(squares + eps).max()) * (1.0 if weight is None else float(weight.abs().max()))

        def watch(g):
            largest[0] = float(g.abs().max())

        def noise(g):
            terms = torch.full_like(g, factor * largest[0])
            return g + (shaken(terms) - terms)
        if x.requires_grad:
            x = x * 1
            x.register_hook(noise)
        return x, watch

    def batch_norm(self, layer, values, first, training, eps):
        mean, variance, count = (values.get(name) for name in STATISTICS)
        batch = mean is None or (training is not None and not layer.get("freeze"))
        momentum = layer["options"].get("momentum") or 0.1
        if mean is not None and batch:
            if training == "moving" and count is not None:
                count += 1
                momentum = 1 / float(count)
            if training == "still":
                mean, variance = mean.clone(), variance.clone()
        return F.batch_norm(first, mean, variance, values.get("weight"), values.get("bias"), batch, momentum, eps)

    # ---- In swale ----

    def make(self, layer, model):
        kind = layer["kind"]
        options = layer["options"].expand() if "options" in layer else []
        if kind == "conv":
            new = lib.sw_nn_conv2d_with_options if self.axes == 2 else lib.sw_nn_conv1d_with_options
            return new(model, 0 if self.open else layer["in"], layer["out"], *layer["window"], *options)
        if kind == "conv_transposed":
            return lib.sw_nn_conv2d_transposed_with_options(model, 0 if self.open else layer["in"], layer["out"],
                                                            *layer["window"], *options)
        if kind in ("max_pool", "avg_pool"):
            return getattr(lib, f"sw_nn_{kind}{layer['axes']}d_with_options")(model, *layer["window"], *options)
        if kind.startswith(("adaptive", "global")):
            return getattr(lib, f"sw_nn_{kind}2d")(model, *layer.get("window", ()))
        if kind.endswith("_norm"):
            lengths = [layer["groups"]] if kind == "group_norm" else []
            return getattr(lib, f"sw_nn_{kind}_with_options")(model, *lengths, 0 if self.open else layer["features"],
                                                              *options)
        return None


class HalfNetwork(Network, half_networks.Network):
    """Running statistics move by what swale reports, which PyTorch's optimizer cannot know: without them."""
    statistics = False


class Half:
    """The module of networks of pictures in 16 bits, for check_graphs.py."""
    Network, compare, shrink = HalfNetwork, staticmethod(half_networks.compare), staticmethod(half_networks.shrink)
