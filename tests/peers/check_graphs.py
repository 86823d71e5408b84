#!/usr/bin/env python3
"""Random graphs and networks in swale and PyTorch: see tests/README.md. `make check-graphs`."""
import argparse
import collections
import sys
import time
import warnings

import torch

import graphs
import half_graphs
import half_networks
import networks
import picture_networks
import sequence_networks
import swale


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--half", type=int, default=5000, help="graphs with tensors in f16 and bf16")
    parser.add_argument("--networks", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="the graph of this seed alone, printed")
    parser.add_argument("--only-half", type=int, help="the graph in 16 bits of this seed alone, printed")
    parser.add_argument("--pictures", type=int, default=500, help="networks of pictures")
    parser.add_argument("--half-pictures", type=int, default=200, help="those in f16 and bf16")
    parser.add_argument("--only-picture", type=int, help="the network of pictures of this seed alone, printed")
    parser.add_argument("--only-half-picture", type=int)
    parser.add_argument("--sequences", type=int, default=500, help="networks of recurrent layers and transformers")
    parser.add_argument("--half-sequences", type=int, default=200, help="those in f16 and bf16")
    parser.add_argument("--only-sequence", type=int, help="the network of sequences of this seed alone, printed")
    parser.add_argument("--only-half-sequence", type=int)
    parser.add_argument("--half-networks", type=int, default=300, help="networks in f16 and bf16")
    parser.add_argument("--only-half-network", type=int)
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
    sections = [("graphs", check_graphs, graphs, options.count, options.only),
                ("graphs in 16 bits", check_graphs, half_graphs, options.half, options.only_half),
                ("networks", check_networks, networks, options.networks, options.only_network),
                ("networks in 16 bits", check_networks, half_networks, options.half_networks,
                 options.only_half_network),
                ("networks of pictures", check_networks, picture_networks, options.pictures, options.only_picture),
                ("networks of pictures in 16 bits", check_networks, picture_networks.Half, options.half_pictures,
                 options.only_half_picture),
                ("networks of sequences", check_networks, sequence_networks, options.sequences, options.only_sequence),
                ("networks of sequences in 16 bits", check_networks, sequence_networks.Half, options.half_sequences,
                 options.only_half_sequence)]
    alone = any(only is not None for *_, only in sections)
    for name, check, kind, count, only in sections:
        if only is not None if alone else count:
            mismatches += check(options, name, kind, count, only)
    return 1 if mismatches else 0


def check_graphs(options, name, kind, count, only):
    """kind: the module that draws and compares."""
    tape = swale.lib.sw_tape_new()
    begin = time.time()
    used, mismatches, nodes, backward = collections.Counter(), 0, 0, 0
    seeds = [only] if only is not None else range(options.seed, options.seed + count)
    for seed in seeds:
        graph = kind.Builder(seed).build()
        if only is not None:
            print(graphs.c_text(graph))
        nodes += len(graph.nodes)
        backward += bool(graph.roots)
        used.update(n.name for n in graph.nodes)
        mismatch = kind.compare(graph, tape)
        if mismatch is None:
            continue
        mismatches += 1
        small, found = kind.shrink(graph, tape)
        print(f"mismatch, seed {seed}: {found.text[:2000]}\n{graphs.c_text(small)[:4000]}\n", flush=True)
        if mismatches >= options.most:
            break
    unused = sorted(set(graphs.NAMES) - set(used))
    if len(seeds) >= 1000 and unused:
        print(f"operations that no graph used: {' '.join(unused)}")
        mismatches += 1
    print(f"check-graphs: {len(seeds)} {name} from seed {seeds[0]}, {nodes} tensors, {backward} with backward, "
          f"{mismatches} mismatches, {time.time() - begin:.0f} s", flush=True)
    return mismatches


def check_networks(options, name, kind, count, only):
    """kind: the module that draws and compares."""
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in it
    begin, mismatches, steps, sensitive = time.time(), 0, 0, 0
    used = collections.Counter()
    seeds = [only] if only is not None else range(options.seed, options.seed + count)
    for seed in seeds:
        network = kind.Network(seed)
        if only is not None:
            print(network.text())
        difference, one_sensitive = kind.compare(network)
        steps += network.steps
        sensitive += one_sensitive
        used.update(spec.split()[0] for spec, _, _ in network.rules)
        if difference is None:
            continue
        mismatches += 1
        small, found = kind.shrink(network, difference)
        print(f"mismatch, network {seed}: {found[:2000]}\n{small.text()}\n", flush=True)
        if mismatches >= options.most:
            break
    if sensitive > max(1, len(seeds) / 20):
        print(f"{sensitive} of {len(seeds)} networks were too sensitive to prove anything")
        mismatches += 1
    print(f"check-graphs: {len(seeds)} {name} from seed {seeds[0]}, {steps} steps of {len(used)} rules, "
          f"{sensitive} too sensitive, {mismatches} mismatches, {time.time() - begin:.0f} s", flush=True)
    return mismatches


if __name__ == "__main__":
    sys.exit(main())
