#!/usr/bin/env python3
"""Compares the speed with other frameworks: see tests/README.md. Prints lines "name value target ok|short"; tables
follow in lines that begin with #.

PEERS_PYTHON     the Python that has torch or jax (default: python3, then /usr/bin/python3)
PEERS_SECTIONS   some of: load steps half networks layers recurrent attention gpt grokking memory generate job inference
                 small optimizer rules muon sweep (and those of glm.py)
PEERS_THREADS    threads of every side, and one besides (2)
PEERS_ROUNDS, PEERS_SECONDS   rounds of a comparison (11), length of a run (0.2)
PEERS_EPOCHS     of the whole job (10)
PEERS_SWEEP      settings of the sweep, like "512:16 1024,1024:256" (all twelve)
PEERS_RULES      rules of the section rules, like "nadam rprop" (all that PyTorch has)
PEERS_MUON       matrices of the section muon ("1024x1024 1024x4096")
PEERS_COMPILE=0  without torch.compile
"""
import os
import re
import statistics
import subprocess
import sys
import time

from sides import (BUILD, HERE, ROUNDS, SECTIONS, Refused, Side, Way, alternate, compare, fastest, figure, note,
                   python_with, ratio, table, wanted_sections)

THREADS = min(int(os.environ.get("PEERS_THREADS", 2)), len(os.sched_getaffinity(0)))
COUNTS = sorted({1, THREADS})
COMPILE = os.environ.get("PEERS_COMPILE", "1") != "0"
MAIN = {"hidden": "100", "batch": 64}
EPOCHS = int(os.environ.get("PEERS_EPOCHS", 10))
JOB_ROUNDS = min(ROUNDS, 3)
AFTER = {"in": 4096, "out": 2441, "batch": 64}  # a layer with 10 million weights
IN_MODEL, LARGE = "100x784,100,10x100,10", "10000000"  # shapes of parameters

PATHS = {  # of each framework, for each verb
    "swale": {"train": ["loop"], "infer": ["predict", "tape"], "small": ["loop"], "optim": ["minimize"], "after": ["loop"],
              "gpt": ["loop", "loop-bf16"], "generate": ["cache"]},
    "torch": {"train": ["default", "foreach", "fused", "compile-default", "compile-fused", "compile-step"],
              "infer": ["inference_mode", "no_grad", "trace", "compile"],
              "small": ["default", "fused", "compile-fused"],
              "optim": ["default", "foreach", "fused", "compile-step"], "after": ["fused"],
              "gpt": ["default", "fused", "compile-fused", "fused-bf16", "compile-fused-bf16"],
              "generate": ["eager"]},
    "jax": {"train": ["step", "scan"], "infer": ["jit"], "small": ["step", "scan"], "optim": ["jit"]},
    "kann": {"train": ["blas", "mt", "blas-adam", "mt-adam"], "infer": ["blas"], "optim": []},
}
CORE = None  # OpenBLAS's kernels in swale
SWEEP_PATHS = {"torch": ["fused", "compile-fused"]}  # the fastest for one setting is not always the fastest for others


# ---- Frameworks that are installed ----


def commands():
    """The command that starts each side; frameworks that are not installed are left out."""
    found = {"swale": [os.path.join(BUILD, "tests/bench/peers/side_swale")]}
    for framework, modules in {"torch": "torch", "jax": "jax, optax"}.items():
        python = python_with(modules)
        if python:
            found[framework] = [python, os.path.join(HERE, f"side_{framework}.py")]
        else:
            note(f"{framework}: not compared: no Python that has {modules} (PEERS_PYTHON)")
    if os.environ.get("KANN_DIR"):
        found["kann"] = [os.path.join(BUILD, "tests/bench/peers/side_kann")]
    else:
        note("kann: not compared: KANN_DIR does not say where its sources are")
    return found


