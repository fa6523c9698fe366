"""Measure the training time on idle and on busy cores, compared with manual thread settings.

    python benchmarks/contention.py

Each fit runs in a separate process, after a short warm-up fit. The default is compared with
fits without the single thread and without prefetching of batches, where torch uses one thread
or as many threads as there are cores. All are timed on idle cores and beside busy loops, one
per core, alternately within each repeat. The results are medians over the repeats. Runs
that exceed the time limit are stopped and count as the limit, so their time is a lower bound.

Environment variables of OpenMP are removed. If the machine is busy with other work, the "quiet"
times are affected too; the load average is therefore printed, and ratios within a column are
more reliable than seconds.
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

# Exits with its parent process.
_BUSY = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


def fit_once(n_threads, n_samples, epochs, networks):
    """Seconds of a fit, run in a separate process; `n_threads=None` uses the default."""
    X, y = make_faces(n_samples, random_state=0, return_X_y=True)
    settings = {"networks": tuple(networks), "random_state": 0}
    with by_hand(n_threads):
        CascadeLandmarkRegressor(max_epochs=1, **settings).fit(X[:32], y[:32])
        start = time.perf_counter()
        CascadeLandmarkRegressor(max_epochs=epochs, **settings).fit(X, y)
        return time.perf_counter() - start


@contextlib.contextmanager
def by_hand(n_threads):
    """Context in which fit uses `n_threads` torch threads and prefetches no batches."""
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
    """Context with the given number of busy processes."""
    loops = [subprocess.Popen([sys.executable, "-c", _BUSY]) for _ in range(n_loops)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def timed(n_threads, args):
    """Seconds of a fit in a new process, at most the limit."""
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
    """Median seconds by condition and setting, and the load average of each condition."""
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
    """Ratio of the time of the default to that of the best manual setting."""
    return round(row["default"] / min(v for way, v in row.items() if way != "default"), 2)


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--networks", nargs="+", default=["shape_indexed_64_coarse"])
    parser.add_argument("--busy", type=int, help="number of busy loops; default: number of cores")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120, help="time limit of a run, in seconds")
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
