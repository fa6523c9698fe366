"""Speed of the parts of a training step on a GPU; `on_gpu.py` runs these measurements.

A training step has three parts: the batch (sampling, crops, deformation, colours), the bare
step (forward, loss, backward, optimiser) and the overhead of the loop. Each part is timed over
the same number of steps, with synchronisation of the device before and after. Two further
measurements show the time of the device itself: the bare step replayed as a CUDA graph, which
needs a single launch by the CPU, and the busy time of the device from torch's profiler.
"""

import time
from functools import partial
from unittest import mock

import torch
from _gpu_data import load_split
from _report import environment
from speed import BareTraining, clock, measure_predict

from skwing import CascadeLandmarkRegressor
from skwing._training import loop
from skwing._training.automatic import CASCADE
from skwing._utils.graphs import Replayed
from skwing._utils.random import generator_on
from skwing.networks import PlainCNN

N_READY = 8
N_SAMPLES = 1024

# Name, networks, batch sizes.
CELLS = (
    ("CNN-6", ("cnn6",), (8, 32, 64, 256)),
    ("default", CASCADE, (32, 128)),
    ("CNN-7", ("cnn7",), (8, 32)),
    ("ResNet-50", ("resnet50",), (32,)),
)


def all_cells(tiny):
    """Configurations to measure: name, networks and batch size."""
    if tiny:
        network = partial(PlainCNN, widths=(4, 8, 8, 8, 8), input_size=32)
        return [("tiny", (network,), 8)]
    return [(name, networks, size) for name, networks, sizes in CELLS for size in sizes]


def told_of(name, batch_size):
    """Fields that identify a configuration in the results."""
    return {"part": "speed", "name": f"{name}, batch {batch_size}"}


def _busy_seconds(call, device):
    """Busy time of a CUDA device during a call, in seconds, and the slowest operations."""
    activities = torch.profiler.ProfilerActivity
    with torch.profiler.profile(activities=[activities.CPU, activities.CUDA]) as profiler:
        call()
        clock(device)
    events = profiler.key_averages()
    on_device = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    # The range of the optimiser contains kernels that are already counted.
    kernels = [event for event in on_device if not event.key.startswith("Optimizer.")]
    seconds = 1e-6 * sum(event.self_device_time_total for event in kernels)
    top = sorted(kernels, key=lambda e: -e.self_device_time_total)[:12]
    return {
        "device_busy_s": seconds,
        "n_kernels": sum(event.count for event in kernels),
        "top_kernels": [
            [e.key[:80], e.count, round(1e-3 * e.self_device_time_total, 3)] for e in top
        ],
        "top_operations": [
            [e.key[:60], e.count, round(1e-3 * e.self_cpu_time_total, 3)]
            for e in sorted(events, key=lambda e: -e.self_cpu_time_total)[:12]
        ],
    }


def _time_parts(network, batches, loss, optimizer, mixed, n_steps):
    """Milliseconds per step of each part."""
    device = next(network.parameters()).device
    warm = [next(batches)[:2] for _ in range(N_READY)]
    start = clock(device)
    for _ in range(n_steps):
        next(batches)
    row = {"batch_ms": _ms(clock(device) - start, n_steps)}
    bare = BareTraining(network, optimizer, loss, warm, mixed)
    bare.seconds(N_READY)
    row["bare_ms"] = _ms(bare.seconds(n_steps), n_steps)
    if device.type != "cuda":
        return row
    few = min(n_steps, 20)
    row["batch_profile"] = _busy_seconds(lambda: [next(batches) for _ in range(few)], device)
    row["bare_profile"] = _busy_seconds(lambda: bare.seconds(few), device)
    for part in ("batch", "bare"):
        busy = row[f"{part}_profile"].pop("device_busy_s")
        row[f"{part}_busy_ms"] = round(1000 * busy / few, 3)
        row[f"{part}_kernels"] = row[f"{part}_profile"].pop("n_kernels") / few
    row["graphed_ms"] = _graphed_ms(bare, warm[0], n_steps)
    return row


def _graphed_ms(bare, batch, n_steps):
    """Milliseconds per step replayed as a CUDA graph; None if it cannot be recorded."""
    (images, *_), targets = batch
    step = Replayed(bare.step_on, generator_on(bare.device))
    for _ in range(5):
        step(images, targets)
    start = clock(bare.device)
    for _ in range(n_steps):
        step(images, targets)
    return _ms(clock(bare.device) - start, n_steps) if step.recorded else None


def _ms(seconds, n_steps):
    return round(1000 * float(seconds[0]) / n_steps, 3)


def run_cell(name, networks, batch_size, data, device, tiny):
    """Measure a configuration; return a row of results."""
    split = load_split(data, tiny)
    rows = split.rows["few"][: 16 if tiny else N_SAMPLES]
    X, y = split.faces.data[rows], split.faces.target[rows]
    n_steps = 2 if tiny else max(30, min(200, 6400 // batch_size))
    regressor = CascadeLandmarkRegressor(
        networks=networks,
        batch_size=batch_size,
        max_epochs=2 if tiny else 3,
        average_mirrored=False,  # a single prediction per crop, as for the bare networks
        retry=False,
        device=device,
        random_state=0,
    )
    parts, real = [], loop.train

    def train(network, batches, loss, optimizer, schedule, **rest):
        row = _time_parts(network, batches, loss, optimizer, rest["mixed"], n_steps)
        parts.append({"precision": "bfloat16" if rest["mixed"] else "float32", **row})
        return real(network, batches, loss, optimizer, schedule, **rest)

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    start = time.perf_counter()
    with mock.patch.object(loop, "train", train):
        regressor.fit(X, y)
    seconds = time.perf_counter() - start
    for i, part in enumerate(parts):
        history = [row for row in regressor.history_ if row["stage"] == i + 1][1:]
        steady = sum(row["seconds"] for row in history)
        n_drawn = sum(row["n_samples"] for row in history)
        part["fit_ms"] = round(1000 * steady * batch_size / n_drawn, 3)
        part["fit_samples_per_second"] = round(n_drawn / steady, 1)
        part["fit_share_of_bare"] = round(100 * part["bare_ms"] / part["fit_ms"], 1)
        part["network"] = networks[i] if isinstance(networks[i], str) else name
    cuda = device.type == "cuda"
    return {
        **told_of(name, batch_size),
        **environment(device),
        "n_samples": len(X),
        "stages": parts,
        "memory_mb": torch.cuda.max_memory_allocated(device) // 2**20 if cuda else None,
        "whole_seconds": round(seconds, 1),
        **measure_predict(regressor, X, 1 if tiny else 3),
    }