def environment(framework, threads):
    """kann uses the same kernels of OpenBLAS as swale, even if OpenBLAS takes the processor for an older one."""
    if framework == "kann" and CORE:
        return {"OPENBLAS_CORETYPE": CORE}
    if framework == "jax" and threads == 1:
        return {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false " + os.environ.get("XLA_FLAGS", "")}
    return {}


def start(framework, threads):
    return Side(framework, threads, COMMANDS[framework], environment(framework, threads))


def start_all():
    global CORE
    sides = []
    for framework in COMMANDS:
        for threads in COUNTS:
            try:
                sides.append(start(framework, threads))
                if framework == "swale":
                    CORE = re.search(r"(\w+) MAX_THREADS|$", sides[-1].hello)[1]
                note(f"{framework}, {threads}: {sides[-1].hello}")
            except Refused as reason:
                note(f"{framework}: not compared: {reason}")
    return sides


def ways(verb, framework=None, threads=None, paths=PATHS):
    """All configurations for a verb, or those of one framework or one number of threads."""
    return [Way(side, path) for side in SIDES
            if framework in (None, side.framework) and threads in (None, side.threads)
            for path in paths.get(side.framework, PATHS[side.framework]).get(verb, [])
            if (COMPILE or not path.startswith("compile"))
            and not (path.startswith("mt") and side.threads == 1)]


def others(*args, **more):
    return [way for way in ways(*args, **more) if way.side.framework != "swale"]


def forget():
    for side in SIDES:
        try:
            side.ask("forget")
        except Refused:
            pass


def by_framework(way):
    return way.name


def by_group(way):
    return way.name, way.side.threads


# ---- Sections ----


def load():
    note("seconds for the four files of Fashion-MNIST, and zlib's inflation of them alone")
    [ours, baseline] = alternate([Way(SIDES[0], "swale"), Way(SIDES[0], "zlib")], "load", {}, 11)
    peers = alternate([Way(side, "load") for side in SIDES if side.threads == 1 and side is not SIDES[0]],
                      "load", {}, 3)
    for way in [ours, baseline] + peers:
        note(f"  {way.side.framework + ', ' + way.path:<34} {way.median:8.4f} s, {way.checks[0]:.0f} samples")
    figure("load_over_zlib", 1 / ratio(baseline, ours), 1.2, at_least=False)


def check_losses(ways):
    for way in ways:
        if not 0 < way.checks[-1] < 1.5:
            figure(f"loss_{'_'.join(map(str, by_group(way)))}", way.checks[-1], 1.5, at_least=False)


def steps():
    note("784-100-10, ReLU, batch 64, adam (kann: its RMSprop, or adam), shuffled gathering included: a step")
    final = compare(ways("train", "swale"), others("train"), "train", MAIN, by_group)
    check_losses(final)
    ours = {way.side.threads: way for way in final if way.side.framework == "swale"}
    for way in final:
        framework, threads = by_group(way)
        target = {"torch": 2, "kann": 1.2, "kann_adam": 1.2}.get(framework)
        if framework != "swale":
            name = f"steps_vs_{framework}_{threads}_thread{'s' * (threads > 1)}"
            figure(name, ratio(way, ours[threads]), target)
    for way in fastest(final, by_framework):
        if way.side.framework != "swale":
            figure(f"steps_vs_{way.name}_best", ratio(way, ours[THREADS]), {"torch": 3}.get(way.name))
            BEST[way.name] = way.path
    forget()


HALF = {"swale": {"train": ["loop", "bf16", "f16"]},
        "torch": {"train": ["fused", "fused-bf16", "fused-f16", "compile-fused-bf16"]},
        "jax": {"train": []}, "kann": {"train": []}}


def half():
    """Steps in f16 and bf16, beside those in f32 and PyTorch's autocast."""
    for hidden, batch in (("100", 64), ("1024,1024", 256)):
        name = f"half_{hidden.replace(',', 'x')}_b{batch}"
        note(f"784-{hidden.replace(',', '-')}-10, batch {batch}, adam, in f32, bf16 and f16: a step")
        final = alternate(ways("train", paths=HALF), "train", {"hidden": hidden, "batch": batch}, ROUNDS)
        table(final, f"{ROUNDS} rounds", 1, final[0])
        check_losses(final)
        for threads in COUNTS:
            mine = {way.path: way for way in final if (way.side.framework, way.side.threads) == ("swale", threads)}
            for kind in ("bf16", "f16"):
                if not {"loop", kind} <= set(mine):
                    continue
                label = f"{name}_{kind}_{threads}"
                figure(f"{label}_over_f32", 1 / ratio(mine["loop"], mine[kind]))
                theirs = [way for way in final if way.side.framework == "torch" and way.side.threads == threads
                          and way.path.endswith("-" + kind)]
                for way in fastest(theirs, by_framework):
                    figure(f"{label}_vs_torch", ratio(way, mine[kind]), 1)
        forget()


NETWORKS = {"swale": {"train": ["loop"]}, "torch": {"train": ["fused", "fused-last"]},
            "jax": {"train": ["step"]}, "kann": {"train": ["blas-adam", "mt-adam"]}}  # scan: 15 times slower
NETWORK_TARGETS = {"lenet": (0.58, 0.40), "average": (0.45, 0.35), "resnet8": (0.80, 0.60)}  # of the best, of NCHW


def networks():
    """Steps of convolutional networks, beside PyTorch in both memory formats."""
    for network, batch in (("lenet", 64), ("average", 512), ("resnet8", 64)):
        note(f"{network} (networks.h), batch {batch}, adamw: a step")
        final = alternate(ways("train", paths=NETWORKS), "train", {"hidden": network, "batch": batch}, ROUNDS)
        table(final, f"{ROUNDS} rounds", 1, final[0])
        for threads in COUNTS:
            mine = {(way.side.framework, way.path): way for way in final if way.side.threads == threads}
            ours = mine.get(("swale", "loop"))
            best, first = NETWORK_TARGETS[network]
            if not ours:
                continue
            for framework in ("torch", "jax", "kann"):
                theirs = [way for (name, _), way in mine.items() if name == framework]
                for way in fastest(theirs, by_framework):
                    figure(f"{network}_{threads}_over_{way.name}", 1 / ratio(way, ours),
                           best if framework == "torch" else None, False)
            if ("torch", "fused") in mine:
                figure(f"{network}_{threads}_over_torch_nchw", 1 / ratio(mine["torch", "fused"], ours), first, False)
        forget()


LAYERS = {"swale": {"single": ["tape"]}, "torch": {"single": ["first", "last"]}, "jax": {"single": []},
          "kann": {"single": []}}
LAYER_NAMES = ["max_pool_2", "max_pool_3_stride_2", "avg_pool_2", "batch_norm", "layer_norm_768x128",
               "layer_norm_2048x32", "group_norm", "depthwise_3x3", "groups_4_3x3"]


def compare_layers(names, target):
    """Single layers (layers.h), forward alone and with backward, beside PyTorch's faster memory format."""
    for name in names:
        for kind in ("forward", "both"):
            note(f"{name} (layers.h), {kind}")
            final = alternate(ways("single", paths=LAYERS), "single", {"name": name, "pass": kind}, ROUNDS)
            table(final, f"{ROUNDS} rounds", 1, final[0])
            for threads in COUNTS:
                mine = [way for way in final if way.side.threads == threads]
                ours = [way for way in mine if way.side.framework == "swale"]
                for way in fastest([way for way in mine if way.side.framework == "torch"], by_framework):
                    figure(f"{name}_{kind}_{threads}_over_torch", 1 / ratio(way, ours[0]), target, False)
        forget()


def layers():
    compare_layers(LAYER_NAMES, 1)


def recurrent():
    """Sequences of 64 steps, 128 units and a batch of 32."""
    compare_layers(["lstm_128", "gru_128"], 0.8)


def run_job(framework, threads):
    """From the start of a process to its end: seconds, peak memory in MB, test accuracy."""
    path = BEST.get(framework, {"torch": "fused", "jax": "scan", "kann": "blas"}.get(framework))
    if path and path.startswith("compile"):
        path = "fused"  # compiling takes longer than the job
    if framework == "swale":
        command, text = [os.path.join(BUILD, "examples/fashion_mnist"), "--quiet", "--threads", str(threads),
                         "--epochs", str(EPOCHS)], ""
    else:
        command, text = COMMANDS[framework], f"job hidden=100 batch=64 epochs={EPOCHS} path={path}\n"
    processors = sorted(os.sched_getaffinity(0))[:threads]
    every = dict(os.environ, OMP_NUM_THREADS=str(threads), PEERS_THREADS=str(threads),
                 **environment(framework, threads))
    begin = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=every,
                               stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: os.sched_setaffinity(0, processors))
    process.stdin.write(text.encode())
    process.stdin.close()
    lines = process.stdout.read().decode().split("\n")
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.monotonic() - begin
    values = [line.split()[-1] for line in lines if line.startswith(("test_accuracy", "ok"))]
    if process.returncode != 0 or not values:
        raise Refused(f"the job failed: {lines[:2]}")
    return seconds, usage.ru_maxrss / 1024, float(values[-1])


