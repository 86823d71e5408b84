"""Random graphs of operations in swale and in PyTorch, and their comparison: see check_graphs.py."""
import math
import random

import torch

import swale
from operations import OPERATIONS, Retry
from swale import Axes, Options, Parts, lib

# ---- Tolerance -------------------------------------------------------------------------------------------
#
# The reference is PyTorch in f64, also for graphs in f32, whose leaves are f32 numbers exactly. An operation
# computes its result from its inputs with errors that are relative to its inputs, to its result and, in
# backward, to its cotangent: about 8 u for an elementary function (kernel_math.h: below 4 ulp), n u for a sum
# of n terms; u = 2^-53, and 2^-24 in f32. To first order, the error of a number is therefore u times a linear
# form in those relative errors. PyTorch runs a second time with every input, result and cotangent of every
# operation multiplied by 1 + η ξ, with random ξ in [-1, 1] and η = 2^-33. The change divided by η is C, the value
# of the same linear form for these random numbers. (η is far above u, so that the rounding error of C is 1e-6 of
# it, and far below the margins at kinks.) Therefore
#
#     |swale - PyTorch| ≤ K u (max |reference| + max C), over the array, K = 64 + 2 n,
#
# where n is the longest reduction. 64 is the 8 u of both sides times a factor of 4, because a random draw of ξ does
# not show the worst case; there are three draws. If the first term suffices, C is not computed. An additional error
# of K times the smallest normal number is allowed for subnormal numbers.

ETA = 2.0**-33
UNIT = {swale.F64: 2.0**-53, swale.F32: 2.0**-24}
TINY = {swale.F64: 2.0**-1022, swale.F32: 2.0**-126}
MARGIN = {swale.F64: 1e-6, swale.F32: 5e-3}  # to a kink, of what is rounded
DRAWS = 3

KINDS = {"real": None, "ids": torch.int32, "mask": torch.uint8}


# ---- Graphs ----


class Node:
    """A leaf (name "leaf") or a call. Values are those of the build: f64, i32, u8."""

    def __init__(self, name, args, value, kind, exact):
        self.name, self.args, self.value, self.kind, self.exact = name, args, value, kind, exact
        self.how = None  # of a leaf: input, input_copy, variable, param, frozen, constant
        self.type = None  # the type in swale; None: that of the graph, of ids and masks their own
        self.master = None  # of a parameter in 16 bits: the numbers of which the value is rounded
        self.usable = True
        self.index = -1
        self.released = self.retained = False

    @property
    def shape(self):
        return tuple(self.value.shape)

    @property
    def rank(self):
        return self.value.dim()

    @property
    def real(self):
        return self.kind == "real"

    def inputs(self):
        found = []
        for argument in self.args:
            if isinstance(argument, Node):
                found.append(argument)
            elif isinstance(argument, Parts):
                found.extend(argument)
            elif isinstance(argument, Options):
                found.extend(value for value in argument.values() if isinstance(value, Node))
        return found


class Graph:
    def __init__(self, seed, dtype):
        self.seed, self.dtype = seed, dtype
        self.nodes, self.roots = [], []  # roots: (node, cotangent; None for a scalar)
        self.keep = False
        self.train = True

    def type_of(self, node):
        own = {"real": self.dtype, "ids": swale.I32, "mask": swale.U8}[node.kind]
        return own if node.type is None else node.type

    def add(self, node):
        node.index = len(self.nodes)
        self.nodes.append(node)
        return node


def needs_gradient(nodes):
    """Indices of nodes through which a gradient flows to a leaf."""
    needs = set()
    for node in nodes:
        if node.name == "leaf":
            if node.how in ("variable", "param"):
                needs.add(node.index)
        elif node.real and node.name not in ("sw_detach", "sw_argmax", "sw_accuracy"):
            if any(i.index in needs for i in node.inputs() if i.real):
                needs.add(node.index)
    return needs


