"""Calls libswale.so through ctypes: the functions of the public headers, with the types that the headers declare.

SWALE_BUILD names the folder of libswale.so (default: build). A function whose declaration holds a type that
is not in TYPES (callbacks, variable arguments) has no entry in `lib`.
"""
import copy
import ctypes
import os
import re

import numpy as np

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(TOP, os.environ.get("SWALE_BUILD", "build"))

F32, F64, F16, BF16, I32, U8, I64 = range(7)
NUMPY = {F32: np.float32, F64: np.float64, I32: np.int32, U8: np.uint8, I64: np.int64}
TYPE_OF = {np.dtype(kind): number for number, kind in NUMPY.items()}
TYPE_NAMES = {F32: "SW_F32", F64: "SW_F64", F16: "SW_F16", BF16: "SW_BF16", I32: "SW_I32", U8: "SW_U8", I64: "SW_I64"}
C_NAMES = {F32: "float", F64: "double", F16: "uint16_t", BF16: "uint16_t", I32: "int32_t", U8: "uint8_t",
           I64: "int64_t"}
MAX_RANK = 8
OK, SKIPPED = 0, 1
RECORD, TRAIN, UPDATE_BUFFERS, CHECK, KEEP = 1, 2, 4, 8, 16


class Tensor(ctypes.Structure):
    _fields_ = [("tape", ctypes.c_void_p), ("slot", ctypes.c_uint32), ("generation", ctypes.c_uint32)]


class Array(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("type", ctypes.c_int), ("rank", ctypes.c_int),
                ("shape", ctypes.c_int64 * MAX_RANK)]


class Init(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("name", ctypes.c_char_p), ("fill", ctypes.c_void_p),
                ("a", ctypes.c_double), ("b", ctypes.c_double), ("c", ctypes.c_double),
                ("d", ctypes.c_double)]


class Param(ctypes.Structure):
    pass


Param._fields_ = [("name", ctypes.c_char_p), ("role", ctypes.c_int), ("rank", ctypes.c_int),
                  ("shape", ctypes.c_int64 * MAX_RANK), ("count", ctypes.c_int64),
                  ("offset", ctypes.c_int64), ("fan_in", ctypes.c_int64), ("fan_out", ctypes.c_int64),
                  ("frozen", ctypes.c_bool), ("index", ctypes.c_int), ("owner", ctypes.c_void_p),
                  ("tied", ctypes.POINTER(Param)), ("buffer", ctypes.c_bool)]


class CrossEntropyOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("reduction", ctypes.c_int), ("label_smoothing", ctypes.c_double),
                ("ignore", ctypes.c_bool), ("ignored_id", ctypes.c_int32),
                ("class_weights", ctypes.POINTER(ctypes.c_double)), ("classes", ctypes.c_int)]


class LossOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("reduction", ctypes.c_int), ("weight", Tensor)]


class HuberOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("reduction", ctypes.c_int), ("delta", ctypes.c_double),
                ("weight", Tensor)]


class BceOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("reduction", ctypes.c_int), ("weight", Tensor), ("pos_weight", Tensor)]


class EmbeddingOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("padding", ctypes.c_bool), ("padding_id", ctypes.c_int64)]


class ConvOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("stride", ctypes.c_int64 * 2), ("padding", ctypes.c_int64 * 2),
                ("same", ctypes.c_bool), ("dilation", ctypes.c_int64 * 2), ("groups", ctypes.c_int64),
                ("output_padding", ctypes.c_int64 * 2), ("no_bias", ctypes.c_bool)]


class PoolOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("stride", ctypes.c_int64 * 2), ("padding", ctypes.c_int64 * 2),
                ("dilation", ctypes.c_int64 * 2), ("ceil_mode", ctypes.c_bool), ("exclude_padding", ctypes.c_bool),
                ("relu", ctypes.c_bool)]


class NormOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("eps", ctypes.c_double), ("axes", ctypes.c_int),
                ("no_weight", ctypes.c_bool), ("no_bias", ctypes.c_bool)]


class OptimOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("estimator", ctypes.c_char_p), ("rule", ctypes.c_char_p),
                ("schedule", ctypes.c_char_p), ("average", ctypes.c_char_p), ("clip", ctypes.c_double),
                ("seed", ctypes.c_uint64), ("total_steps", ctypes.c_int64), ("loss_scale", ctypes.c_char_p)]


class ArraysOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("classes", ctypes.c_int), ("class_names", ctypes.c_void_p),
                ("copy", ctypes.c_bool), ("scale", ctypes.c_double), ("shift", ctypes.c_double),
                ("allow_nonfinite", ctypes.c_bool)]


