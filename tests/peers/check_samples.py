#!/usr/bin/env python3
"""Samples of PyTorch's test suite in swale: see tests/README.md. `make check-peer-samples`.

    check_samples.py [--only NAME,NAME] [--verbose]
"""
import argparse
import collections
import sys
import time
import warnings

import torch
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.common_modules import module_db
from torch.testing._internal.common_optimizers import optim_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, UnaryUfuncInfo

import counterparts
import half_samples
import known_differences
import layers
import networks
import samples
import swale
from counterparts import COUNTERPARTS, NO_COUNTERPART, NotOffered
from swale import lib


class Report:
    def __init__(self, verbose):
        self.compared = collections.Counter()   # by section
        self.not_offered = collections.Counter()
        self.refused = 0                         # error inputs that swale refuses too
        self.failures = []
        self.known = list(known_differences.KNOWN)
        self.hits = collections.Counter()
        self.equal, self.total = collections.Counter(), collections.Counter()  # elements in 16 bits, by type
        self.off = collections.Counter()         # PyTorch's 16-bit results that are far from its f64 results
        self.verbose = verbose

    def fail(self, text):
        self.failures.append(text)
        if len(self.failures) <= 200:
            print("different: " + text, flush=True)

    def excuse(self, name, what, place):
        """Whether the difference is listed; place(known) is the mask of the elements to which it applies."""
        for known in self.known:
            if known.name == name and known.what == what and place(known):
                self.hits[id(known)] += 1
                return True
        return False

    def finish(self, partial):
        for known in self.known:
            if not self.hits[id(known)] and not partial:
                self.fail(f"{known.name}: the known difference ({known.what}: {known.cause}) no longer occurs; "
                          "take it out of known_differences.py")


def short(value):
    def one(x):
        if x.numel() <= 6:
            return f"{x.detach().tolist()}"
        return f"{str(x.dtype).split('.')[1]}{list(x.shape)}"
    text = str(samples.tree(one, value))
    return text if len(text) < 300 else text[:300] + "…"


def run_sample(report, tape, name, call, counterpart, arguments, dtype, by_element, section="operations",
               described=None):
    """Compares one sample. `described`: the arguments as known differences see them."""
    described = described or arguments
    half = dtype in samples.STORED
    try:
        kind, more = (half_samples, [name]) if half else (samples, [])
        comparison = kind.Comparison(tape, call, counterpart, arguments, dtype, by_element, samples.SLOPES.get(name),
                                     name in samples.MIXING, *more)
    except NotOffered as reason:
        report.not_offered[f"{name}: {reason}"] += 1
        return
    except swale.Refused as message:
        text = str(message)
        if not report.excuse(name, "refused", lambda known: known.when(text)):
            report.fail(f"{name} ({dtype}): swale refuses {short(arguments)}: {text}")
        report.compared[section] += 1
        return
    report.compared[section + " in 16 bits" * half] += 1
    if half:
        report.equal[dtype] += comparison.equal
        report.total[dtype] += comparison.total
        for what, _, _ in comparison.off:
            if not report.excuse(name, "16 bits", lambda known: True):
                report.off[f"{name}, {what}"] += 1
    for what, i, mask, got, wanted in comparison.differences:
        inputs = samples.tensors_of(arguments)
        rest = mask
        for known in report.known:
            if known.name == name and known.what == what:
                excused = known.when(inputs, described, i, got, wanted)
                if (rest & excused).any():
                    report.hits[id(known)] += 1
                    rest = rest & ~torch.as_tensor(excused)
        if not rest.any():
            continue
        if tuple(got.shape) != tuple(wanted.shape):
            detail = f"shape {list(got.shape)}, PyTorch {list(wanted.shape)}"
        else:
            place = tuple(int(x) for x in rest.nonzero()[0])
            detail = f"at {list(place)} {got[place]!r}, PyTorch {float(wanted[place])!r}"
            inside = [float(x[place]) for x in inputs if tuple(x.shape) == tuple(wanted.shape)]
            detail += f", {int(rest.sum())} of {rest.numel()}; inputs there {inside}"
        report.fail(f"{name} ({dtype}): {what} {i} of {short(arguments)}: {detail}")


