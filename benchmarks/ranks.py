"""Measure one fit in several processes, and compute what communication costs on GPUs.

    python benchmarks/ranks.py

Fits in one process and in several, connected by gloo, alternate. Each process has one core to
itself, in which it also prepares its batches, and its main thread uses one thread of torch. The
efficiency is the time of one process, divided by the number of processes and by their time. It
is given for the training of each stage, and in CPU time, which depends less on other load. The
fits must end with the same number of draws; whether models are equal is tested by
``tests/training/test_ranks.py``.

The line of results also has figures for GPUs that are computed, not measured: bytes and number of
the collective operations of a step, and the time that they take at assumed bandwidths and
latencies.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
import torch.distributed as dist
from _report import add_out, append, environment, show_environment
from torch.nn.modules.batchnorm import _BatchNorm

from skwing import CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import NETWORKS

_PER_NORM, _PER_STEP = 2, 2  # collective operations; those of a step are the loss and gradients
# Assumed bytes per second of each device in both directions, and seconds of a small operation.
LINKS = {"NVLink": (300e9, 20e-6), "PCIe 4.0": (20e9, 25e-6), "25 Gbit Ethernet": (3e9, 50e-6)}


def fit_once(number, n_processes, folder, settings):
    """Seconds of the training of each stage, of the whole fit, and CPU seconds."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[number % len(cores)]})
    if n_processes > 1:
        place = f"file://{folder}/meeting"
        dist.init_process_group("gloo", init_method=place, rank=number, world_size=n_processes)
    X, y = make_faces(settings["n_samples"], random_state=0, return_X_y=True)
    fixed = {"networks": settings["networks"], "batch_size": settings["batch_size"]}
    reg = CascadeLandmarkRegressor(device="cpu", random_state=0, **fixed)
    reg.set_params(max_epochs=1, precision=settings["precision"]).fit(X[:32], y[:32])
    start, used = time.perf_counter(), time.process_time()
    reg.set_params(max_epochs=settings["epochs"]).fit(X, y)
    found = {"fit": time.perf_counter() - start, "cpu": time.process_time() - used}
    for stage in range(1, len(reg.networks_) + 1):
        rows = [row for row in reg.history_ if row["stage"] == stage]
        found[f"stage {stage}"] = sum(row["seconds"] for row in rows)
    return {**found, "n_samples": sum(row["n_samples"] for row in reg.history_)}


def timed(n_processes, settings):
    """Results of a fit in new processes: seconds of the first, CPU seconds of all."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "MKL_"))}
    with tempfile.TemporaryDirectory() as folder:
        told = [json.dumps([i, n_processes, folder, settings]) for i in range(n_processes)]
        started = [
            subprocess.Popen(
                [sys.executable, __file__, "--child", own],
                env={**plain, "OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                text=True,
            )
            for own in told
        ]
        lines = [process.communicate()[0].splitlines() for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError("a process failed, see above")
    found = [json.loads(own[-1]) for own in lines]
    return {**found[0], "cpu": sum(own["cpu"] for own in found)}


def measure(settings, n_processes, repeats):
    """Median of each figure, by number of processes."""
    found = {1: [], n_processes: []}
    for _ in range(repeats):
        for n, rows in found.items():
            rows.append(timed(n, settings))
    return {
        n: {name: round(float(np.median([row[name] for row in rows])), 2) for name in rows[0]}
        for n, rows in found.items()
    }


def efficiencies(seconds, n_processes):
    """Efficiency of each part of the fit; in CPU time, one process divided by all of them."""
    one, several = seconds[1], seconds[n_processes]
    parts = [name for name in one if name not in ("cpu", "n_samples")]
    found = {name: one[name] / (n_processes * several[name]) for name in parts}
    return {name: round(v, 2) for name, v in {**found, "cpu": one["cpu"] / several["cpu"]}.items()}


def computed(name, n_landmarks=68, devices=(2, 4, 8)):
    """Communication of a training step: bytes, operations, and milliseconds by link."""
    network = NETWORKS[name](n_landmarks)
    n_bytes = sum(4 * p.numel() for p in network.parameters())
    n_norms = sum(isinstance(layer, _BatchNorm) for layer in network.modules())
    n_operations = _PER_STEP + _PER_NORM * n_norms
    row = {"megabytes": round(n_bytes / 1e6, 1), "operations": n_operations}
    for link, (bandwidth, latency) in LINKS.items():
        # Each device of a ring sends, and receives, all gradients almost twice.
        times = {n: n_operations * latency + 2 * (n - 1) / n * n_bytes / bandwidth for n in devices}
        row[f"ms by {link}"] = {n: round(1e3 * seconds, 2) for n, seconds in times.items()}
    return row


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=512)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--networks", nargs="+", default=["shape_indexed_64", "shape_indexed_128"])
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_out(parser, "ranks")
    args = parser.parse_args(argv)
    if args.child:
        torch.set_num_threads(1)
        print(json.dumps(fit_once(*json.loads(args.child))))
        return
    row = environment()
    show_environment(row)
    names = ("n_samples", "epochs", "batch_size", "networks", "precision")
    settings = {name: getattr(args, name) for name in names}
    seconds = measure(settings, args.processes, args.repeats)
    assert seconds[1]["n_samples"] == seconds[args.processes]["n_samples"]
    row |= {**settings, "processes": args.processes, "repeats": args.repeats, "seconds": seconds}
    row["efficiency"] = efficiencies(seconds, args.processes)
    row["computed"] = {name: computed(name) for name in (*args.networks, "resnet50")}
    for n, found in seconds.items():
        print(f"{n} processes: {found}")
    print(f"efficiency: {row['efficiency']}")
    for name, found in row["computed"].items():
        print(f"{name}, computed: {found}")
    append(row, args.out)


if __name__ == "__main__":
    main()
