#!/usr/bin/env python3
"""torchvision's resnet18 and resnet34 in full size, in swale and in PyTorch: keys, outputs, files in both directions.

Weights and running statistics are random. A state_dict is saved by safetensors and loaded by swale; the outputs for
pictures of 224x224 in f32 must be within 1e-5 of PyTorch's in float64, relative to the largest. What swale saves must be
loaded by load_state_dict with the same numbers. The modules are those of torchvision if it is installed, else
tests/golden/torch_models.py, whose keys and outputs are compared with torchvision's if it is.
"""
import ctypes
import os
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file, save_file

import swale
from swale import lib

sys.path.append(os.path.join(swale.TOP, "tests", "golden"))
from torch_models import ResNet

try:
    import torchvision
except ImportError:
    torchvision = None

CLASSES, ROWS, SIDE, MOST = 1000, 2, 224, 1e-5


class FileOptions(ctypes.Structure):
    """sw_load_options; and sw_save_options, with the type of x."""
    _fields_ = [("size", ctypes.c_size_t), ("first", ctypes.c_size_t), ("second", ctypes.c_size_t)]


LOAD = FileOptions(16, 1, 0)  # channels_first
SAVE = FileOptions(24, 0, 1)  # storage, channels_first


def randomized(net, seed):
    generator = torch.Generator().manual_seed(seed)
    for key, value in net.state_dict().items():
        if value.dim() == 1 and value.is_floating_point():
            low = 0.5 if key.endswith("running_var") or key.endswith(".weight") else -0.5
            value.copy_(low + torch.rand(value.shape, generator=generator))
    return net.eval()


def model_of(make):
    model = lib.sw_model_new(swale.F32, 1)
    shape = (ctypes.c_int64 * 3)(SIDE, SIDE, 3)
    swale.check(lib.sw_model_set_input_shape(model, 3, shape))
    if not lib.sw_model_build(model, make(model, CLASSES)):
        raise swale.Refused(lib.error())
    return model


def predicted(model, pictures):
    x = np.ascontiguousarray(pictures.permute(0, 2, 3, 1).numpy())
    view, y = swale.array_of(x), swale.Array()
    swale.check(lib.sw_predict(model, ctypes.addressof(view), ctypes.addressof(y)))
    out = swale.numbers(y)
    lib.sw_array_free(ctypes.addressof(y))
    return out


def check(depth, folder):
    torch.manual_seed(depth)
    name = f"resnet{depth}"
    own = ResNet(depth, 64, CLASSES, 3, imagenet=True)
    net = randomized(getattr(torchvision.models, name)() if torchvision else own, depth)
    pictures = torch.rand(ROWS, 3, SIDE, SIDE)
    with torch.no_grad():
        expected = net.double()(pictures.double()).numpy()
        net.float()
        if torchvision:
            assert list(own.state_dict()) == list(net.state_dict()), "torch_models.py has other keys than torchvision"
            own.load_state_dict(net.state_dict())
            other = own.eval().double()(pictures.double()).numpy()
            assert np.abs(other - expected).max() <= 1e-12 * np.abs(expected).max(), "torch_models.py computes otherwise"
    path = os.path.join(folder, name)
    save_file(net.state_dict(), path)
    model = model_of(getattr(lib, "sw_nn_" + name))
    swale.check(lib.sw_model_load_with_options(model, path.encode(), ctypes.addressof(LOAD)))
    error = np.abs(predicted(model, pictures) - expected).max() / np.abs(expected).max()
    assert error <= MOST, f"{name}: outputs are {error:.2g} of the largest away"
    swale.check(lib.sw_model_save_with_options(model, (path + "_swale").encode(), ctypes.addressof(SAVE)))
    lib.sw_model_free(model)
    saved = load_file(path + "_swale")
    fresh = ResNet(depth, 64, CLASSES, 3, imagenet=True)
    fresh.load_state_dict(saved)  # strict: PyTorch adds num_batches_tracked, and refuses every other difference
    for key, value in net.state_dict().items():
        assert key.endswith("num_batches_tracked") or torch.equal(value, saved[key]), f"{name}: {key} was changed"
    reference = f"torchvision {torchvision.__version__}" if torchvision else "torch_models.py"
    print(f"{name}: {len(saved)} arrays, outputs within {error:.2g} of {reference}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        for depth in (18, 34):
            check(depth, folder)


main()