def job():
    note(f"the whole job: start of the process, loading, {EPOCHS} epochs with the test set after each, end")
    results = {}
    for _ in range(JOB_ROUNDS):
        for framework in COMMANDS:
            for threads in COUNTS:
                try:
                    results.setdefault((framework, threads), []).append(run_job(framework, threads))
                except Refused as reason:
                    note(f"{framework}, {threads}: left out: {reason}")
    for (framework, threads), runs in results.items():
        seconds, memory, accuracy = map(statistics.median, zip(*runs))
        note(f"  {framework:<8} {threads} threads {seconds:9.3f} s {memory:8.1f} MB, accuracy {accuracy:.4f}")
    ours = [run[0] for run in results["swale", THREADS]]
    for framework in COMMANDS:
        theirs = [min((results.get((framework, threads), []) for threads in COUNTS),
                      key=lambda runs: statistics.median(run[0] for run in runs) if runs else 1e9)]
        if framework != "swale" and theirs[0]:
            figure(f"job_vs_{framework}", statistics.median(a[0] / b for a, b in zip(theirs[0], ours)))
    figure("job_memory_mb", max(run[1] for run in results["swale", THREADS]), 150, at_least=False)


def inference():
    for batch, name in [(1, "latency"), (1000, "throughput")]:
        note(f"784-100-10 in batches of {batch}: a picture")
        final = compare(ways("infer", "swale"), others("infer"), "infer", {"batch": batch}, by_group, batch)
        best = {way.side.framework: way for way in fastest(final, by_framework)}
        for path in PATHS["swale"]["infer"]:
            [ours] = fastest([way for way in final if way.side.framework == "swale" and way.path == path],
                             by_framework)
            for framework, way in best.items():
                if framework != "swale":
                    figure(f"{name}_{path}_vs_{framework}", ratio(way, ours), 1)
        forget()


