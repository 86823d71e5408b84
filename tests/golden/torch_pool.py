#!/usr/bin/env python3
"""PyTorch's pooling with all options: golden/torch_pool.h, which tests/core/ops/test_pool.c reads. Pictures hold random
numbers; few different integers, so that windows have several largest elements; or also NaN and infinities.

    PYTHON tests/golden/torch_pool.py      (PyTorch 2)
"""
import random
import sys

sys.dont_write_bytecode = True  # no __pycache__ in the folder of the fixtures
import torch
import torch.nn.functional as F

from torch_shared import Stream, array, flat, rounded, write

EACH = 14  # cases of each function
KINDS = ("NUMBERS", "TIES", "SPECIAL")
SPECIAL = (float("nan"), float("inf"), float("-inf"))


def picture(kind, shape, seed):
    """pool_fill of test_pool.c."""
    stream, values = Stream(seed), []
    for _ in range(int(torch.Size(shape).numel())):
        word = stream.word()
        values.append(rounded(stream.uniform(-2, 2)) if kind == "NUMBERS" else
                      SPECIAL[word % 12] if kind == "SPECIAL" and word % 12 < 3 else float(word // 16 % 5) - 2)
    return torch.tensor(values).reshape(shape)


def cotangent(shape, seed):
    """Integers from -8 to 8, as in test_pool.c."""
    stream = Stream(seed)
    return torch.tensor([float(stream.word() % 17) - 8 for _ in range(int(torch.Size(shape).numel()))]).reshape(shape)


def holds_an_element(length, window, stride, padding, dilation, outputs):
    """Whether each window has an element of x; PyTorch's gradient is not defined otherwise."""
    return all(any(0 <= i * stride - padding + k * dilation < length for k in range(window)) for i in range(outputs))


def draw(rng, average, axes):
    """Lengths of the picture, and a case with the four pairs of options; sequences have 0 in the second number."""
    while True:
        window = [rng.randint(1, 4) for _ in range(axes)]
        lengths = [rng.randint(1, 7) for _ in range(axes)]
        stride = [rng.randint(1, 4) for _ in range(axes)] if rng.random() < 0.8 else [0] * axes
        padding = [rng.randint(0, w // 2) for w in window]
        dilation = [1 if average else rng.randint(1, 3) for _ in range(axes)]
        ceil = rng.random() < 0.5
        steps = [s or w for s, w in zip(stride, window)]
        x = torch.zeros(1, 1, *lengths)
        try:
            y = (F.max_pool1d, F.max_pool2d)[axes - 1](x, window, steps, padding, dilation, ceil)
        except RuntimeError:  # no room for a window
            continue
        if all(map(holds_an_element, lengths, window, steps, padding, dilation, y.shape[2:])):
            return lengths, window, stride, padding, dilation, ceil


def apply(function, x, window, stride, padding, dilation, ceil, exclude):
    x = x.movedim(-1, 1)
    steps = window if not any(stride) else stride
    if function.startswith("adaptive"):
        y = getattr(F, function)(x, tuple(window))
    elif function.startswith("max"):
        y = getattr(F, function)(x, window, steps, padding, dilation, ceil)
    else:
        y = getattr(F, function)(x, window, steps, padding, ceil, not exclude)
    return y.movedim(1, -1)


def main():
    rng, rows, numbers = random.Random(4), [], []
    for function in ("max_pool2d", "avg_pool2d", "max_pool1d", "avg_pool1d", "adaptive_max_pool2d",
                     "adaptive_avg_pool2d"):
        average, axes = "avg" in function, 1 if "1d" in function else 2
        for i in range(EACH):
            seed, kind, exclude = 100 * len(rows) + 1, KINDS[i % 3], average and rng.random() < 0.5
            if function.startswith("adaptive"):
                lengths, window = ([rng.randint(1, 7) for _ in range(2)] for _ in range(2))
                stride, padding, dilation, ceil, exclude = [0, 0], [0, 0], [0, 0], False, False
            else:
                lengths, window, stride, padding, dilation, ceil = draw(rng, average, axes)
            shape = [rng.randint(1, 2), *lengths, rng.randint(1, 3)]
            x = picture(kind, shape, seed).requires_grad_()
            y = apply(function, x, window, stride, padding, dilation, ceil, exclude)
            g, = torch.autograd.grad(y, x, cotangent(y.shape, seed + 1))
            pairs = [[*pair, 0][:2] if axes == 1 else pair for pair in (window, stride, padding, dilation)]
            pairs = ", ".join(f"{{{a}, {b}}}" for a, b in pairs)
            rows.append(f'    {{{function}_of, {kind}, {seed}, {len(shape)}, {{{", ".join(map(str, shape))}}},\n     '
                        f'{pairs}, {int(ceil)}, {int(exclude)}, {len(numbers)}, {y.numel()}}},\n')
            numbers += flat(y) + flat(g)
    write("torch_pool.h",
          "/* The result of a case, then the gradient of x, at numbers[at]. The window of an adaptive pool is the size of "
          "the\n * result. */\n"
          "static const struct torch_pool {\n    pool_function function;\n    pool_numbers kind;\n    uint64_t seed;\n"
          "    int rank;\n    int64_t shape[4], window[2], stride[2], padding[2], dilation[2];\n"
          "    bool ceil_mode, exclude_padding;\n    int at, outputs;\n} torch_pools[] = {\n"
          + "".join(rows) + "};\n" + array("static const double torch_pool_numbers[]", numbers))
    print(f"{len(rows)} cases, {len(numbers)} numbers", file=sys.stderr)


if __name__ == "__main__":
    main()
