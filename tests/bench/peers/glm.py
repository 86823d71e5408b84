#!/usr/bin/env python3
"""Compares SAG, SAGA and SVRG on generalized linear models with scikit-learn and cyanure: see tests/README.md.
Prints lines "name value target ok|short"; tables follow in lines that begin with #.

PEERS_PYTHON     the Python that has scikit-learn, or cyanure, and scipy (default: python3, then /usr/bin/python3)
PEERS_SECTIONS   some of: glm_small glm_large glm_svrg glm_sample glm_memory
PEERS_GLM_ROUNDS rounds of a comparison (10)
"""
import math
import os
import statistics
import subprocess
import sys
import time

from sides import BUILD, GLM_SECTIONS, HERE, SETTLE, Refused, Side, figure, note, python_with, wanted_sections

ROUNDS = int(os.environ.get("PEERS_GLM_ROUNDS", 10))
GOALS = [1e-6, 1e-10]
MOST_EPOCHS = 200000
SMALL = ["breast_cancer", "digits", "wine"]
OURS = ["sag", "saga"]

FOLDER = os.path.join(BUILD, "peers", "glm")
os.environ["PEERS_GLM"] = FOLDER


# ---- Solvers ----


class Fit:
    """A solver of a side on a data set: how many epochs it needs, and the seconds that they take."""

    def __init__(self, side, path, data, bias, l2, seed=1):
        self.side, self.path, self.seconds, self.epochs, self.reached = side, path, [], None, None
        self.settings = {"data": data, "path": path, "bias": int(bias), "l2": repr(l2), "seed": seed}

    @property
    def label(self):
        return f"{self.side.framework}, {self.path.replace(':', ' ')}"

    @property
    def median(self):
        return statistics.median(self.seconds)

    def ask(self, epochs, verb="fit"):
        return self.side.ask(verb, epochs=epochs, **self.settings)

    def find_epochs(self, goal):
        """Finds the smallest number of epochs after which the gradient is `goal` of the first one, to 2 %. It keeps one
        number that is too small and one that is large enough, and interpolates the logarithms between them."""
        low, high, above, below = 0, 1, 1.0, self.ask(1)[1]
        while not below <= goal:
            if high >= MOST_EPOCHS:
                raise Refused(f"{self.label}: not at {goal:g} of the first gradient after {high} epochs")
            # A guess from the last stretch, to grow by at least a half and at most to fourfold.
            slope = math.log(below / above) / (high - low) if 0 < below < above else 0
            guess = high + (1.02 * math.log(goal / below) / slope if slope < 0 else high)
            low, above = high, below
            high = min(MOST_EPOCHS, max(math.ceil(1.5 * high), min(4 * high, round(guess))))
            below = self.ask(high)[1]
        while high - low > max(1, high // 50):
            width = high - low
            part = math.log(above / goal) / math.log(above / below) if below < goal < above else 0.5
            middle = low + min(max(round(part * width), max(1, width // 10)), width - max(1, width // 10))
            value = self.ask(middle)[1]
            if value <= goal:
                high, below = middle, value
            else:
                low, above = middle, value
        self.epochs = high

    def run(self):
        seconds, self.reached = self.ask(self.epochs)
        self.seconds.append(seconds)


def able(fits, goal):
    """The solvers that reach the goal."""
    found = []
    for fit in fits:
        try:
            fit.find_epochs(goal)
            found.append(fit)
        except Refused as reason:
            note(f"  left out: {reason}")
    return found


def alternate(fits, rounds):
    for fit in fits:
        fit.seconds = []
    for r in range(rounds):
        for fit in fits[r % len(fits):] + fits[:r % len(fits)]:
            time.sleep(min(SETTLE, 0.05))
            fit.run()


def ratio(ours, theirs):
    """The seconds of swale divided by those of the other library: the median over rounds."""
    return statistics.median(a / b for a, b in zip(ours.seconds, theirs.seconds))


def compare(name, ours, theirs, goal, target):
    """Compares the fastest solver of swale with the fastest one of the other library, each with the epochs that it needs."""
    ours, theirs = able(ours, goal), able(theirs, goal)
    if not ours or not theirs:
        note(f"  {name}: not compared")
        if theirs:
            figure(name, float("inf"), target, False)
        return
    for fits in (ours, theirs):
        if len(fits) > 1:
            alternate(fits, 3)
            for fit in fits:
                note(f"  trial: {fit.label:<30} {fit.median:10.5f} s, {fit.epochs} epochs")
    final = [min(fits, key=lambda fit: fit.median if fit.seconds else 0) for fits in (ours, theirs)]
    alternate(final, ROUNDS)
    for fit in final:
        spread = (max(fit.seconds) - min(fit.seconds)) / fit.median
        note(f"  {fit.label:<37} {fit.median:10.5f} s, {fit.epochs} epochs, spread {spread:.0%}, "
             f"gradient {fit.reached:.1e}")
    figure(name, ratio(*final), target, at_least=False)


# ---- Data ----


def make(name):
    """Makes FOLDER/NAME.safetensors if it does not exist."""
    if not os.path.exists(os.path.join(FOLDER, name + ".safetensors")):
        subprocess.run([PYTHON, os.path.join(HERE, "glm_data.py"), FOLDER, name], check=True)
    return name


def samples(name):
    """The number of samples of a data set."""
    known = {"breast_cancer": 569, "digits": 1797, "wine": 178}
    return known.get(name) or int(name.split("_")[1].split("x")[0])


class Sides:
    """The processes of swale and of the other frameworks, for one data set."""

    def __init__(self, *frameworks):
        self.sides = {}
        for framework in ("swale",) + frameworks:
            if framework in COMMANDS:
                self.sides[framework] = Side(framework, 1, COMMANDS[framework], name="glm-" + framework)
                note(f"{framework}: {self.sides[framework].hello}")

    def fits(self, framework, paths, data, bias):
        """Fits with scikit-learn's default penalty, C = 1."""
        side = self.sides.get(framework)
        return [Fit(side, path, data, bias, 1 / samples(data)) for path in paths] if side else []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for side in self.sides.values():
            side.end()


# ---- Sections ----


def glm_small():
    for data in SMALL:
        make(data)
        note(f"{data}, C = 1: seconds of the processor")
        with Sides("sklearn") as s:
            for goal in GOALS:
                compare(f"glm_{data}_{goal:g}", s.fits("swale", OURS, data, True),
                        s.fits("sklearn", ["sag", "saga"], data, True), goal, 1)


def glm_large():
    for data, solver, bias, target in [
            ("dense_100000x50", "saga", True, 0.2), ("dense_20000x500", "sag", True, 0.12),
            ("sparse_100000x100000", "saga", False, 0.8)]:
        make(data)
        note(f"{data}, C = 1{'' if bias else ', no intercept'}: seconds of the processor")
        with Sides("sklearn") as s:
            for goal in GOALS:
                compare(f"glm_{data}_{goal:g}", s.fits("swale", ["saga"], data, bias),
                        s.fits("sklearn", [solver], data, bias), goal, target)


def glm_svrg():
    for data in ["breast_cancer", "dense_100000x50", "dense_20000x500"]:
        make(data)
        note(f"{data}, no intercept: seconds of the processor until the gradient is 1e-9 of the first one")
        with Sides("cyanure") as s:
            compare(f"glm_svrg_{data}", s.fits("swale", ["svrg"], data, False),
                    s.fits("cyanure", ["svrg-uniform"], data, False), 1e-9, 1)


def glm_sample():
    """The time of an epoch: the difference of fits of two lengths."""
    for features, target in [(30, 1.5), (50, 1.2), (500, 1.0)]:
        data = make(f"dense_5000x{features}")
        note(f"{features} features, batch 1: nanoseconds of the processor a sample")
        with Sides("sklearn") as s:
            fits = [s.fits("swale", ["saga:batch=1"], data, True), s.fits("sklearn", ["saga"], data, True)]
            if not all(fits):
                continue
            final, each = [fits[0][0], fits[1][0]], [[], []]
            count = max(20, 4000 // features)
            for r in range(ROUNDS + 1):
                for k in ([0, 1], [1, 0])[r % 2]:
                    short, long = final[k].ask(count)[0], final[k].ask(3 * count)[0]
                    if r > 0:
                        each[k].append((long - short) / (2 * count * samples(data)) * 1e9)
            for k in range(2):
                note(f"  {final[k].label:<37} {statistics.median(each[k]):10.1f} ns")
            figure(f"glm_sample_{features}", statistics.median(a / b for a, b in zip(*each)), target, False)


def glm_memory():
    """Each solver runs three epochs in a separate process."""
    for data, ours, theirs, bias in [("dense_100000x50", "saga", "saga", True),
                                     ("dense_20000x500", "saga", "sag", True),
                                     ("sparse_100000x100000", "saga", "saga", False),
                                     ("dense_20000x500", "svrg", "svrg-uniform", False)]:
        make(data)
        peer = "cyanure" if "svrg" in theirs else "sklearn"
        with Sides(peer) as s:
            fits = [s.fits("swale", [ours], data, bias), s.fits(peer, [theirs], data, bias)]
            if not all(fits):
                continue
            peaks = [fit[0].ask(3, "memory") for fit in fits]
        for fit, (peak, more) in zip(fits, peaks):
            note(f"  {data}, {fit[0].label:<37} {peak:8.1f} MB, {more:.1f} MB more than the data")
        name = f"glm_memory_{data.split('_')[0]}_{peer}" + ("_500" if "500" in data else "")
        figure(name, peaks[0][0] / peaks[1][0], 1, False)
        figure(name + "_added", peaks[0][1] / max(peaks[1][1], 0.1), 1, False)


wanted = wanted_sections(GLM_SECTIONS)
COMMANDS = {"swale": [os.path.join(BUILD, "tests/bench/peers/side_glm_swale")]}
PYTHON = python_with("scipy, sklearn")
for framework in ["sklearn", "cyanure"]:
    python = python_with(f"scipy, {framework}") if wanted else None
    if python and PYTHON:
        COMMANDS[framework] = [python, os.path.join(HERE, "side_glm_python.py"), framework]
    elif wanted:
        note(f"{framework}: not compared: no Python that has scipy and {framework} (PEERS_PYTHON)")
if len(COMMANDS) == 1:
    sys.exit(0)
for section in wanted:
    globals()[section]()