TYPES = {"void": None, "int": ctypes.c_int, "unsigned": ctypes.c_uint, "double": ctypes.c_double,
         "bool": ctypes.c_bool, "int64_t": ctypes.c_int64, "uint64_t": ctypes.c_uint64,
         "int32_t": ctypes.c_int32, "size_t": ctypes.c_size_t, "sw_tensor": Tensor, "sw_array": Array,
         "sw_init": Init, "sw_status": ctypes.c_int, "sw_dtype": ctypes.c_int, "sw_role": ctypes.c_int,
         "sw_reduction": ctypes.c_int, "sw_switch": ctypes.c_int, "sw_loss": ctypes.c_void_p,
         "sw_order": ctypes.c_int}


def c_type(text):
    """The ctypes type for a type in a declaration, or KeyError."""
    text = re.sub(r"\bconst\b|\bstruct\b", "", text).strip()
    if text.endswith("*"):
        base = text[:-1].strip()
        return {"char": ctypes.c_char_p, "sw_param": ctypes.POINTER(Param)}.get(base, ctypes.c_void_p)
    return TYPES[text]


def declarations():
    """{name: (result, [parameter types])} as texts, of every SW_API function in the public headers."""
    found = {}
    with open(os.path.join(TOP, ".lint", "public_headers.txt"), encoding="utf-8") as file:
        headers = file.read().split()
    for header in headers:
        with open(os.path.join(TOP, header), encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*$", "", text, flags=re.M)
        for result, name, arguments in re.findall(
                r"SW_API\s+([\w\s]+?[\s*]+)(sw_\w+)\(((?:[^()]|\([^()]*\))*)\)", text):
            kinds = []
            for argument in re.split(r",(?![^(]*\))", arguments):
                argument = " ".join(argument.split())
                if argument == "void":
                    continue
                array = re.search(r"\[\d*\]$", argument)
                match = re.match(r"(.*?[\s*])\w+(?:\[\d*\])?$", argument)
                kind = match.group(1).strip() if match else argument
                kinds.append(kind + " *" if array else kind)
            found[name] = (" ".join(result.split()), kinds)
    return found


DECLARED = declarations()
# Functions that return a tensor without an operation on other tensors.
LEAVES = {"sw_input", "sw_input_copy", "sw_variable", "sw_empty", "sw_constant", "sw_param_use",
          "sw_retain_grad"}
# Functions that run an operation, a layer or a function that is an argument.
# sw_module_cast is sw_cast to the type of the leaf of a parameter, which networks call.
APPLIED = {"sw_apply", "sw_apply_unary", "sw_forward", "sw_forward_many", "sw_recompute", "sw_module_cast"}


def operations():
    """The names of all operations: functions that take a tensor and return one, and sw_split."""
    return [name for name, (result, kinds) in DECLARED.items()
            if (result == "sw_tensor" and name not in LEAVES | APPLIED) or name == "sw_split"]


class Library:
    """The shared library; every declared function with known types is an attribute."""

    def __init__(self):
        self.handle = ctypes.CDLL(os.path.join(BUILD, "libswale.so"))
        for name, (result, kinds) in DECLARED.items():
            try:
                types = [c_type(kind) for kind in kinds]
                restype = c_type(result)
            except KeyError:
                continue
            function = getattr(self.handle, name)
            function.argtypes, function.restype = types, restype
            setattr(self, name, function)

    def error(self):
        """Clears the pending error and returns its message; "" if there is none."""
        text = self.sw_error()
        self.sw_clear_error()
        return text.decode() if text else ""

    def address(self, name):
        return ctypes.cast(getattr(self.handle, name), ctypes.c_void_p)


lib = Library()


class Refused(Exception):
    """swale refused a call; str() is its message."""


def check(status):
    if status != OK:
        raise Refused(lib.error())


def stored(values, kind):
    """The numbers as swale stores them. f16 and bf16 are uint16: values must be numbers of the type already."""
    if kind == F16:
        return values.astype(np.float16, order="C").view(np.uint16)
    if kind == BF16:
        return np.asarray(values.astype(np.float32, order="C").view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(NUMPY[kind], order="C", copy=True)


def widened(values, kind):
    """The inverse of stored: f16 and bf16 as float32."""
    if kind == F16:
        return values.view(np.float16).astype(np.float32)
    if kind == BF16:
        return np.asarray(values.astype(np.uint32) << 16).view(np.float32)
    return values


def array_of(values, kind=None):
    """An sw_array that reads a NumPy array in place: C-contiguous, of one of swale's types (kind, for f16 and bf16)."""
    kind = TYPE_OF[values.dtype] if kind is None else kind
    assert values.flags.c_contiguous and values.dtype == NUMPY.get(kind, np.uint16), (values.dtype, values.flags)
    shape = (ctypes.c_int64 * MAX_RANK)(*values.shape)
    return Array(values.ctypes.data, kind, values.ndim, shape)


def numbers(array):
    """A NumPy copy of an sw_array, of f16 and bf16 in float32; None if it has no data."""
    if not array.data:
        return None
    shape = tuple(array.shape[:array.rank])
    kind = np.dtype(NUMPY.get(array.type, np.uint16))
    count = int(np.prod(shape, dtype=np.int64))
    text = ctypes.string_at(array.data, count * kind.itemsize) if count else b""
    return widened(np.frombuffer(text, kind).reshape(shape), array.type)


# ---- Arguments that represent several arguments of a C function ----


class Axes(tuple):
    """int count, const int *axes; None (SW_ALL_AXES) is Axes.ALL."""
    ALL = None

    def expand(self):
        return [len(self), (ctypes.c_int * max(1, len(self)))(*self)]

    def text(self):
        return f"SW_AXES({', '.join(map(str, self))})" if self else "0, NULL"


class AllAxes:
    def expand(self):
        return [-1, None]

    def text(self):
        return "SW_ALL_AXES"


Axes.ALL = AllAxes()


class Shape(tuple):
    """int rank, const int64_t *shape."""

    def expand(self):
        return [len(self), (ctypes.c_int64 * max(1, len(self)))(*self)]

    def text(self):
        return f"SW_SHAPE({', '.join(map(str, self))})" if self else "0, NULL"


class Lengths(tuple):
    """const int64_t * without a length."""

    def expand(self):
        return [(ctypes.c_int64 * max(1, len(self)))(*self)]

    def text(self):
        return f"(int64_t[]){{{', '.join(map(str, self))}}}"


class Place:
    """sw_tensor *: a second result, which is in `tensor` after the call; `wanted` false: NULL."""

    def __init__(self, wanted=False):
        self.tensor = Tensor() if wanted else None

    def expand(self):
        return [ctypes.addressof(self.tensor) if self.tensor is not None else None]

    def text(self):
        return "NULL"


class Parts(list):
    """int count, const sw_tensor *parts."""

    def expand(self):
        return [len(self), (Tensor * max(1, len(self)))(*self)]


REDUCTIONS = ["SW_MEAN", "SW_SUM", "SW_NONE"]


class Options(dict):
    """Options of a loss by their names: const sw_…_options *. Values may be tensors."""
    structure, c_name = None, None

    def __deepcopy__(self, memo):
        return type(self)(copy.deepcopy(dict(self), memo))

    def expand(self):
        options = self.structure(size=ctypes.sizeof(self.structure))
        for key, value in self.items():
            self.put(options, key, value)
        self.kept = options
        return [ctypes.addressof(options)]

    def put(self, options, key, value):
        setattr(options, key, value)

    def text(self):
        inner = "".join(", " + self.text_of(key, value) for key, value in self.items())
        return f"&({self.c_name}){{.size = sizeof({self.c_name}){inner}}}"

    def text_of(self, key, value):
        if key == "reduction":
            return f".reduction = {REDUCTIONS[value]}"
        if hasattr(value, "released"):  # a node of a graph
            return f".{key} = t{value.index}"
        return f".{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}"


class Loss(Options):
    structure, c_name = LossOptions, "sw_loss_options"


class Huber(Options):
    structure, c_name = HuberOptions, "sw_huber_options"


class BatchNormOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("eps", ctypes.c_double), ("momentum", ctypes.c_double),
                ("mean", ctypes.c_void_p), ("variance", ctypes.c_void_p), ("count", ctypes.c_void_p),
                ("evaluate", ctypes.c_bool), ("cumulative", ctypes.c_bool), ("no_weight", ctypes.c_bool),
                ("no_bias", ctypes.c_bool), ("no_statistics", ctypes.c_bool)]


class BatchNorm(Options):
    structure, c_name = BatchNormOptions, "sw_batch_norm_options"


class Conv(Options):
    """Pairs are tuples of one or two numbers."""
    structure, c_name = ConvOptions, "sw_conv_options"

    def put(self, options, key, value):
        super().put(options, key, (ctypes.c_int64 * 2)(*value) if isinstance(value, tuple) else value)

    def text_of(self, key, value):
        if isinstance(value, tuple):
            return f".{key} = {{{', '.join(map(str, value))}}}"
        return super().text_of(key, value)


class Pool(Conv):
    structure, c_name = PoolOptions, "sw_pool_options"


class Norm(Options):
    structure, c_name = NormOptions, "sw_norm_options"


class RecurrentOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("bias_ih", Tensor), ("bias_hh", Tensor), ("state", Tensor),
                ("lengths", Tensor), ("reverse", ctypes.c_bool), ("result", ctypes.c_int)]