def small():
    for batch in (8, 200, 1000):
        note(f"4-32-16-4, tanh, MSE, adam, batch {batch}, one thread: a step")
        final = compare(ways("small", "swale", 1), others("small", threads=1), "small", {"batch": batch}, by_framework)
        for way in final[1:]:
            figure(f"small_b{batch}_vs_{way.name}", ratio(way, final[0]), 1)
        forget()


ATTENTION = {"swale": {"attention": ["f32", "bf16"]},
             "torch": {"attention": ["heads", "packed", "heads-bf16", "packed-bf16"]},
             "jax": {"attention": []}, "kann": {"attention": []}}
ATTENTIONS = [  # name, batch, heads, length, features of a head, causal
    ("64_causal", 12, 4, 64, 32, 1), ("1024_causal", 1, 12, 1024, 64, 1), ("1024_full", 1, 12, 1024, 64, 0)]


def attention():
    """Forward and backward of one attention, beside PyTorch's scaled_dot_product_attention of the same type."""
    for name, *sizes in ATTENTIONS:
        settings = dict(zip(("batch", "heads", "length", "features", "causal"), sizes))
        for threads in COUNTS:
            note(f"attention {name}, {settings}, {threads} threads: forward and backward")
            for kind in ("f32", "bf16"):
                ours, theirs = ([way for way in ways("attention", framework, threads, ATTENTION)
                                 if way.path.endswith("bf16") == (kind == "bf16")] for framework in ("swale", "torch"))
                final = compare(ours, theirs, "attention", settings, by_framework)
                for way in final[1:]:
                    figure(f"attention_{name}_{kind}_{threads}_vs_{way.name}", ratio(way, final[0]), 1 / 0.75)
            forget()


