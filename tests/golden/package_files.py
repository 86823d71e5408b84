"""Files made by Python's package safetensors: tests/golden/package_files.h.

python tests/golden/package_files.py        (safetensors 0.8, numpy, torch 2)
"""
import os
import tempfile

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch


def kinds():
    """Every type that is read, and three that are not. Elements are -1.5, -0.5, 0.5, … where they can be."""
    halves = torch.arange(6).reshape(2, 3) - 1.5
    return safetensors.torch.save(
        {"f16": halves.half(), "bf16": halves.bfloat16(), "f32": halves.float(), "f64": halves.double(),
         "i32": torch.arange(-2, 2, dtype=torch.int32), "i64": torch.tensor([-2**62, 2**62 + 1]),
         "u8": torch.tensor([0, 127, 255], dtype=torch.uint8), "bool": torch.tensor([True, False, True]),
         "i8": torch.tensor([-1], dtype=torch.int8), "i16": torch.tensor([-300], dtype=torch.int16),
         "scalar": torch.tensor(0.1, dtype=torch.float64), "empty": torch.zeros(0, 3),
         "größe \"x\"/\\\n": torch.tensor([7.0])}, metadata={"about": "été \"1\""})


def written():
    """What swale writes too."""
    return safetensors.numpy.save(
        {"b": np.array([0, 1, 2], np.float32), "a": np.array([[1], [2]], np.float32), "größe": np.array(2.5),
         "empty": np.zeros((0, 3), np.float32), "count": np.array([-1, 2**40]), "ids": np.array([3, -4], np.int32),
         "pixels": np.array([1, 2, 255], np.uint8)}, metadata={"about": "été \"1\"\\\n"})


def rounded():
    """f32 and f64 numbers, and the same numbers rounded by torch. Those of f32: between two neighbors of a 16-bit type,
    halfway between them, next to the middle, subnormal in f16, too small for it, infinite. Those of f64: numbers that
    become others if they are rounded to f32 first."""
    x = torch.tensor([0.1, -0.3, 2049, 2051, 2049.0001, 257, 259, 257.00002, 65504, 65519.996, -65519.996, 2**-14,
                      2**-14 - 2**-25, 3 * 2**-25, 5 * 2**-25, 2**-25, 2**-25 + 2**-40, -2**-30, 1 / 3, float("inf"),
                      -float("inf"), -0.0, 1 + 2**-11, 1 + 3 * 2**-11, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20])
    y = torch.tensor([1 + 2**-11 + 2**-40, 1 + 3 * 2**-11 - 2**-40, 1 + 2**-8 + 2**-40, 1 + 3 * 2**-8 - 2**-40,
                      1 / 3, 65519.9999999], dtype=torch.float64)
    # torch rounds f64 to f32 first, so that these are rounded elsewhere
    y_f16 = torch.from_numpy(y.numpy().astype(np.float16))
    y_bf16 = torch.from_numpy(nearest_bfloat16(y.numpy()).view(np.int16)).view(torch.bfloat16)
    return safetensors.torch.save({"x": x, "x.f16": x.half(), "x.bf16": x.bfloat16(), "y": y, "y.f16": y_f16,
                                   "y.bf16": y_bf16})


def nearest_bfloat16(y):
    """The nearest bfloat16 of positive f64 numbers, ties to even, by arithmetic: as 16-bit patterns."""
    unit = np.exp2(np.floor(np.log2(y)) - 7)
    return (np.rint(y / unit) * unit).astype(np.float32).view(np.uint32).__rshift__(16).astype(np.uint16)


class Tied(torch.nn.Module):
    def __init__(self, weight, bias):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5)
        self.head.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(weight)
            self.head.bias.copy_(bias)


def saved(model):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        safetensors.torch.save_model(model, path)
        with open(path, "rb") as f:
            return f.read()


def tied():
    return Tied(torch.arange(15.0).reshape(5, 3) / 8, -torch.arange(5.0))


def sevenths():
    """A model whose numbers no 16-bit type holds."""
    return Tied(torch.arange(15.0).reshape(5, 3) / 7, -torch.arange(5.0) / 3)


def rows(data):
    return ",\n    ".join(", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24))


def main():
    out = ["/* Made by package_files.py: files of Python's package safetensors. */", "#ifndef GOLDEN_PACKAGE_FILES_H",
           "#define GOLDEN_PACKAGE_FILES_H", ""]
    files = (("kinds", kinds()), ("written", written()), ("rounded", rounded()), ("tied", saved(tied())),
             ("sevenths_f32", saved(sevenths())), ("sevenths_f16", saved(sevenths().half())),
             ("sevenths_bf16", saved(sevenths().bfloat16())))
    for name, data in files:
        out.append("static const unsigned char golden_%s[] = {\n    %s};" % (name, rows(data)))
    out += ["#endif"]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "package_files.h"), "w") as f:
        f.write("\n".join(out) + "\n")


main()