class Recurrent(Options):
    structure, c_name = RecurrentOptions, "sw_recurrent_options"


class AttentionOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("heads", ctypes.c_int), ("scale", ctypes.c_double),
                ("causal", ctypes.c_bool), ("first_position", ctypes.c_int64), ("dropout", ctypes.c_double),
                ("site", ctypes.c_uint64), ("mask", Tensor), ("key_padding", Tensor)]


class Attention(Options):
    structure, c_name = AttentionOptions, "sw_attention_options"


class LinearAttentionOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("heads", ctypes.c_int), ("scale", ctypes.c_double),
                ("causal", ctypes.c_bool), ("normalized", ctypes.c_bool), ("map", ctypes.c_int),
                ("key_padding", Tensor), ("state", Tensor), ("result", ctypes.c_int)]


class LinearAttention(Options):
    structure, c_name = LinearAttentionOptions, "sw_linear_attention_options"


class RecurrentLayerOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("layers", ctypes.c_int), ("bidirectional", ctypes.c_bool),
                ("no_bias", ctypes.c_bool), ("dropout", ctypes.c_double), ("last", ctypes.c_bool)]


class LayerOptions(Options):
    """Options of layers. Texts are char pointers."""

    def put(self, options, key, value):
        super().put(options, key, value.encode() if isinstance(value, str) else value)


