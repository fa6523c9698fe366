"""What a training costs on quiet cores and beside other programs, against the best by hand.

    python benchmarks/contention.py

Each fit runs in a process of its own, after a short one that warms up, and is timed there:
as it comes; and with neither its one thread nor its batches made ahead, so that torch uses as
many threads as are set by hand (one, and all cores). Each is timed with nothing beside it and
beside busy loops, as many as there are cores, in turn within every repeat; figures are medians
over the repeats. A run that takes longer than the limit is stopped and counts with the limit:
its true time is longer.

Environment variables of OpenMP are taken away, as users do not know them. On a machine that is
busy with other work, "quiet" is not: the load average is told, and ratios within a column hold
better than seconds.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from unittest import mock

import numpy as np
import torch
from _report import add_out, append, environment, show_environment

from skwing import CascadeLandmarkRegressor
from skwing._training import train_stage
from skwing._utils import threads
from skwing.datasets import make_faces

# Ends with its parent, however that ends.
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def fit_once(n_threads, n_samples, epochs, networks):
    """In a process of its own: seconds of a fit; `n_threads` by hand, or None as it comes."""
    X, y = make_faces(n_samples, random_state=0, return_X_y=True)
    settings = {"networks": tuple(networks), "random_state": 0}
    with by_hand(n_threads):
        CascadeLandmarkRegressor(max_epochs=1, **settings).fit(X[:32], y[:32])
        start = time.perf_counter()
        CascadeLandmarkRegressor(max_epochs=epochs, **settings).fit(X, y)
        return time.perf_counter() - start


@contextlib.contextmanager
def by_hand(n_threads):
    """Context in which fit uses that many threads of torch and makes no batch ahead."""
    if n_threads is None:
        yield
        return
    torch.set_num_threads(n_threads)
    kind = type(threads.one_thread)
    nothing = {"__enter__": lambda self: None, "__exit__": lambda self, *error: None}
    with (
        mock.patch.multiple(kind, **nothing),
        mock.patch.object(train_stage, "made_ahead", nullcontext),
    ):
        yield


@contextlib.contextmanager
def beside(n_loops):
    """Context beside which as many processes do nothing but keep cores busy."""
    loops = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(n_loops)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def timed(n_threads, args):
    """Seconds of a fit in a fresh process, at most the limit."""
    told = json.dumps([n_threads, args.n_samples, args.epochs, args.networks])
    command = [sys.executable, __file__, "--child", told]
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_", "MKL_"))}
    try:
        done = subprocess.run(
            command, env=plain, stdout=subprocess.PIPE, text=True, check=True, timeout=args.limit
        )
    except subprocess.TimeoutExpired:
        return args.limit
    return json.loads(done.stdout.splitlines()[-1])


def measure(args, n_cores):
    """Median seconds by condition and by way, and the load that each condition was under."""
    ways = {"default": None, "1 thread": 1}
    if n_cores > 1:
        ways[f"{n_cores} threads"] = n_cores
    conditions = {"quiet": 0, "busy": args.busy or n_cores}
    seconds = {name: {way: [] for way in ways} for name in conditions}
    for _ in range(args.repeats):
        for name, n_loops in conditions.items():
            with beside(n_loops):
                for way, n_threads in ways.items():
                    seconds[name][way].append(timed(n_threads, args))
    return {
        name: {way: round(float(np.median(values)), 2) for way, values in row.items()}
        for name, row in seconds.items()
    }


def against_best(row):
    """How much longer the default takes than the best by hand, as a factor."""
    return round(row["default"] / min(v for way, v in row.items() if way != "default"), 2)


def main(argv=None):
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=["shape_indexed_64"])
    parser.add_argument("--busy", type=int, help="busy loops; as many as cores if not given")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120, help="seconds that a run may take")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_out(parser, "contention")
    args = parser.parse_args(argv)
    if args.child:
        print(json.dumps(fit_once(*json.loads(args.child))))
        return
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    row = environment()
    show_environment(row)
    seconds = measure(args, n_cores)
    row |= {
        "n_samples": args.n_samples,
        "epochs": args.epochs,
        "networks": args.networks,
        "busy_loops": args.busy or n_cores,
        "repeats": args.repeats,
        "limit": args.limit,
        "seconds": seconds,
        "default_to_best": {name: against_best(times) for name, times in seconds.items()},
    }
    for name, times in seconds.items():
        told = ", ".join(f"{way} {value:.1f} s" for way, value in times.items())
        print(f"{name}: {told}; default / best by hand {row['default_to_best'][name]:.2f}")
    append(row, args.out)


if __name__ == "__main__":
    main()
