"""Code that the scripts with PyTorch share: the random numbers of the tests, and output of C arrays.

Inputs are not stored: both sides draw them, from splitmix64 rounded to f32 (tests/support.h), so that
f32 and f64 see the same problem.
"""
import os
import sys

import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.join(HERE, "..", "..")
WORD = (1 << 64) - 1

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)


class Stream:
    """test_random and test_uniform of tests/support.h."""

    def __init__(self, seed):
        self.state = seed

    def word(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & WORD
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & WORD
        return z ^ (z >> 31)

    def uniform(self, low, high):
        return low + (high - low) * float(self.word() >> 11) * 2.0**-53


def rounded(x):
    return float(np.float32(x))


def filled(shape, low, high, stream):
    """A tensor of numbers in [low, high), each rounded to f32, as test_fill draws them."""
    count = int(np.prod(shape, dtype=np.int64))
    values = [rounded(stream.uniform(low, high)) for _ in range(count)]
    return torch.tensor(values).reshape(shape)


def text_of(x):
    if np.isnan(x):
        return "NAN"
    if np.isinf(x):
        return "INFINITY" if x > 0 else "-INFINITY"
    text = repr(float(x))  # the shortest that reads back as the same double
    return text[:-2] if text.endswith(".0") else text


def flat(tensor):
    return [float(v) for v in tensor.detach().reshape(-1)]


def array(declaration, values):
    """`static const double NAME[] = {…};`, at most 100 columns wide."""
    lines, line = [], "   "
    for v in values:
        item = f" {text_of(v)},"
        if len(line) + len(item) > 100:
            lines.append(line)
            line = "   "
        line += item
    return declaration + " = {\n" + "\n".join(lines + [line]) + "\n};\n"


def write(name, text):
    """The fixture tests/golden/NAME, with the marks of a header around it."""
    guard = "SWALE_" + name.upper().replace(".", "_")
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as file:
        file.write(f"/* Made by {name[:-2]}.py with PyTorch {torch.__version__}: do not edit. */\n"
                   f"#ifndef {guard}\n#define {guard}\n\n{text}\n#endif\n")
    size = os.path.getsize(os.path.join(HERE, name))
    print(f"{name}: {size / 1000:.0f} kB", file=sys.stderr)