class RecurrentLayer(LayerOptions):
    structure, c_name = RecurrentLayerOptions, "sw_recurrent_layer_options"


class AttentionLayerOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("causal", ctypes.c_bool), ("dropout", ctypes.c_double),
                ("no_bias", ctypes.c_bool), ("cross", ctypes.c_bool), ("context_features", ctypes.c_int64),
                ("naming", ctypes.c_int), ("rotary", ctypes.c_bool), ("rotary_base", ctypes.c_double)]


class AttentionLayer(LayerOptions):
    structure, c_name = AttentionLayerOptions, "sw_attention_layer_options"


class LinearAttentionLayerOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("causal", ctypes.c_bool), ("normalized", ctypes.c_bool),
                ("map", ctypes.c_int), ("scale", ctypes.c_double), ("no_bias", ctypes.c_bool)]


class LinearAttentionLayer(LayerOptions):
    structure, c_name = LinearAttentionLayerOptions, "sw_linear_attention_layer_options"


class TransformerBlockOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("hidden", ctypes.c_int64), ("post_norm", ctypes.c_bool),
                ("activation", ctypes.c_char_p), ("dropout", ctypes.c_double), ("causal", ctypes.c_bool),
                ("no_bias", ctypes.c_bool), ("naming", ctypes.c_int), ("rotary", ctypes.c_bool)]


class TransformerBlock(LayerOptions):
    structure, c_name = TransformerBlockOptions, "sw_transformer_block_options"


class GptOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("vocabulary", ctypes.c_int64), ("length", ctypes.c_int64),
                ("layers", ctypes.c_int), ("heads", ctypes.c_int), ("width", ctypes.c_int64), ("hidden", ctypes.c_int64),
                ("dropout", ctypes.c_double), ("no_bias", ctypes.c_bool), ("untied", ctypes.c_bool),
                ("activation", ctypes.c_char_p), ("recompute", ctypes.c_int)]


class Gpt(LayerOptions):
    structure, c_name = GptOptions, "sw_gpt_options"


class RotaryOptions(ctypes.Structure):
    _fields_ = [("size", ctypes.c_size_t), ("heads", ctypes.c_int), ("base", ctypes.c_double),
                ("first_position", ctypes.c_int64), ("interleaved", ctypes.c_bool)]


class Rotary(Options):
    structure, c_name = RotaryOptions, "sw_rotary_options"


class Bce(Options):
    structure, c_name = BceOptions, "sw_bce_options"


class CrossEntropy(Options):
    """class_weights is a list."""
    structure, c_name = CrossEntropyOptions, "sw_cross_entropy_options"

    def put(self, options, key, value):
        if key == "class_weights":
            options.class_weights = (ctypes.c_double * max(1, len(value)))(*value)
            options.classes = len(value)
        else:
            super().put(options, key, value)

    def text_of(self, key, value):
        if key == "class_weights":
            return f".class_weights = (double[]){{{', '.join(map(repr, value))}}}, .classes = {len(value)}"
        return super().text_of(key, value)


NULL_TENSOR = Tensor(None, 0, 0)


def call(name, arguments):
    """Runs an operation. Arguments are Tensors, numbers and the classes above. Refused after an error."""
    plain = []
    for argument in arguments:
        if argument is None:
            plain.append(NULL_TENSOR)
        elif hasattr(argument, "expand"):
            plain.extend(argument.expand())
        else:
            plain.append(argument)
    result = getattr(lib, name)(*plain)
    if not result.tape:
        raise Refused(lib.error() or f"{name} gave a null tensor without an error")
    return result


def split(x, axis, count, lengths):
    parts = (Tensor * count)()
    check(lib.sw_split(x, axis, count, lengths.expand()[0] if lengths is not None else None, parts))
    return list(parts)