def errors_of(report, tape, info, name, counterpart):
    if info.error_inputs_func is None:
        return
    for error in info.error_inputs("cpu"):
        sample = error.sample_input
        arguments = ([sample.input, *sample.args], sample.kwargs)
        try:
            p = samples.Pass(tape, arguments, False)
            args, kwargs = p.arguments
            counterpart(*args, **kwargs)
        except NotOffered as reason:
            report.not_offered[f"{name}, an error: {reason}"] += 1
        except swale.Refused:
            report.refused += 1
        except (TypeError, AttributeError) as reason:  # the call cannot be written
            report.not_offered[f"{name}, an error: cannot be written ({str(reason)[:60]})"] += 1
        else:
            text = str(error.error_regex)
            if not report.excuse(name, "accepted", lambda known, text=text: known.when(text)):
                report.fail(f"{name}: swale accepts {short(arguments)}; PyTorch: {text}")
        lib.sw_clear_error()


def drawn(draw, dtype, gradients):
    """The samples of a generator. Some generators cannot make samples with gradients."""
    try:
        return list(draw("cpu", dtype, requires_grad=gradients))
    except ValueError:
        found = list(draw("cpu", dtype, requires_grad=False))
        for sample in found:
            for x in samples.tensors_of([sample.input, *sample.args]):
                x.requires_grad_(gradients and x.is_floating_point())
        return found


def operations(report, tape, only):
    seen = set()
    for info in op_db:
        counterpart = COUNTERPARTS.get(info.name)
        if counterpart is None or (only and info.name not in only):
            continue
        seen.add(info.name)
        before = sum(report.compared.values())
        begin = time.time()
        by_element = isinstance(info, (BinaryUfuncInfo, UnaryUfuncInfo))
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            if dtype not in info.dtypes:
                continue
            grads = info.supports_autograd
            # The generators draw from PyTorch's and Python's streams.
            torch.manual_seed(0)
            for draw in [info.sample_inputs] + [info.reference_inputs] * (info.reference_inputs_func is not None):
                for sample in drawn(draw, dtype, grads):
                    arguments = ([sample.input, *sample.args], sample.kwargs)
                    run_sample(report, tape, info.name, info.op, counterpart, arguments, dtype, by_element)
        errors_of(report, tape, info, info.name, counterpart)
        if report.verbose:
            print(f"# {info.name} {info.variant_test_name}: {sum(report.compared.values()) - before} samples, "
                  f"{time.time() - begin:.1f} s", flush=True)
    if only:
        return
    names = {info.name for info in op_db}
    for name in sorted(set(COUNTERPARTS) - names):
        report.fail(f"{name} is in counterparts.py and not in op_db")
    # Complete: every operation of ops.h is reached, or listed with the reason.
    for name in swale.operations():
        if name in counterparts.used and name in NO_COUNTERPART:
            report.fail(f"{name} is listed as having no counterpart, and has one")
        if name not in counterparts.used and name not in NO_COUNTERPART:
            report.fail(f"{name} has neither a counterpart in counterparts.py nor a reason in NO_COUNTERPART")


def modules(report, tape, only):
    torch.manual_seed(0)
    seen = set()
    for info in module_db:
        name = info.module_cls.__name__
        if name not in layers.MODULES or (only and name not in only):
            continue
        seen.add(name)
        for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
            for training in (True, False):
                for given in info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True,
                                                     training=training):
                    inputs = (*given.forward_input.args, *given.forward_input.kwargs.values())
                    args, kwargs = given.constructor_input.args, given.constructor_input.kwargs
                    module = info.module_cls(*args, **kwargs).to(dtype).train(training)
                    try:
                        call, own, arguments = layers.arguments_of(module, inputs)
                    except NotOffered as reason:
                        report.not_offered[f"{name}: {reason}"] += 1
                        continue
                    described = (arguments[0], {k: v for k, v in vars(module).items()
                                                if isinstance(v, (int, float)) and not isinstance(v, bool)})
                    run_sample(report, tape, name, call, own, arguments, dtype, False, "layers", described)
        if info.module_error_inputs_func is not None:
            module_errors(report, tape, info, name)
    for name in sorted(set(layers.MODULES) - seen) if not only else []:
        report.fail(f"{name} is in layers.py and not in module_db")
    for fault in layers.missing_layers() if not only else []:
        report.fail(fault)