class Builder:
    """Draws a graph: operations in random order on existing nodes and on new leaves."""

    def __init__(self, seed):
        self.rng = rng = random.Random(seed)
        self.dtype = swale.F32 if rng.random() < 0.2 else swale.F64
        self.graph = Graph(seed, self.dtype)
        self.graph.train = self.train = rng.random() < 0.5
        self.grid = rng.random() < 0.35  # leaves on a grid: ties
        self.lengths = rng.choice([[1, 2, 3, 4], [2, 3, 5], [1, 2, 3, 8, 17], [0, 1, 2, 3], [3, 33], [1, 2]])
        self.limit = 1e4 if self.dtype == swale.F64 else 1e3
        self.torch = torch.Generator().manual_seed(seed)

    # What operations ask for

    def choice(self, items):
        return self.rng.choice(items)

    def number(self, size):
        """A multiple of 1/4, which is exact in f32."""
        return self.rng.randrange(-int(4 * size), int(4 * size) + 1) / 4

    def length(self):
        return self.rng.choice(self.lengths)

    def axis(self, rank):
        return self.rng.randrange(-rank, rank)

    def axes(self, rank):
        if self.rng.random() < 0.25:
            return Axes.ALL
        chosen = self.rng.sample(range(rank), self.rng.randrange(0 if self.rng.random() < 0.1 else min(1, rank),
                                                                 rank + 1))
        return Axes(a - rank if self.rng.random() < 0.4 else a for a in chosen)

    def related(self, shape):
        """A shape that broadcasts with this one."""
        shape = [1 if self.rng.random() < 0.2 else n for n in shape]
        if self.rng.random() < 0.3:
            shape = shape[self.rng.randrange(len(shape) + 1):]
        elif self.rng.random() < 0.15 and len(shape) < 4:
            shape = [self.rng.choice([1, 2])] + shape
        return shape

    def find(self, fits):
        found = [n for n in self.graph.nodes if n.usable and fits(n)]
        if not found:
            return None
        return found[-1 - min(int(self.rng.expovariate(0.35)), len(found) - 1)]

    def leaf(self, shape, domain="real", how=None):
        shape = [int(n) for n in shape]
        if math.prod(shape) > 20000:
            raise Retry
        draw = torch.randn(shape, generator=self.torch, dtype=torch.float64)
        if self.grid:
            draw = (draw * 2).round() / 2
        if domain == "positive":
            draw = draw.abs() + 0.25
        elif domain == "nonzero":
            draw = torch.where(draw < 0, draw - 0.25, draw + 0.25)
        elif domain == "unit":
            draw = torch.sigmoid(draw) if not self.grid else (draw.abs() / 4).clamp(0, 1)
        elif domain == "sign":
            draw = torch.where(draw < 0, -1.0, 1.0).to(torch.float64)
        if self.dtype == swale.F32:
            draw = draw.to(torch.float32).to(torch.float64)
        node = Node("leaf", [], draw, "real", True)
        node.how = how or self.rng.choices(["variable", "input", "input_copy", "param", "frozen"],
                                           [50, 15, 5, 25, 5])[0]
        if not shape and how is None and self.rng.random() < 0.3:
            node.how = "constant"
        return self.graph.add(node)

    def real(self, domain="real", least=0, most=8, exactly=None, filled=False):
        if exactly is not None:
            least = most = exactly
        low = {"positive": 0.2, "nonzero": 0.2}.get(domain)

        def fits(n):
            if not (n.real and least <= n.rank <= most) or (filled and 0 in n.shape):
                return False
            if low is None or not n.value.numel():
                return True
            return bool(((n.value.abs() if domain == "nonzero" else n.value) > low).all())
        found = self.find(fits) if self.rng.random() < 0.85 else None
        if found is not None:
            return found
        rank = self.rng.choice([0, 1, 1, 2, 2, 2, 3, 3, 4])
        shape = [self.length() for _ in range(min(max(rank, least), most))]
        if filled:
            shape = [max(1, n) for n in shape]
        return self.leaf(shape, domain)

    def any(self, least=0, most=8):
        if self.rng.random() < 0.12:
            found = self.find(lambda n: not n.real and least <= n.rank <= most)
            if found is not None:
                return found
        return self.real(least=least, most=most)

    def broadcasting(self, count):
        from operations import fits
        x = self.real()
        y = None
        if self.rng.random() < 0.6:
            y = self.find(lambda n: n.real and fits(n.shape, x.shape))
        y = y or self.leaf(self.related(x.shape))
        return [x, y] if self.rng.random() < 0.5 else [y, x]

    def divided(self):
        from operations import fits
        x, y = self.broadcasting(2)
        if not (y.value.abs() > 0.2).all():
            y = self.find(lambda n: n.real and fits(n.shape, x.shape) and
                          bool((n.value.abs() > 0.2).all())) if self.rng.random() < 0.5 else None
            y = y or self.leaf(self.related(x.shape), "nonzero")
        return [x, y]

    def equal_pair(self, domain):
        p = self.real()
        if domain == "real" and self.rng.random() < 0.6:
            t = self.find(lambda n: n.real and n.shape == p.shape)
        else:
            t = None
        t = t or self.leaf(p.shape, domain)
        return [p, t]

    def mask(self, shape, kind=None):
        value = torch.randint(0, 2, [int(n) for n in shape], generator=self.torch)
        kind = kind or self.choice(["mask", "ids"])
        node = Node("leaf", [], value.to(KINDS[kind]), kind, True)
        node.how = "input"
        return self.graph.add(node)

    def ids(self, shape, below):
        shape = [int(n) for n in shape]
        if below == 0 and math.prod(shape):
            raise Retry
        found = self.find(lambda n: n.kind == "ids" and n.shape == tuple(shape) and
                          (not n.value.numel() or (n.value.min() >= 0 and n.value.max() < below)))
        if found is not None and self.rng.random() < 0.5:
            return found
        value = torch.randint(0, max(1, below), shape, generator=self.torch).to(torch.int32)
        node = Node("leaf", [], value, "ids", True)
        node.how = "input"
        return self.graph.add(node)

    def distributions(self, shape):
        value = torch.rand(list(shape), generator=self.torch, dtype=torch.float64) + 0.01
        value = value / value.sum(-1, keepdim=True)
        if self.dtype == swale.F32:
            value = value.to(torch.float32).to(torch.float64)
        node = Node("leaf", [], value, "real", True)
        node.how = self.rng.choice(["variable", "input", "input"])
        return self.graph.add(node)

    def constant(self, shape, domain):
        """A leaf without gradient that broadcasts to this shape."""
        shape = [1 if self.rng.random() < 0.2 else n for n in shape]
        if self.rng.random() < 0.3:
            shape = shape[self.rng.randrange(len(shape) + 1):]
        return self.leaf(shape, domain, "input")

    def divergence(self):
        q = self.real(least=1, filled=True)
        t = self.distributions(q.shape)
        # For a target of 0, the derivative of PyTorch is NaN; that of swale is 0, as documented.
        if self.rng.random() < 0.3 and t.value.numel() > 1 and t.how == "input":
            t.value.view(-1)[self.rng.randrange(t.value.numel())] = 0
        return [q, t]

    # The graph

    def step(self):
        name = self.rng.choice(DRAWN)
        op = OPERATIONS[name]
        before = len(self.graph.nodes)
        try:
            args = op.draw(self)
            node = Node(name, args, None, "real", False)
            if sum(i.value.numel() for i in node.inputs()) > 60000:
                raise Retry
            with torch.no_grad():
                values = arguments(node, lambda n: n.value)
                result = op.torch(*values)
                self.check(node, op, values, result)
        except (Retry, RuntimeError, IndexError):
            del self.graph.nodes[before:]
            return
        node.kind = {torch.int32: "ids", torch.uint8: "mask"}.get(result.dtype, "real")
        node.value = self.stored(node, result.detach())
        node.exact = op.exact and all(i.exact for i in node.inputs())
        node.usable = not node.real or bool(torch.isfinite(node.value).all())
        self.graph.add(node)

    def stored(self, node, value):
        """The value of a new node, as the graph keeps it."""
        return value

    def cast_input(self):
        return self.real()

    def cast_type(self):
        return self.dtype

    def check(self, node, op, values, result):
        """Retries a draw where a rounding error could decide, or whose result is large, not finite, or has too many
        elements."""
        if result.numel() > 20000 or result.dim() > swale.MAX_RANK:
            raise Retry
        if result.dtype == torch.float64 and result.numel():
            finite = torch.isfinite(result)
            if not finite.all() and all(i.value.numel() for i in node.inputs()) and name_is_not_var(node):
                raise Retry
            if finite.any() and result[finite].abs().max() > self.limit:
                raise Retry
        real = [i for i in node.inputs() if i.real]
        # The difference of a tensor and itself is 0 on both sides, but its elements may be 0 on one side alone.
        equal = len(real) == 2 and real[0] is real[1] and not node.name.startswith("sw_logical")
        if op.kink and not all(i.exact for i in real) and not equal:
            distance = op.kink(*values)
            size = max([1.0] + [float(i.value.abs().max()) for i in real if i.value.numel()])
            if distance.numel() and float(distance.abs().min()) < MARGIN[self.dtype] * size:
                raise Retry

    def build(self):
        rng = self.rng
        if rng.random() < 0.03:
            self.leaf([rng.choice([4100, 9000, 2 * 4096])])
        elif rng.random() < 0.03:
            self.leaf([rng.choice([70, 130]), rng.choice([65, 120])])
        for _ in range(rng.randrange(2, 16)):
            self.step()
        g = self.graph
        needs = needs_gradient(g.nodes)
        used = {i.index for node in g.nodes for i in node.inputs()}
        possible = [n for n in g.nodes if n.index in needs and n.name != "leaf" and
                    (n.usable or rng.random() < 0.2)]
        g.keep = rng.random() < 0.15
        releasing = rng.random() < 0.5
        released = rng.choice([0.5, 1])  # the share of intermediates
        several = not releasing and rng.random() < 0.7
        sinks = [n for n in possible if n.index not in used]
        for _ in range(rng.randrange(1, 4) if several else 1):
            if not possible:
                break
            node = rng.choice(sinks if sinks and rng.random() < 0.8 else possible)
            cotangent = torch.randn(node.shape, generator=self.torch, dtype=torch.float64)
            cotangent = cotangent.to(torch.float32).to(torch.float64)
            scalar = node.value.numel() == 1 and rng.random() < 0.5
            g.roots.append((node, None if scalar else cotangent))
        for node in g.nodes:
            if node.index in needs and rng.random() < 0.3:
                node.retained = True
            if releasing and node.name != "leaf" and node.index in used and rng.random() < released and \
                    not any(node is root for root, _ in g.roots):
                node.released = True
        return g


