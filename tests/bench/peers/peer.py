"""Code that the sides in Python share: the protocol (see peer.h) and Fashion-MNIST as NumPy arrays."""
import functools
import gzip
import os
import sys
import time

import numpy

INPUTS, CLASSES, CHECKED = 784, 10, 1000


def read(name):
    with gzip.open(os.path.join(os.environ["PEERS_DATA"], name + ".gz")) as file:
        contents = file.read()
    return numpy.frombuffer(contents, numpy.uint8, offset=4 + 4 * contents[3])


def load(split):
    """Pictures [n, 784] as float32 in [0, 1], class ids [n] as int64."""
    x = read(split + "-images-idx3-ubyte").reshape(-1, INPUTS).astype(numpy.float32)
    x *= numpy.float32(1 / 255)
    return x, read(split + "-labels-idx1-ubyte").astype(numpy.int64)


def small_data(batch):
    """Inputs and targets [batch, 4] of the small network, as side_swale.c makes them."""
    i = numpy.arange(4 * batch)
    return [(i % period / period * 2 - 1).astype(numpy.float32).reshape(batch, 4) for period in (17, 13)]


def resident_reset():
    """The peak of the resident memory begins again."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5\n")


def resident_bytes(name):
    """The bytes in a line of /proc/self/status: VmRSS now, VmHWM at most."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(name + ":"))


cached = {}  # what is kept from request to request, by setting


def once(make):
    """Makes each setting's object once, until cached is cleared."""
    @functools.wraps(make)
    def get(*setting):
        if (make, setting) not in cached:
            cached[make, setting] = make(*setting)
        return cached[make, setting]
    return get


def timed(run, steps, warm=None):
    """A fifth of the steps untimed (or `warm`), then all of them: seconds a step, and the last result."""
    run(warm or max(steps // 5, 3))
    start = time.perf_counter()
    last = run(steps)
    return (time.perf_counter() - start) / steps, last


def serve(hello, verbs):
    print("ok 0 0", hello, flush=True)
    for line in sys.stdin:
        verb, *settings = line.split()
        try:
            answer = verbs[verb](**dict(setting.split("=", 1) for setting in settings))
            seconds, check = answer if answer else (0, 0)
            print(f"ok {seconds:.9g} {check:.6g}", flush=True)
        except Exception as error:  # what this version cannot do drops out of the comparison
            message = f"{type(error).__name__}: {error}".splitlines()
            print("no", message[0] if message else "", flush=True)
