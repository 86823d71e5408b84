#!/usr/bin/env python3
"""PyTorch's values and gradients in f16 and bf16, bit for bit: golden/torch_half.h, which
tests/core/ops/test_torch_half.c reads. The inputs are those of torch_ops.py, rounded to the type.

PyTorch computes many operations of 16-bit tensors in f32 and rounds the result once. swale must then have the same
bits. Whether PyTorch did is decided here: all its numbers must be the exact results (PyTorch in f64 from the same
inputs), rounded once. Other values and gradients are left out, and listed in the fixture. An element is also left out
if the exact result is no f32 number and so near to the middle of two 16-bit numbers that an error of f32 decides
about the rounding.

    PYTHON tests/golden/torch_half.py      (PyTorch 2, and cc)
"""
import os
import sys
import warnings

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
os.environ["ATEN_CPU_CAPABILITY"] = "default"
import numpy as np
import torch

import torch_ops
from torch_shared import Stream, rounded, write

MOST = 64       # elements of the inputs and the result of a case
ERROR = 2.0**-21  # of a computation in f32, relative to the largest element
ANY = 0x7FFF    # in the fixture, an element that is not compared: a NaN, which no case has
TYPES = {"SW_F16": (torch.float16, 11, -14), "SW_BF16": (torch.bfloat16, 8, -126)}

# Derivatives that are computed from the rounded result.
FROM_RESULT = {
    "tanh": lambda y, g, x: [g * (1 - y * y)],
    "sigmoid": lambda y, g, x: [g * y * (1 - y)],
    "exp": lambda y, g, x: [g * y],
    "sqrt": lambda y, g, x: [g / (2 * y)],
    "softmax last": lambda y, g, x: [y * (g - (g * y).sum(-1, keepdim=True))],
    "softmax first": lambda y, g, x: [y * (g - (g * y).sum(0, keepdim=True))],
    "softmax middle": lambda y, g, x: [y * (g - (g * y).sum(1, keepdim=True))],
}


def nearest(x, digits, least):
    """x (f64) rounded once, to even in the middle of two; and the distance to the nearest middle."""
    _, exponent = np.frexp(x)
    step = np.ldexp(1.0, np.maximum(exponent, least + 1) - digits)
    return np.rint(x / step) * step, abs(abs(x / step - np.floor(x / step)) - 0.5) * step


def run(label, inputs, cotangent):
    """[result, gradient of each input or None]"""
    y = torch_ops.EXPRESSIONS[label](*inputs)
    if not y.is_floating_point():
        return None
    wanted = [t for t in inputs if t.requires_grad]
    if not wanted or "NO_GRADIENT" in torch_ops.FLAGS[label]:
        return [y.detach()] + [None] * len(inputs)
    grads = iter(torch.autograd.grad(y, wanted, cotangent(y)))
    return [y.detach()] + [next(grads) if t.requires_grad else None for t in inputs]


def in_type(inputs, kind):
    return [t.detach().to(kind).requires_grad_(t.requires_grad) if t.is_floating_point() else t for t in inputs]


def exact(label, inputs, own):
    """As run, in f64 from the same 16-bit numbers; own: the results in 16 bits."""
    wide = [t.detach().double().requires_grad_(t.requires_grad) if t.is_floating_point() else t for t in inputs]

    def cotangent(y):
        return cotangent_of(y, own[0].dtype).double()
    parts = run(label, wide, cotangent)
    if label in FROM_RESULT:
        y = own[0].double()
        with torch.no_grad():
            parts[1:] = FROM_RESULT[label](y, cotangent(y), *wide)
    return parts


def cotangent_of(y, kind):
    stream = Stream(77)
    values = [rounded(stream.uniform(-1, 1)) for _ in range(y.numel())]
    return torch.tensor(values, dtype=torch.float32).reshape(y.shape).to(kind)


def bits_of(own, reference, digits, least):
    """PyTorch's bits, with ANY for elements that an error of f32 decides; None if PyTorch did not round once."""
    x = np.asarray(reference.detach().numpy(), dtype=np.float64)
    if not x.size:
        return []
    once, distance = nearest(x, digits, least)
    bits = own.detach().contiguous().view(torch.int16).numpy().astype(np.int64) & 0xFFFF
    near = (distance <= ERROR * abs(x).max()) & (x.astype(np.float32) != x)
    same = own.detach().double().numpy() == once
    if not (same | near).all() or near.mean() > 0.2 or not np.isfinite(x).all():
        return None
    return np.where(near, ANY, bits).reshape(-1).tolist()


