"""Random networks in f16 and bf16: the steps of rules, schedules, averages and clipping. See check_graphs.py.

The parameters of such a network are f32 masters, and all rules must treat them as those of a network in f32. Therefore
PyTorch's optimizer, in f64, gets the 16-bit gradients that swale computed, divided by the scale of the loss, and must
reach the same masters. Tolerance: as in networks.py, with the unit roundoff of f32. (half_graphs.py compares the
gradients themselves.) Steps that swale skips, because a scaled gradient is not finite, must not change anything.

If no step is skipped, sw_optim_minimize, which evaluates the same batches, must have the bits of the loop by hand.
"""
import random

import numpy as np
import torch

import networks
import swale
from networks import ETA, K
from swale import BF16, F16, lib

U = 2.0**-24


class Network(networks.Network):
    def __init__(self, seed):
        super().__init__(seed)
        rng = random.Random(-seed)
        self.dtype = rng.choice([F16, BF16])
        self.loss_scale = rng.choice([None, "dynamic initial=256 interval=2", "1024", "none"])
        self.estimator, self.by_hand = "minibatch", True


class Watch:
    """Notes the gradient of each step, {key: tensor}; None of skipped steps."""

    def __init__(self, network):
        self.network, self.gradients = network, []

    def look(self, model):
        scale = lib.sw_gradient_scale(lib.sw_params_gradient(model.params))
        found = {}
        for key, value in self.network.initial.items():
            g = swale.numbers(lib.sw_param_grad(model.param[key]))
            found[key] = torch.zeros_like(value) if g is None else torch.from_numpy(g.astype(np.float64) / scale)
        self.gradients.append(found)

    def skipped(self):
        self.gradients[-1] = None


def compare(network):
    """(None or the first difference as text, whether the run was too sensitive)."""
    network.estimator, network.by_hand, watch = "minibatch", True, Watch(network)
    try:
        record = networks.run_swale(network, watch)
    except swale.Refused as error:
        return f"swale refuses: {error}", False
    reference = networks.run_torch(network, given=watch.gradients)
    changes = {}
    for draw in range(2):
        noise = torch.Generator().manual_seed(2 * network.seed + draw)
        for name, x in networks.run_torch(network, noise, watch.gradients).items():
            change = float((x - reference[name]).abs().max()) / ETA
            changes[name] = max(changes.get(name, 0.0), change)
    sensitive = False
    for name, wanted in reference.items():
        got = torch.from_numpy(record[name].astype(np.float64))
        size = float(wanted.abs().max())
        tolerance = K * U * (size + changes[name])
        sensitive |= not tolerance <= networks.SENSITIVE[swale.F32] * max(size, 1e-3)
        difference = float((got - wanted).abs().max())
        if not difference <= tolerance:
            return (f"{name}: difference {difference:.3g}, tolerance {tolerance:.3g} (size {size:.3g}, condition "
                    f"{changes[name]:.3g})\nswale   {got.reshape(-1).tolist()[:40]}\n"
                    f"PyTorch {wanted.reshape(-1).tolist()[:40]}"), sensitive
    return minimized(network, record, watch), sensitive


def minimized(network, record, watch):
    if network.micro > 1 or None in watch.gradients:
        return None
    network.by_hand = False
    try:
        other = networks.run_swale(network)
    except swale.Refused as error:
        return f"swale refuses sw_optim_minimize: {error}"
    finally:
        network.by_hand = True
    for name, x in record.items():
        if name.startswith("parameters") and x.tobytes() != other[name].tobytes():
            return f"{name}: sw_optim_minimize has other bits than the loop by hand"
    return None


def shrink(network, difference):
    return networks.shrink(network, difference, compare)