def gpt():
    """In f32, and the fastest type of PyTorch beside bf16."""
    settings = {"task": "characters"}
    for threads in COUNTS:
        note(f"GPT, 4 layers, 4 heads, width 128, 12 sequences of 64 characters, adamw, {threads} threads: a step")
        ours = {way.path: way for way in alternate(ways("gpt", "swale", threads), "gpt", settings, 1)}
        for path, target in (("loop", 1 / 0.85), ("loop-bf16", 1 / 0.58)):
            theirs = [way for way in others("gpt", threads=threads)
                      if path == "loop-bf16" or not way.path.endswith("bf16")]
            if path in ours and theirs:
                final = compare([ours[path]], theirs, "gpt", settings, by_framework)
                for way in final[1:]:
                    figure(f"gpt_{path.replace('-', '_')}_{threads}_vs_{way.name}", ratio(way, final[0]), target)
        forget()


GROKKING = {"swale": {"gpt": ["loop"]}, "torch": {"gpt": ["default", "fused"]}, "jax": {"gpt": []},
            "kann": {"gpt": []}}


def grokking():
    """In f32, beside PyTorch without torch.compile."""
    for threads in COUNTS:
        note(f"transformer, 2 layers, 4 heads, width 128, 512 sequences of 4 ids, adamw, {threads} threads: a step")
        final = compare(ways("gpt", "swale", threads, GROKKING), ways("gpt", "torch", threads, GROKKING), "gpt",
                        {"task": "grokking"}, by_framework)
        for way in final[1:]:
            figure(f"grokking_{threads}_vs_{way.name}", ratio(way, final[0]), 1 / 0.7)
        forget()


def memory():
    """The bytes of the training of the GPT: those of the allocators, and the growth of the process from before the
    network is made to its peak, with the code that is loaded for it. Each measurement has a process to itself."""
    for name, path, other in (("f32", "loop", "fused"), ("bf16", "loop-bf16", "fused-bf16")):
        note(f"GPT, 4 layers, width 128, 12 sequences of 64 characters, adamw, {name}, one thread: MB")
        found = {}
        for framework, way in (("swale", path), ("torch", other)):
            try:
                side = start(framework, 1)
                found[framework] = side.ask("memory", path=way, steps=3)
                side.end()
            except (KeyError, Refused) as reason:
                note(f"{framework}: not compared: {reason}")
                continue
            allocated, resident = (bytes / 1e6 for bytes in found[framework])
            note(f"  {framework + ', ' + way:<34} {allocated:8.1f} allocated at most, process grew by {resident:.1f}")
        if len(found) == 2:
            for i, kind in enumerate(("allocated", "resident")):
                figure(f"gpt_memory_{name}_{kind}_over_torch", found["swale"][i] / found["torch"][i])


def generate():
    for threads in COUNTS:
        note(f"GPT, 4 layers, width 128, generation with a cache, one sequence, {threads} threads: a token")
        final = compare(ways("generate", "swale", threads), others("generate", threads=threads), "generate", {},
                        by_framework)
        for way in final[1:]:
            figure(f"generate_{threads}_vs_{way.name}", ratio(way, final[0]), 3)
        forget()


def optimizer():
    for shapes, name in [(IN_MODEL, "79510"), (LARGE, "10M")]:
        note(f"adamw alone, {name} parameters in f32: a step")
        final = alternate(ways("optim", "swale", THREADS) + others("optim", threads=THREADS), "optim",
                          {"shapes": shapes}, ROUNDS)
        table(final, f"{ROUNDS} rounds", 1, final[0])
        for way in final[1:]:
            target = {"default": 0.6, "fused": 1.1}.get(way.path)
            label = way.path.replace("-", "_")
            figure(f"adamw_{name}_over_{way.side.framework}_{label}", 1 / ratio(way, final[0]), target, False)
        forget()
    note("adamw after the backward of a layer with 10M weights, batch 64: the step alone")
    for threads in COUNTS:
        final = alternate(ways("after", "swale", threads) + others("after", threads=threads), "after", AFTER, ROUNDS)
        table(final, f"{ROUNDS} rounds", 1, final[0])
        for way in final[1:]:
            figure(f"adamw_after_backward_{threads}_over_{way.side.framework}_{way.path}", 1 / ratio(way, final[0]), 1,
                   False)
    forget()