def name_is_not_var(node):
    return node.name not in ("sw_var_over", "sw_std_over", "sw_logsumexp_over", "sw_mean_over", "sw_norm_over")


NAMES = sorted(OPERATIONS)
DRAWN = NAMES + ["sw_reshape"] * 5  # the only view: it shares memory with what may be released


def arguments(node, value):
    """The arguments with value(node) in the place of nodes."""
    result = []
    for argument in node.args:
        if isinstance(argument, Node):
            argument = value(argument)
        elif isinstance(argument, Parts):
            argument = Parts(value(part) for part in argument)
        elif isinstance(argument, Options):
            argument = type(argument)((key, value(v) if isinstance(v, Node) else v) for key, v in argument.items())
        result.append(argument)
    return result


# ---- In PyTorch ----


def noisy(x, generator, forward, size=None):
    """x, its relative errors up to η; the cotangent likewise, or relative to size() if that is larger."""
    def noise():
        return ETA * (2 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 1)
    if x.requires_grad:
        x = x * 1
        x.register_hook(lambda g: g + noise() * (g.abs().clamp(min=size()) if size else g))
    return x * (1 + noise()) if forward else x


def run_torch(graph, generator=None):
    """({index: value}, {index: gradient}); with a generator, of everything times 1 + η ξ."""
    needs = needs_gradient(graph.nodes)
    value = {}
    watched = {}
    for node in graph.nodes:
        if node.name == "leaf":
            x = node.value.detach()
            if node.how in ("variable", "param"):
                x = x.clone().requires_grad_()
        else:
            op = OPERATIONS[node.name]
            inputs = [i for i in node.inputs() if i.real]
            tied = op.exact or (op.kink and all(i.exact for i in inputs))

            largest = [0.0]  # cotangent
            # The terms of var are as large as its input times the cotangent, those of others as the cotangent.
            scale = size_of(inputs[0].value) if node.name == "sw_var_over" else 1.0
            size = (lambda largest=largest, scale=scale: scale * largest[0]) if op.mixes else None

            def input_value(i):
                x = value[i.index]
                return noisy(x, generator, not tied, size) if generator and i.real and not tied else x
            if generator and op.slope:
                z = input_value(node.args[0])
                y = noisy(op.torch(z.detach()), generator, True)
                x = y + op.slope(y) * (z - z.detach())
            else:
                x = op.torch(*arguments(node, input_value))
            if generator and op.mixes and x.requires_grad and x.numel():
                x.register_hook(lambda g, largest=largest: largest.__setitem__(0, float(g.abs().max())))
            if generator and node.real and node.value.numel():
                x = noisy(x, generator, not node.exact and not op.exact)
                if node.name in ("sw_gru", "sw_gru_cell"):  # 1 - z loses the digits of a gate z near 1
                    x = x + ETA * size_of(x.detach()) * (2 * torch.rand(x.shape, generator=generator, dtype=x.dtype) - 1)
        if node.index in needs:
            if not x.requires_grad:  # a result that depends on no input: the last state of no steps
                x = x.detach().requires_grad_()
            x.retain_grad()
            watched[node.index] = x
        value[node.index] = x
    if graph.roots:
        cotangents = [torch.ones_like(root.value) if c is None else c for root, c in graph.roots]
        if generator:  # swale runs backward once for each, and gradients of the passes may cancel
            cotangents = [noisy(c, generator, True) for c in cotangents]
        torch.autograd.backward([value[root.index] for root, _ in graph.roots], cotangents)
    gradient = {index: x.grad for index, x in watched.items()}
    return {index: x.detach() for index, x in value.items()}, gradient


