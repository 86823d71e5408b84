#!/usr/bin/env python3
"""Random graphs and networks in swale and PyTorch: see tests/README.md. `make check-graphs`."""
import argparse
import collections
import sys
import time
import warnings

import torch

import graphs
import swale


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the graph of this seed alone, printed")
    parser.add_argument("--most", type=int, default=10, help="stop after as many mismatches")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    missing = sorted(set(swale.operations()) - set(graphs.NAMES))
    if missing:
        print(f"operations without a draw in tests/peers/operations.py: {' '.join(missing)}")
        return 1
    tape = swale.lib.sw_tape_new()
    begin = time.time()
    used, mismatches, nodes, backward = collections.Counter(), 0, 0, 0
    seeds = [options.only] if options.only is not None else range(options.seed, options.seed + options.count)
    for seed in seeds:
        graph = graphs.Builder(seed).build()
        if options.only is not None:
            print(graphs.c_text(graph))
        nodes += len(graph.nodes)
        backward += bool(graph.roots)
        used.update(n.name for n in graph.nodes)
        mismatch = graphs.compare(graph, tape)
        if mismatch is None:
            continue
        mismatches += 1
        small, found = graphs.shrink(graph, tape)
        print(f"mismatch, seed {seed}: {found.text[:2000]}\n{graphs.c_text(small)[:4000]}\n", flush=True)
        if mismatches >= options.most:
            break
    unused = sorted(set(graphs.NAMES) - set(used))
    if options.only is None and len(seeds) >= 1000 and unused:
        print(f"operations that no graph used: {' '.join(unused)}")
        mismatches += 1
    print(f"check-graphs: {len(seeds)} graphs from seed {seeds[0]}, {nodes} tensors, {backward} with backward, "
          f"{mismatches} mismatches, {time.time() - begin:.0f} s")
    return 1 if mismatches else 0


if __name__ == "__main__":
    sys.exit(main())