def case_of(entry):
    """(number, shapes) of the largest case with elements in every input, and at most MOST in all."""
    groups = torch_ops.re.findall(r"\[([\d,]*)\]", entry["shapes"])
    shapes = [[int(n) for n in g.split(",") if n] for g in groups]
    n, best = entry["inputs"], None
    for number in range(1, len(shapes) // n + 1):
        group = shapes[(number - 1) * n:number * n]
        if any(0 in s for s in group):
            continue
        inputs = torch_ops.inputs_of(entry, number, group)
        total = sum(t.numel() for t in inputs) + torch_ops.EXPRESSIONS[entry["label"]](*inputs).numel()
        if best is None or (best[0] < total <= MOST) or total < best[0] and best[0] > MOST:
            best = (total, number, group)
    return best[1], best[2]


def main():
    warnings.simplefilter("ignore")
    rows, values, left_out, compared, labels = [], [], {}, set(), []
    for entry in torch_ops.entries():
        label = entry["label"]
        torch_ops.FLAGS[label] = torch_ops.flags_of(entry)
        if "COMPOSED" in torch_ops.FLAGS[label] or label not in torch_ops.EXPRESSIONS:
            continue
        labels.append(label)
        number, shapes = case_of(entry)
        for name, (kind, digits, least) in TYPES.items():
            inputs = in_type(torch_ops.inputs_of(entry, number, shapes), kind)
            try:
                own = run(label, inputs, lambda y, kind=kind: cotangent_of(y, kind).to(y.dtype))
            except RuntimeError as reason:
                left_out.setdefault(label, []).append(f"{name[3:]} ({str(reason).splitlines()[0][:50]})")
                continue
            if own is None or own[0].dtype != kind:
                continue
            reference = exact(label, inputs, own)
            parts = [None if p is None else bits_of(p, r, digits, least) for p, r in zip(own, reference)]
            if parts[0] is None and label in FROM_RESULT:
                parts[1:] = [None] * len(inputs)
            for i, (p, bits) in enumerate(zip(own, parts)):
                if p is not None and bits is None:
                    left_out.setdefault(label, []).append(f"{name[3:]} {f'gradient {i - 1}' if i else 'result'}")
            if not any(parts):
                continue
            counts = [-1 if p is None else len(p) for p in parts] + [-1] * (4 - len(parts))
            rows.append(f'    {{"{label}", {number}, {name}, {len(values)}, {{{", ".join(map(str, counts))}}}}},\n')
            compared.add(label)
            for p in parts:
                values += p or []
    numbers = "".join("    " + " ".join(f"0x{v:04x}," for v in values[at:at + 14]) + "\n"
                      for at in range(0, len(values), 14))
    write("torch_half.h",
          "/* The result of a case of op_table.h, then the gradients of its inputs, at numbers[at]. */\n"
          "static const struct torch_half_case {\n    const char *label;\n    int number;\n    sw_dtype type;\n"
          "    int at, counts[4]; /* elements; -1: none, or PyTorch did not round once */\n} torch_half_cases[] = {\n"
          + "".join(rows) + "};\n" + f"enum {{ TORCH_HALF_ANY = 0x{ANY:04x} }}; /* an element that is not compared */\n"
          + "static const uint16_t torch_half_numbers[] = {\n" + numbers + "};\n"
          + "/* Not compared at all: the result is an integer, or PyTorch rounds at other places. */\n"
          + "static const char *const torch_half_others[] = {\n"
          + "".join(f'    "{label}",\n' for label in labels if label not in compared) + "};\n"
          + "/* Values and gradients that are left out, because PyTorch rounds at other places as well:\n"
          + "".join(f" *   {label}: {', '.join(texts)}\n" for label, texts in left_out.items()) + " */\n")
    print(f"{len(rows)} cases, {len(values)} numbers, {values.count(ANY)} not compared, "
          f"{sum(map(len, left_out.values()))} values and gradients left out",
          file=sys.stderr)


main()