# ---- In swale ----


def numpy_of(value, kind):
    return swale.stored(value.numpy(), kind)


class Params:
    """The parameters of a graph: one for each leaf that is a parameter."""

    def __init__(self, graph):
        self.params, self.of = None, {}
        leaves = [n for n in graph.nodes if n.how in ("param", "frozen")]
        if not leaves:
            return
        self.params = lib.sw_params_new(graph.dtype, 0)
        for node in leaves:
            shape = swale.Shape(node.shape).expand()
            param = lib.sw_params_add(self.params, b"p%d" % node.index, shape[0], shape[1], None)
            if not param:
                raise swale.Refused(lib.error())
            self.of[node.index] = param
        swale.check(lib.sw_params_build(self.params))
        for node in leaves:
            view = lib.sw_param_value(self.of[node.index])
            values = numpy_of(node.value if node.master is None else node.master, view.type)
            swale.ctypes.memmove(view.data, values.ctypes.data, values.nbytes)
            lib.sw_param_freeze(self.of[node.index], node.how == "frozen")
        lib.sw_params_mark_changed(self.params)

    def free(self):
        lib.sw_params_free(self.params)


def swale_leaf(graph, tape, node, params, kept):
    if node.how in ("param", "frozen"):
        return lib.sw_param_use(tape, params.of[node.index])
    if node.how == "constant":
        return lib.sw_constant(tape, graph.type_of(node), float(node.value))
    values = numpy_of(node.value, graph.type_of(node))
    make = {"input": lib.sw_input, "input_copy": lib.sw_input_copy, "variable": lib.sw_variable}[node.how]
    if node.how != "input_copy":
        kept.append(values)
    return make(tape, swale.array_of(values, graph.type_of(node)))


