"""The sides of a comparison: processes that answer requests in turn; and the output of results."""
import os
import select
import shutil
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("PEERS_BUILD", "build")
ROUNDS = int(os.environ.get("PEERS_ROUNDS", 11))
SECONDS = float(os.environ.get("PEERS_SECONDS", 0.2))  # of one run, about
SETTLE = 0.2  # until threads that spin after their work are asleep (OpenBLAS's do for up to 90 ms)
PATIENCE = 600  # seconds for one answer: compilers take their time
SECTIONS = ["load", "steps", "half", "networks", "layers", "recurrent", "attention", "gpt", "grokking", "memory", "generate",
            "job", "inference", "small", "optimizer", "rules", "muon", "sweep"]  # of run.py
GLM_SECTIONS = ["glm_small", "glm_large", "glm_svrg", "glm_sample", "glm_memory"]  # of glm.py


def wanted_sections(mine):
    """The sections of `mine` that PEERS_SECTIONS selects (default: all)."""
    names = os.environ.get("PEERS_SECTIONS", " ".join(SECTIONS + GLM_SECTIONS)).split()
    unknown = [name for name in names if name not in SECTIONS + GLM_SECTIONS]
    if unknown:
        sys.exit(f"PEERS_SECTIONS: {' '.join(unknown)}: known are {' '.join(SECTIONS + GLM_SECTIONS)}")
    return [name for name in mine if name in names]


def python_with(module):
    wanted = os.environ.get("PEERS_PYTHON")
    for python in [wanted] if wanted else ["python3", "/usr/bin/python3"]:
        found = shutil.which(python)
        if found and subprocess.run([found, "-c", f"import numpy, {module}"], stdout=subprocess.DEVNULL,
                                    stderr=subprocess.DEVNULL).returncode == 0:
            return found
    return None


class Refused(Exception):
    """A side cannot execute a request, or has ended."""


class Side:
    """One process of a framework with a number of threads."""

    def __init__(self, framework, threads, command, environment=None, name=None):
        self.framework, self.threads = framework, threads
        self.log = os.path.join(BUILD, "peers", f"{name or framework}-{threads}.log")
        os.makedirs(os.path.dirname(self.log), exist_ok=True)
        count = str(threads)
        every = dict(os.environ, SW_THREADS=count, OMP_NUM_THREADS=count, PEERS_THREADS=count,
                     **(environment or {}))
        processors = sorted(os.sched_getaffinity(0))[:threads]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=every,
                preexec_fn=lambda: os.sched_setaffinity(0, processors))
        self.rest = b""
        self.hello = self.answer()[2]

    def answer(self):
        deadline = time.monotonic() + PATIENCE
        while b"\n" not in self.rest:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            piece = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not piece:
                self.end()
                raise Refused(f"{'ended' if ready else 'no answer'}: see {self.log}")
            self.rest += piece
        line, _, self.rest = self.rest.partition(b"\n")
        verdict, _, text = line.decode().partition(" ")
        if verdict != "ok":
            raise Refused(text)
        seconds, check, *hello = text.split(" ", 2)
        return float(seconds), float(check), hello[0] if hello else ""

    def ask(self, verb, **settings):
        """Seconds for a step (picture, load), and a number that shows that the work was done."""
        words = [verb, *(f"{name}={value}" for name, value in settings.items())]
        try:
            self.process.stdin.write((" ".join(words) + "\n").encode())
            self.process.stdin.flush()
        except OSError:
            raise Refused(f"ended: see {self.log}")
        return self.answer()[:2]

    def end(self):
        self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Way:
    """A configuration of a side: a variant of an optimizer, compiled or not."""

    def __init__(self, side, path):
        self.side, self.path = side, path
        self.seconds, self.checks = [], []

    @property
    def name(self):
        """The name of the framework; kann with the Adam of this comparison counts as a separate framework."""
        return self.side.framework + ("_adam" if self.path.endswith("adam") else "")

    @property
    def label(self):
        return f"{self.side.framework}, {self.side.threads} threads, {self.path}".replace(
            "1 threads", "1 thread")

    @property
    def median(self):
        return statistics.median(self.seconds)

    def calibrate(self, verb, settings, unit):
        """The number of steps that take about SECONDS."""
        self.steps = 3
        for _ in range(2):
            seconds, _ = self.side.ask(verb, path=self.path, steps=self.steps, **settings)
            self.steps = max(2, min(20000, round(SECONDS / (seconds * unit + 1e-9))))

    def run(self, verb, settings):
        seconds, check = self.side.ask(verb, path=self.path, steps=self.steps, **settings)
        self.seconds.append(seconds)
        self.checks.append(check)


def alternate(ways, verb, settings, rounds, unit=1):
    """Runs each configuration once per round, and starts each round with another one. Returns those that succeed.
    unit: the number of units (pictures, for example) in a step; seconds are those of one unit."""
    able = []
    for way in ways:
        way.seconds, way.checks = [], []
        try:
            way.calibrate(verb, settings, unit)
            able.append(way)
        except Refused as reason:
            note(f"{way.label}: left out: {reason}")
    for r in range(rounds):
        for way in able[r % len(able):] + able[:r % len(able)]:
            time.sleep(SETTLE)
            way.run(verb, settings)
    return able


def fastest(ways, key):
    """The configuration with the smallest median for each key."""
    best = {}
    for way in sorted(ways, key=lambda way: way.median):
        best.setdefault(key(way), way)
    return list(best.values())


def compare(ours, theirs, verb, settings, key, unit=1):
    """Runs a trial of all configurations of the other frameworks, and then compares the fastest of each key with
    swale. Prints both tables, and returns the configurations of the second one."""
    finalists = theirs
    if len(theirs) > 1:
        trial = alternate(theirs, verb, settings, min(3, ROUNDS), unit)
        table(trial, "trial", unit)
        finalists = fastest(trial, key)
    final = alternate(ours + finalists, verb, settings, ROUNDS, unit)
    table(final, f"{ROUNDS} rounds", unit, final[0] if final else None)
    return final


def ratio(theirs, ours):
    """The seconds of another framework divided by those of swale: the median over rounds."""
    return statistics.median(a / b for a, b in zip(theirs.seconds, ours.seconds))


# ---- Output ----


def note(text):
    print("#", text, flush=True)


def figure(name, value, target=None, at_least=True):
    """Prints a figure in the format of tests/bench/bench.h."""
    if target is None:
        print(f"{name:<32} {value:9.3f} {'-':<8} reported", flush=True)
        return
    good = value >= target if at_least else value <= target
    print(f"{name:<32} {value:9.3f} {'>=' if at_least else '<='}{target:<6g} {'ok' if good else 'short'}",
          flush=True)


def table(ways, title, unit=1, reference=None):
    note(f"  {title:<34} {'µs':>11} {'a second':>11} {'spread':>7} {'check':>8}" +
         (f" {'ratio':>7}" if reference else ""))
    for way in ways:
        spread = (max(way.seconds) - min(way.seconds)) / way.median
        line = f"  {way.label:<34} {way.median * 1e6:11.3f} {1 / way.median:11.1f} {spread:7.0%} " \
               f"{statistics.median(way.checks):8.4f}"
        note(line + (f" {ratio(way, reference):7.2f}" if reference else ""))
