#!/usr/bin/env python3
"""The rules soap and distributed_shampoo against the code of their authors: 100 steps in f64.

The NumPy references of golden/soap.py and golden/matrix_rules.py, with which the tests compare the library, take the same
steps as the authors' optimizers. The authors' code is not part of this repository; a variable names its folder, and what
is missing is skipped:

    SOAP_DIR=…         a clone of github.com/nikhilvyas/SOAP
    SHAMPOO_DIR=…      a clone of github.com/facebookresearch/optimizers
    python tests/peers/authors.py        (PyTorch 2 and NumPy 2)

SOAP computes statistics and bases in f32, whatever the type of the parameters: Tensor.float is replaced by
Tensor.double. Distributed Shampoo keeps learning rates in f32: those here are powers of 2. Parameters whose factors are
singular after the first step are left out for SOAP, because their bases are arbitrary.

The largest distance of a point, for each parameter relative to its largest element, may be 1e-10: 100 steps with
rounding errors of 2^-53, which the roots magnify. Measured: 4e-15 for SOAP, 3e-12 for Distributed Shampoo.
"""
import os
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden"))
import numpy as np
import torch

LIMIT = 1e-10


def take(optimizer, x, gradients, steps, order=None):
    """The parameters after all steps; gradients(t) in the layout of golden."""
    for t in range(steps):
        for k, (p, g) in enumerate(zip(x, gradients(t))):
            p.grad = torch.tensor(g.transpose(order[k]).copy() if order else g)
        optimizer.step()
    return [p.detach().numpy() for p in x]


def report(name, theirs, ours):
    worst = max(float(np.abs(a - b).max() / np.abs(b).max()) for a, b in zip(theirs, ours))
    print(f"{name}: {worst:.1e} from the authors' code")
    return worst <= LIMIT


def check_soap(folder):
    import soap as reference  # of golden
    from importlib.util import module_from_spec, spec_from_file_location
    spec = spec_from_file_location("authors_soap", os.path.join(folder, "soap.py"))
    authors = module_from_spec(spec)
    spec.loader.exec_module(authors)
    torch.Tensor.float = torch.Tensor.double
    cases = [(dict(spread=False), dict()),
             (dict(spread=False, lr=0.05, shampoo_beta=0.7, period=7, decay=0),
              dict(lr=0.05, shampoo_beta=0.7, precondition_frequency=7, weight_decay=0)),
             (dict(spread=False, lr=0.05, beta1=0.8, beta2=0.9, eps=1e-3, decay=0.5, period=3),
              dict(lr=0.05, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.5, precondition_frequency=3))]
    good = True

    def split(v):
        return [v[a:b].reshape(p[1]) for a, b, p in
                zip(reference.BOUNDS, reference.BOUNDS[1:], reference.PARAMS[:reference.REGULAR])]

    for ours, theirs in cases:
        x = [torch.tensor(v.copy(), requires_grad=True) for v in split(reference.X0)]
        end = take(authors.SOAP(x, **theirs), x, lambda t: split(reference.G[t]), reference.STEPS)
        good &= report(f"soap {theirs}", end, split(reference.run(np.float64, False, ours)[-1]))
    return good


def check_shampoo(folder):
    sys.path.insert(0, folder)
    import distributed_shampoo as authors
    import matrix_rules as reference
    names, shapes = [p[0] for p in reference.PARAMS], [p[1] for p in reference.PARAMS]
    order = [(0, 3, 1, 2) if n == "conv" else tuple(range(len(s))) for n, s in zip(names, shapes)]
    root = authors.EigenConfig(rank_deficient_stability_config=authors.PerturbationConfig(perturb_before_computation=False))
    preconditioner = authors.RootInvShampooPreconditionerConfig(
        factor_matrix_dtype=torch.float64, inv_factor_matrix_dtype=torch.float64, amortized_computation_config=root)
    adam = authors.AdamPreconditionerConfig(beta2=0.999, epsilon=1e-8)
    cases = [(dict(lr=2**-6, eps=1e-4, start=5, period=4),
              dict(lr=2**-6, betas=(0.9, 0.999), epsilon=1e-4, start_preconditioning_step=5, precondition_frequency=4,
                   grafting_config=adam)),
             (dict(lr=2**-6, eps=1e-4, start=10, period=10, block=4, decay=0.1),
              dict(lr=2**-6, betas=(0.9, 0.999), epsilon=1e-4, start_preconditioning_step=10, precondition_frequency=10,
                   max_preconditioner_dim=4, weight_decay=0.1, grafting_config=adam)),
             (dict(lr=2**-3, eps=1e-2, beta2=1, start=1, period=1, grafting="none"),
              dict(lr=2**-3, betas=(0.9, 1.0), epsilon=1e-2, start_preconditioning_step=1, precondition_frequency=1))]
    good = True
    for ours, theirs in cases:
        x = [torch.tensor(v.transpose(o).copy(), requires_grad=True)
             for v, o in zip(reference.split(reference.X0, np.float64), order)]
        end = take(authors.DistributedShampoo(x, preconditioner_config=preconditioner, **theirs), x,
                   lambda t: reference.split(reference.G[t], np.float64), reference.STEPS, order)
        step, states = reference.distributed(np.float64, spread=False, **ours), [{} for _ in names]
        at = reference.split(reference.X0, np.float64)
        for t in range(reference.STEPS):
            g = reference.split(reference.G[t], np.float64)
            at = [step(t + 1, p, at[p], g[p], states[p]) for p in range(len(names))]
        end = [v.transpose(np.argsort(o)) for v, o in zip(end, order)]
        good &= report(f"distributed_shampoo {ours}", end, at)
    return good


def main():
    good = True
    for variable, check in (("SHAMPOO_DIR", check_shampoo), ("SOAP_DIR", check_soap)):
        if variable in os.environ:
            good &= check(os.environ[variable])
        else:
            print(f"{variable} is not set: skipped")
    return 0 if good else 1


sys.exit(main())