def run_swale(graph, tape, everything=False):
    """As run_torch, with swale. Values are read at the end, or when a tensor is released. `everything`: no tensor is
    released, and all gradients are kept."""
    lib.sw_tape_reset(tape)
    lib.sw_tape_set_switch(tape, swale.KEEP, graph.keep or everything)
    lib.sw_tape_set_switch(tape, swale.TRAIN, graph.train)
    kept, tensor, value, gradient = [], {}, {}, {}
    last = {i.index: node.index for node in graph.nodes for i in node.inputs()}
    params = Params(graph)
    try:
        for node in graph.nodes:
            if node.name == "leaf":
                t = swale_leaf(graph, tape, node, params, kept)
                if not t.tape:
                    raise swale.Refused(lib.error())
            else:
                args = arguments(node, lambda n: tensor[n.index])
                t = swale.split(*args[:4])[args[4]] if node.name == "sw_split" else swale.call(node.name, args)
            tensor[node.index] = t
            own, wanted = (swale.TYPE_NAMES[kind] for kind in (lib.sw_value(t).type, graph.type_of(node)))
            if own != wanted:
                raise swale.Refused(f"{node.name} of t{node.index} has the type {own}, not {wanted}")
            if node.retained or (everything and node.real):
                lib.sw_retain_grad(t)
            for i in {i.index: i for i in node.inputs()}.values():
                if i.released and not everything and last[i.index] == node.index:
                    value[i.index] = swale.numbers(lib.sw_value(tensor[i.index]))
                    lib.sw_release(tensor[i.index])
        for node in graph.nodes:
            if node.index not in value:
                value[node.index] = swale.numbers(lib.sw_value(tensor[node.index]))
        for root, cotangent in graph.roots:
            if cotangent is None:
                swale.check(lib.sw_backward(tensor[root.index]))
            else:
                values = numpy_of(cotangent, graph.type_of(root))
                swale.check(lib.sw_backward_from(tensor[root.index],
                                                 swale.array_of(values, graph.type_of(root))))
        for node in graph.nodes:
            if node.how == "param":
                if graph.roots and not lib.sw_gradient_is_fresh(lib.sw_params_gradient(params.params)):
                    gradient[node.index] = swale.numbers(lib.sw_param_grad(params.of[node.index]))
            elif node.how == "variable" or (node.real and everything) or \
                    ((node.retained or graph.keep) and not node.released):
                gradient[node.index] = swale.numbers(lib.sw_grad(tensor[node.index]))
        text = lib.error()
        if text:
            raise swale.Refused("an error is left: " + text)
        return value, gradient
    finally:
        lib.sw_clear_error()
        lib.sw_tape_reset(tape)
        params.free()