def module_errors(report, tape, info, name):
    for training in (True, False):
        for error in info.module_error_inputs_func(info, device="cpu", dtype=torch.float64, requires_grad=False,
                                                   training=training):
            given = error.module_error_input
            args, kwargs = given.constructor_input.args, given.constructor_input.kwargs
            try:
                module = info.module_cls(*args, **kwargs).to(torch.float64)
                _, own, arguments = layers.arguments_of(module, given.forward_input.args)
                p = samples.Pass(tape, arguments, False)
                own(*p.arguments[0])
            except NotOffered as reason:
                report.not_offered[f"{name}, an error: {reason}"] += 1
            except swale.Refused:
                report.refused += 1
            except Exception as reason:  # PyTorch refuses to make the module
                report.not_offered[f"{name}, an error: of the constructor ({str(reason)[:60]})"] += 1
            else:
                text = str(error.error_regex)
                if not report.excuse(name, "accepted", lambda known, text=text: known.when(text)):
                    report.fail(f"{name}: swale accepts {short(arguments)}; PyTorch: {text}")
            lib.sw_clear_error()


def rules(report, only):
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # optimizers keep scalars in it
    for info in optim_db:
        kind = info.optim_cls
        name = kind.__name__
        if only and name not in only:
            continue
        for given in info.optim_inputs_func(device="cpu"):
            for dtype in (swale.F64, swale.F32):
                try:
                    difference, sensitive = networks.compare(layers.trained(kind, given.kwargs, dtype))
                except NotOffered as reason:
                    report.not_offered[f"{name}: {reason}"] += 1
                    continue
                report.compared["rules"] += 1
                if difference:
                    report.fail(f"{name} {given.kwargs}, {swale.TYPE_NAMES[dtype]}: {difference}")
                if sensitive:
                    report.fail(f"{name} {given.kwargs}: the run is too sensitive to prove anything")
        for error in info.optim_error_inputs_func(device="cpu", dtype=torch.float64):
            options, text = error.optimizer_error_input.kwargs, str(error.error_regex)
            if not options:
                report.not_offered[f"{name}, an error: of a list of parameters"] += 1
                continue
            try:
                layers.offered(not any(isinstance(v, torch.Tensor) for value in options.values()
                                       for v in (value if isinstance(value, tuple) else [value])),
                               "a tensor as an option")
                spec = layers.spec_of(kind, options)
            except NotOffered as reason:
                report.not_offered[f"{name}, an error: {reason}"] += 1
                continue
            if layers.refuses(spec):
                report.refused += 1
            elif not report.excuse(name, "accepted", lambda known, text=text: known.when(text)):
                report.fail(f"{name}: swale accepts {spec!r}; PyTorch: {text}")
    torch.set_default_dtype(default)
    for fault in layers.missing_rules() if not only else []:
        report.fail(fault)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--section", default="", help="operations, layers, rules (all)")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    only = set(filter(None, options.only.split(",")))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    report = Report(options.verbose)
    tape = lib.sw_tape_new()
    begin = time.time()
    if not options.section or "operations" in options.section:
        operations(report, tape, only)
    if not options.section or "layers" in options.section:
        modules(report, tape, only)
    if not options.section or "rules" in options.section:
        rules(report, only)
    report.finish(bool(only or options.section))
    for name, count in report.off.items():
        report.fail(f"{name}: {count} of PyTorch's 16-bit samples are more than {half_samples.ROUNDINGS} roundings away "
                    "from its f64 result")
    for dtype, count in report.total.items():
        share = report.equal[dtype] / max(1, count)
        print(f"# {str(dtype).split('.')[1]}: {share:.2%} of {count} elements have the bits of PyTorch's 16-bit result")
    total = sum(report.not_offered.values())
    print(f"# not offered: {total}")
    for reason, count in sorted(report.not_offered.items(), key=lambda pair: -pair[1]) if report.verbose else []:
        print(f"#   {count:6} {reason}")
    print(f"check-peer-samples: {sum(report.compared.values())} samples compared "
          f"({', '.join(f'{k} {v}' for k, v in report.compared.items())}), {report.refused} error inputs refused, "
          f"{total} not offered, {sum(report.hits.values())} known differences, "
          f"{len(report.failures)} other differences, {time.time() - begin:.0f} s")
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
