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


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = torch.nn.Embedding(5, 3)
        self.head = torch.nn.Linear(3, 5)
        self.head.weight = self.embedding.weight
        with torch.no_grad():
            self.embedding.weight.copy_(torch.arange(15.0).reshape(5, 3) / 8)
            self.head.bias.copy_(-torch.arange(5.0))


def tied():
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tied.safetensors")
        safetensors.torch.save_model(Tied(), path)
        with open(path, "rb") as f:
            return f.read()


def rows(data):
    return ",\n    ".join(", ".join(str(b) for b in data[i:i + 24]) for i in range(0, len(data), 24))


def main():
    out = ["/* Made by package_files.py: files of Python's package safetensors. */", "#ifndef GOLDEN_PACKAGE_FILES_H",
           "#define GOLDEN_PACKAGE_FILES_H", ""]
    for name, data in (("kinds", kinds()), ("written", written()), ("tied", tied())):
        out.append("static const unsigned char golden_%s[] = {\n    %s};" % (name, rows(data)))
    out += ["#endif"]
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "package_files.h"), "w") as f:
        f.write("\n".join(out) + "\n")


main()