# ---- Comparison ----


def longest_reduction(graph):
    return max([1] + [longest_sum(n) for n in graph.nodes if n.name != "leaf"])


def longest_sum(node):
    """The largest number of terms of a sum in an operation or its vjp."""
    inputs = [i for i in node.inputs() if i.value.numel()]
    if node.name.startswith("sw_conv") and inputs:  # over a kernel, or over the pixels of a batch
        return max(math.prod(i.shape[:-1]) for i in inputs + [node]) * max(i.shape[-1] for i in inputs)
    if "_norm" in node.name and node.name != "sw_norm_over" and inputs:  # over a group, or all rows
        return max(i.value.numel() for i in inputs)
    if node.name == "sw_matmul":
        return max([1] + [max(i.shape) for i in inputs])
    return max([1] + [i.value.numel() // max(1, node.value.numel()) for i in inputs])


def worst(got, reference):
    """The largest difference; infinite if NaN or infinities are at different positions."""
    if got.shape != tuple(reference.shape):
        return math.inf
    if not reference.numel():
        return 0.0
    got = torch.from_numpy(got.copy()).to(torch.float64)
    reference = reference.to(torch.float64)
    finite = torch.isfinite(reference)
    if not finite.all():
        same = (got == reference) | (torch.isnan(got) & torch.isnan(reference))
        if not same[~finite].all():
            return math.inf
        got, reference = got[finite], reference[finite]
    if not got.numel():
        return 0.0
    difference = float((got - reference).abs().max())
    return difference if not math.isnan(difference) else math.inf


def size_of(x):
    x = x[torch.isfinite(x)] if x.is_floating_point() else x
    return float(x.abs().max()) if x.numel() else 0.0


class Mismatch:
    def __init__(self, graph, what, index, text):
        self.graph, self.what, self.index, self.text = graph, what, index, text


def compare(graph, tape):
    """None, or the first mismatch."""
    reference, gradients = run_torch(graph)
    try:
        value, gradient = run_swale(graph, tape)
    except swale.Refused as error:
        return Mismatch(graph, "refused", -1, f"swale refuses: {error}")
    unit = UNIT[graph.dtype]
    k = 64 + 2 * longest_reduction(graph)
    # A cotangent that is not finite gives 0 ∞, for which the two sides may return different derivatives.
    with_gradients = all(torch.isfinite(root.value).all() for root, _ in graph.roots)
    pairs = [("value", i, x, reference[i]) for i, x in value.items()]
    for i, x in gradient.items() if with_gradients else []:
        wanted = gradients.get(i)
        if x is None and wanted is None:
            continue
        wanted = torch.zeros(graph.nodes[i].shape, dtype=torch.float64) if wanted is None else wanted
        x = wanted.numpy() * 0 if x is None else x
        pairs.append(("gradient", i, x, wanted))
    doubtful = []
    for what, i, got, wanted in pairs:
        difference = worst(got, wanted)
        if difference > k * (unit * size_of(wanted) + TINY[graph.dtype]):
            doubtful.append((what, i, got, wanted, difference))
    if not doubtful:
        return None
    condition = {}
    for draw in range(DRAWS):
        generator = torch.Generator().manual_seed(graph.seed * DRAWS + draw)
        moved, moved_gradients = run_torch(graph, generator)
        for what, i, got, wanted, difference in doubtful:
            other = moved[i] if what == "value" else moved_gradients.get(i)
            change = size_of(other - wanted) / ETA if other is not None and wanted.numel() else 0.0
            condition[what, i] = max(condition.get((what, i), 0.0), change)
    doubtful.sort(key=lambda d: (d[0] != "value", d[1] if d[0] == "value" else -d[1]))
    for what, i, got, wanted, difference in doubtful:
        tolerance = k * (unit * (size_of(wanted) + condition[what, i]) + TINY[graph.dtype])
        if not difference <= tolerance:
            return Mismatch(graph, what, i, f"{what} of t{i}: difference {difference:.3g}, tolerance "
                            f"{tolerance:.3g} (size {size_of(wanted):.3g}, condition {condition[what, i]:.3g})\n"
                            + both(got, wanted, tolerance))
    return None


def both(got, wanted, tolerance):
    """Both arrays, or the positions at which they differ if they are long."""
    if got.shape != tuple(wanted.shape):
        return f"swale has shape {list(got.shape)}, PyTorch {list(wanted.shape)}"
    if got.size <= 24:
        return f"swale   {got.tolist()}\nPyTorch {wanted.tolist()}"
    reference = wanted.numpy()
    places = [p for p in zip(*(~(abs(got - reference) <= tolerance)).nonzero())]
    lines = [f"  at {[int(i) for i in p]}: swale {got[p]!r}, PyTorch {reference[p]!r}" for p in places[:5]]
    return "\n".join(lines + [f"  {len(places)} of {got.size} elements"])


# ---- Reduction of a failing graph ----


def reduced_to(graph, nodes_needed, cut, roots):
    """A copy in which the nodes in `cut` are leaves, without nodes that are not needed."""
    copy = Graph(graph.seed, graph.dtype)
    copy.keep, copy.train = graph.keep, graph.train
    wanted, stack = set(), list(nodes_needed)
    while stack:
        node = stack.pop()
        if node.index in wanted:
            continue
        wanted.add(node.index)
        if node.index not in cut:
            stack.extend(node.inputs())
    made = {}
    for node in graph.nodes:
        if node.index not in wanted:
            continue
        if node.index in cut and node.name != "leaf":
            new = Node("leaf", [], node.value, node.kind, True)
            if copy.dtype == swale.F32 and node.real:
                new.value = node.value.to(torch.float32).to(torch.float64)
            new.type = node.type
            new.how = "variable" if node.real else "input"
        else:
            new = Node(node.name, arguments(node, lambda n: made[n.index]), node.value, node.kind, node.exact)
            new.how, new.type, new.master = node.how, node.type, node.master
        new.released, new.retained = node.released and not new.how, node.retained
        made[node.index] = copy.add(new)
    copy.roots = [(made[root.index], c) for root, c in roots]
    needs = needs_gradient(copy.nodes)
    if any(root.index not in needs for root, _ in copy.roots):
        return None
    return copy


def shrink(graph, tape, compare=compare):
    """The smallest failing graph that was found, and its mismatch."""
    mismatch = compare(graph, tape)
    improved = True
    while improved:
        improved = False
        candidates = []
        if mismatch.what == "value":
            candidates.append(lambda g: reduced_to(g, [g.nodes[mismatch.index]], set(), []))
        for k in range(len(graph.roots)):
            candidates.append(lambda g, k=k: reduced_to(
                g, [r for i, (r, _) in enumerate(g.roots) if i != k] or g.nodes[-1:], set(),
                [r for i, r in enumerate(g.roots) if i != k]))
        candidates.append(lambda g: reduced_to(g, [r for r, _ in g.roots] or g.nodes[-1:], set(), g.roots))
        for node in reversed(graph.nodes):
            if node.name != "leaf" and not any(node is r for r, _ in graph.roots):
                candidates.append(lambda g, n=node: reduced_to(
                    g, [r for r, _ in g.roots] or g.nodes[-1:], {n.index}, g.roots))
        for how in ("keep", "released", "retained"):
            def plain(g, how=how):
                copy = reduced_to(g, g.nodes, set(), g.roots)
                if copy and how == "keep":
                    copy.keep = False
                for n in copy.nodes if copy and how != "keep" else []:
                    setattr(n, how, False)
                return copy
            if graph.keep if how == "keep" else any(getattr(n, how) for n in graph.nodes):
                candidates.append(plain)
        for make in candidates:
            try:
                smaller = make(graph)
                if smaller is None or measure(smaller) >= measure(graph):
                    continue
                found = compare(smaller, tape)
            except (RuntimeError, IndexError, KeyError):
                continue
            if found is not None and found.what == mismatch.what:
                graph, mismatch, improved = smaller, found, True
                break
    return graph, mismatch


def measure(graph):
    return (sum(n.name != "leaf" for n in graph.nodes), len(graph.nodes), len(graph.roots), graph.keep,
            sum(n.released + n.retained for n in graph.nodes))


def c_value(x):
    x = float(x)
    return "NAN" if math.isnan(x) else ("-" if x < 0 else "") + "INFINITY" if math.isinf(x) else repr(x)


def c_text(graph):
    """The graph as C code."""
    lines = []
    for node in graph.nodes:
        name = f"t{node.index}"
        shape = swale.Shape(node.shape).text()
        if node.name == "leaf":
            kind = graph.type_of(node)
            if node.how == "constant":
                lines.append(f"sw_tensor {name} = sw_constant(tape, {swale.TYPE_NAMES[kind]}, "
                             f"{c_value(node.value)});")
                continue
            stored = numpy_of(node.value, kind).reshape(-1)
            values = ", ".join(c_value(v) if kind in (swale.F32, swale.F64) else str(int(v)) for v in stored)
            lines.append(f"{swale.C_NAMES[kind]} a{node.index}[] = {{{values}}};")
            array = f"sw_array_view(a{node.index}, {swale.TYPE_NAMES[kind]}, {shape})"
            call = {"param": "sw_variable", "frozen": "sw_input"}.get(node.how, "sw_" + node.how)
            note = f" /* a parameter, {node.how} */" if node.how in ("param", "frozen") else ""
            lines.append(f"sw_tensor {name} = {call}(tape, {array});{note}")
        elif node.name == "sw_split":
            x, axis, count, lengths, which = node.args
            lines.append(f"sw_tensor s{node.index}[{count}]; sw_split(t{x.index}, {axis}, {count}, "
                         f"{lengths.text() if lengths is not None else 'NULL'}, s{node.index}); "
                         f"sw_tensor {name} = s{node.index}[{which}];")
        else:
            texts = []
            for a in node.args:
                if isinstance(a, Node):
                    texts.append(f"t{a.index}")
                elif isinstance(a, Parts):
                    texts.append("SW_TENSORS(" + ", ".join(f"t{p.index}" for p in a) + ")")
                elif a is None:
                    texts.append("(sw_tensor){0}")
                elif hasattr(a, "text"):
                    texts.append(a.text())
                else:
                    texts.append(str(a).lower() if isinstance(a, bool) else
                                 c_value(a) if isinstance(a, float) else str(a))
            lines.append(f"sw_tensor {name} = {node.name}({', '.join(texts)}); /* {list(node.shape)} */")
        if node.retained:
            lines.append(f"sw_retain_grad({name});")
        if node.released:
            lines.append(f"/* sw_release({name}) after its last use */")
    for root, c in graph.roots:
        if c is None:
            lines.append(f"sw_backward(t{root.index});")
        else:
            lines.append(f"sw_backward_from(t{root.index}, /* cotangent */ {c.tolist()});")
    head = f"/* seed {graph.seed}, {swale.TYPE_NAMES[graph.dtype]}"
    head += f"{', SW_KEEP' if graph.keep else ''}{'' if graph.train else ', SW_TRAIN off'} */"
    return "\n".join([head] + lines)