RULES = ["sgd", "adagrad", "rmsprop", "adadelta", "adam", "adamax", "nadam", "radam", "asgd", "rprop", "adafactor"]
RULE_PATHS = {"swale": {"optim": ["minimize"]}, "torch": {"optim": ["default", "foreach", "fused"]},
              "jax": {"optim": []}, "kann": {"optim": []}}


def rules():
    """A step of each elementwise rule alone, and of Adafactor, beside PyTorch's fastest implementation."""
    for rule in os.environ.get("PEERS_RULES", "").split() or RULES:
        for shapes, name in [(IN_MODEL, "79510"), (LARGE, "10M")]:
            if rule == "adafactor" and shapes == LARGE:
                shapes = "10000x1000"  # its second moments of a vector are not factored
            note(f"{rule} alone, {name} parameters in f32: a step")
            final = compare(ways("optim", "swale", THREADS, RULE_PATHS), ways("optim", "torch", THREADS, RULE_PATHS),
                            "optim", {"shapes": shapes, "rule": rule}, by_framework)
            for way in final[1:]:
                figure(f"{rule}_{name}_over_{way.side.framework}", 1 / ratio(way, final[0]), 1, False)
            forget()


MUON = {"swale": {"optim": ["f32", "bf16"]}, "torch": {"optim": ["default"]}, "jax": {"optim": []},
        "kann": {"optim": []}}
MUON_TARGETS = {("1024x1024", "bf16"): 0.80, ("1024x4096", "f32"): 0.90, ("1024x4096", "bf16"): 0.45}


def muon():
    """A step of Muon on one matrix, with products in f32 and bf16, beside torch.optim.Muon, which uses bf16."""
    for shape in os.environ.get("PEERS_MUON", "1024x1024 1024x4096").split():
        for threads in COUNTS:
            note(f"muon alone, a matrix of {shape} in f32: a step")
            final = alternate(ways("optim", "swale", threads, MUON) + ways("optim", "torch", threads, MUON), "optim",
                              {"shapes": shape, "rule": "muon"}, ROUNDS)
            table(final, f"{ROUNDS} rounds", 1, final[0])
            theirs = [way for way in final if way.side.framework == "torch"]
            for way in final[:2] if theirs else []:
                target = MUON_TARGETS.get((shape, way.path)) if threads == 1 else None
                figure(f"muon_{way.path}_{shape}_{threads}_over_torch", 1 / ratio(theirs[0], way), target, False)
            forget()


def sweep():
    settings = os.environ.get("PEERS_SWEEP", "").split() or [
        f"{hidden}:{batch}" for hidden in ["512", "1024", "1024,1024"] for batch in [16, 64, 256, 1024]]
    for hidden, batch in (setting.split(":") for setting in settings):
        note(f"784-{hidden.replace(',', '-')}-10, batch {batch}: a step")
        final = compare(ways("train", "swale", THREADS), others("train", paths=SWEEP), "train",
                        {"hidden": hidden, "batch": batch}, by_framework)
        for way in final[1:]:
            name = f"{hidden.replace(',', 'x')}_b{batch}_vs_{way.name}"
            figure(name, ratio(way, final[0]), None if way.name == "kann" else 1)
        forget()


SWEEP = {name: dict(paths, train=SWEEP_PATHS.get(name, paths["train"])) for name, paths in PATHS.items()}
BEST = {}
wanted = wanted_sections(SECTIONS)
if not wanted:
    sys.exit(0)
COMMANDS = commands()
if "PEERS_DATA" not in os.environ:
    first = start("swale", 1)
    os.environ["PEERS_DATA"] = first.hello.split("data in ", 1)[1]
    first.end()
SIDES = start_all()
for name in wanted:
    globals()[name]()
for side in SIDES:
    side.end()
