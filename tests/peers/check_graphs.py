#!/usr/bin/env python3
"""Random graphs and networks in swale and PyTorch: see tests/README.md. `make check-graphs`."""
import argparse
import collections
import sys
import time
import warnings

import torch

import graphs
import networks
import swale


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the graph of this seed alone, printed")
    parser.add_argument("--only-network", type=int, help="the network of this seed alone, printed")
    parser.add_argument("--most", type=int, default=10, help="stop after as many mismatches")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    missing = sorted(set(swale.operations()) - set(graphs.NAMES))
    if missing:
        print(f"operations without a draw in tests/peers/operations.py: {' '.join(missing)}")
        return 1
    mismatches = 0
    if options.only_network is None and (options.count or options.only is not None):
        mismatches += check_graphs(options)
    if options.only is None and (options.networks or options.only_network is not None):
        mismatches += check_networks(options)
    return 1 if mismatches else 0


def check_graphs(options):
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
          f"{mismatches} mismatches, {time.time() - begin:.0f} s", flush=True)
    return mismatches


def check_networks(options):
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in it
    begin, mismatches, steps, sensitive = time.time(), 0, 0, 0
    used = collections.Counter()
    seeds = range(options.seed, options.seed + options.networks)
    if options.only_network is not None:
        seeds = [options.only_network]
    for seed in seeds:
        network = networks.Network(seed)
        if options.only_network is not None:
            print(network.text())
        difference, one_sensitive = networks.compare(network)
        steps += network.steps
        sensitive += one_sensitive
        used.update(spec.split()[0] for spec, _, _ in network.rules)
        if difference is None:
            continue
        mismatches += 1
        small, found = networks.shrink(network, difference)
        print(f"mismatch, network {seed}: {found[:2000]}\n{small.text()}\n", flush=True)
        if mismatches >= options.most:
            break
    if sensitive > max(1, len(seeds) / 20):
        print(f"{sensitive} of {len(seeds)} networks were too sensitive to prove anything")
        mismatches += 1
    print(f"check-graphs: {len(seeds)} networks from seed {seeds[0]}, {steps} steps of {len(used)} rules, "
          f"{sensitive} too sensitive, {mismatches} mismatches, {time.time() - begin:.0f} s", flush=True)
    return mismatches


if __name__ == "__main__":
    sys.exit(main())
