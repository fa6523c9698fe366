"""Measure the speed of fit and predict, relative to bare networks on prepared batches.

    python benchmarks/speed.py

The bare loop consists of forward pass, loss, backward pass and optimiser step only (for
predict: forward passes), on batches in memory. It uses copies of the networks and the optimiser
of the estimator, with the same loss, batch size, memory format and precision, and batches made
by the estimator.

fit, steady epochs: `CascadeLandmarkRegressor.fit` runs unchanged. After each epoch of a stage,
the bare loop takes the same number of steps, so both run under the same load of the machine.
The seconds of an epoch are those of `history_`, including the preparation of batches. The
first epoch of a stage is a warm-up and is excluded. The share is the median over these pairs.

fit, whole: the remaining time of `fit` (validation, decoding, chips, crops of later stages) is
measured too, and added to the time of the default number of epochs. The time of the bare loop
does not include the preparation of batches.

predict: from chips in memory, and from the images (decoding, chips, crops, mapping back),
alternately in each repeat. The bare loop uses the networks as trained, whereas predict folds
batch normalisation into the convolutions; its share may therefore exceed 100 %.

Shares are valid on a busy machine too, because both loops are slowed down equally; samples per
second are not. Shares by CPU time (all threads of the process) are also printed: they are
least affected by other programs, but underestimate work on one core while another one waits.
"""

import argparse
import copy
import time
from unittest import mock

import numpy as np
import torch
from _report import add_out, append, environment, show_environment

from skwing import CascadeLandmarkRegressor
from skwing._crops.chips import cut_chips
from skwing._prediction.passes import crops_a_pass
from skwing._prediction.read_images import read_chips
from skwing._prediction.stages import Stage
from skwing._training import loop
from skwing._training.automatic import CASCADE
from skwing._training.parameters import SETTINGS, stage_settings
from skwing._utils.checks import check_table
from skwing._utils.device import check_device
from skwing.datasets import load_300w, make_faces
from skwing.images import as_boxed_images
from skwing.networks import folded

N_READY = 32  # prepared batches; more than fit into the caches of a processor


def clock(device):
    """Wall-clock and CPU time in seconds, after synchronising the device."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return np.array([time.perf_counter(), time.process_time()])


class BareTraining:
    """Bare training steps of a network."""

    def __init__(self, sided, optimizer, loss, batches, mixed):
        # Copied together, so that the copied optimiser updates the copied network.
        sided, self.optimizer = copy.deepcopy((sided, optimizer))
        self.network = sided.network
        self.loss, self.batches, self.mixed = loss, batches, mixed
        self.device = next(self.network.parameters()).device

    def step(self, number):
        """Take a step on the next batch."""
        (images, *_), targets = self.batches[number % len(self.batches)]
        self.step_on(images, targets)

    def step_on(self, images, targets):
        """Take a step on a batch; return the loss before the step."""
        with loop.autocast(self.device, self.mixed):
            points = self.network(images)
        if points.ndim == 4:  # several estimates per image, all included in the loss
            targets = targets[:, None]
        value = self.loss(points.float() - targets).mean()
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        return value.detach()

    def seconds(self, n_steps):
        """Wall-clock and CPU time of the given number of steps, in seconds."""
        self.network.train()
        start = clock(self.device)
        for number in range(n_steps):
            self.step(number)
        return clock(self.device) - start


def fit_beside_bare(regressor, X, y):
    """Fit, with the same number of bare steps after each epoch.

    Returns
    -------
    stages : list of dict
        ``skwing`` and ``bare``, each a list of seconds per epoch (wall-clock and CPU time), and
        ``mixed``.
    seconds : ndarray of shape (2,)
        Wall-clock and CPU time of the fit, without the bare steps.
    """
    stages, aside, real = [], [], loop.train

    def train(network, batches, loss, optimizer, schedule, *, n_steps, on_epoch, **rest):
        device = next(network.parameters()).device
        start = clock(device)
        ready = [next(batches)[:2] for _ in range(min(n_steps, N_READY))]
        bare = BareTraining(network, optimizer, loss, ready, rest["mixed"])
        stage = {"skwing": [], "bare": [], "mixed": rest["mixed"]}
        stages.append(stage)
        last = clock(device)
        aside.append(last - start)

        def between(row):
            nonlocal last
            start = clock(device)
            # The time of `history_`, which is recorded before this function is called.
            stage["skwing"].append(np.array([row["seconds"], start[1] - last[1]]))
            stage["bare"].append(bare.seconds(n_steps))
            last = clock(device)
            aside.append(last - start)
            return on_epoch(row)

        return real(
            network, batches, loss, optimizer, schedule, n_steps=n_steps, on_epoch=between, **rest
        )

    with mock.patch.object(loop, "train", train):
        device = check_device(regressor.device)
        start = clock(device)
        regressor.fit(X, y)
        seconds = clock(device) - start - sum(aside)
    return stages, seconds


def compare(bare, skwing, n_samples):
    """Row of results: samples per second of both loops, and their ratio.

    `bare` and `skwing` contain the seconds of the repeats, as wall-clock and CPU time. All
    results are medians over the repeats; shares are in percent.
    """
    bare, skwing = np.array(bare), np.array(skwing)
    shares = 100 * bare / skwing
    low, share, high = np.percentile(shares[:, 0], [25, 50, 75]).round(1).tolist()
    return {
        "skwing_samples_per_second": round(n_samples / float(np.median(skwing[:, 0])), 1),
        "bare_samples_per_second": round(n_samples / float(np.median(bare[:, 0])), 1),
        "share": share,
        "share_quartiles": [low, high],
        "share_of_cpu_time": round(float(np.median(shares[:, 1])), 1),
    }


def measure_fit(regressor, X, y, epochs):
    """Results of fit, by stage and overall; `epochs` are the epochs per stage of a whole fit."""
    stages, seconds = fit_beside_bare(regressor, X, y)
    n_drawn = regressor.history_[0]["n_samples"]
    one_off = seconds - sum(sum(stage["skwing"]) for stage in stages)
    rows, bare_total, total = [], np.zeros(2), np.zeros(2)
    for name, stage, n_epochs in zip(regressor.networks, stages, epochs, strict=True):
        bare, skwing = stage["bare"][1:], stage["skwing"][1:]
        precision = "bfloat16" if stage["mixed"] else "float32"
        row = {"network": name, "precision": precision, **compare(bare, skwing, n_drawn)}
        rows.append(row)
        spent = n_epochs * np.median(bare, axis=0)
        bare_total += spent
        # Computed from the shares, which are reliable under load.
        total += 100 * spent / [row["share"], row["share_of_cpu_time"]]
    steady, whole = 100 * bare_total / total, 100 * bare_total / (total + one_off)
    return {
        "fit_stages": rows,
        "fit_epochs": list(epochs),
        "fit_steady": _shares(steady),
        "fit_one_off_seconds": one_off.round(2).tolist(),
        "fit_whole": _shares(whole),
    }


def _shares(pair):
    return dict(zip(("share", "share_of_cpu_time"), pair.round(1).tolist(), strict=True))


class BarePrediction:
    """Bare forward passes of networks, with the same batch size."""

    def __init__(self, networks, n_samples, device):
        self.networks, self.device = networks, device
        size = crops_a_pass(device)
        self.sizes = [len(rows) for rows in torch.arange(n_samples).split(size)]
        self.batches = []
        for network in networks:
            shape = (size, 3, network.input_size, network.input_size)
            ready = [torch.rand(shape, device=device) for _ in range(min(8, len(self.sizes)))]
            last = torch.channels_last
            self.batches.append([batch.contiguous(memory_format=last) for batch in ready])

    @torch.inference_mode()
    def seconds(self):
        """Seconds of all forward passes of each network."""
        spent = []
        for network, batches in zip(self.networks, self.batches, strict=True):
            start = clock(self.device)
            for i, size in enumerate(self.sizes):
                network(batches[i % len(batches)][:size])
            spent.append(clock(self.device) - start)
        return spent


def measure_predict(regressor, X, repeats):
    """Results of predict: from chips for each number of stages, and from images."""
    device = check_device(regressor.device)
    regressor.predict(X[: crops_a_pass(device)])  # moves the networks to the device
    chips = cut_chips(as_boxed_images(X), regressor._frame, device)
    pairs = zip(regressor.networks_, regressor.crops_, strict=True)
    stages = [Stage(folded(network), crop) for network, crop in pairs]
    bare = BarePrediction(regressor.networks_, len(chips), device)
    n_stages = len(stages)
    bare_seconds = [[] for _ in stages]
    chip_seconds = [[] for _ in stages]
    whole_seconds = []
    for _ in range(repeats + 1):
        spent = bare.seconds()
        for depth in range(1, n_stages + 1):
            start = clock(device)
            read_chips(stages[:depth], chips)
            chip_seconds[depth - 1].append(clock(device) - start)
            bare_seconds[depth - 1].append(sum(spent[:depth]))
        start = clock(device)
        regressor.predict(X)
        whole_seconds.append(clock(device) - start)
    n, names = len(chips), regressor.networks
    return {
        "predict_chips": [
            {"networks": list(names[: i + 1]), **compare(bare[1:], skwing[1:], n)}
            for i, (bare, skwing) in enumerate(zip(bare_seconds, chip_seconds, strict=True))
        ],
        "predict_whole": {
            "networks": list(names),
            **compare(bare_seconds[-1][1:], whole_seconds[1:], n),
        },
    }


def tell(name, row):
    """Print a comparison."""
    low, high = row["share_quartiles"]
    print(
        f"  {name:34} {row['skwing_samples_per_second']:9.0f} of "
        f"{row['bare_samples_per_second']:9.0f} samples/s  {row['share']:6.1f} %  "
        f"(quartiles {low:.1f} to {high:.1f}; by CPU time {row['share_of_cpu_time']:.1f})"
    )


def show(row):
    """Print a row of results."""
    show_environment(row)
    print(f"fit, steady epochs on {row['n_samples']} faces in batches of {row['batch_size']}:")
    for i, stage in enumerate(row["fit_stages"], 1):
        tell(f"stage {i}, {stage['network']}, {stage['precision']}", stage)
    epochs = " + ".join(map(str, row["fit_epochs"])) + " epochs"
    for name in ("steady", "whole"):
        shares = row[f"fit_{name}"]
        print(
            f"  {f'{epochs}, {name}':67} {shares['share']:6.1f} %  "
            f"(by CPU time {shares['share_of_cpu_time']:.1f})"
        )
    wall, cpu = row["fit_one_off_seconds"]
    print(f"  computed; whole has {wall} s of one-off work on top, of CPU time {cpu} s")
    print(f"predict {row['n_samples']} faces in batches, float32:")
    for depth in row["predict_chips"]:
        tell(f"from chips, {' + '.join(depth['networks'])}", depth)
    whole = row["predict_whole"]
    tell(f"whole, from {row['source']}", whole)


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-samples", type=int, default=1024)
    parser.add_argument(
        "--repeats", type=int, default=5, help="epochs per stage, and repeats of predict"
    )
    parser.add_argument("--networks", nargs="+", default=list(CASCADE))
    parser.add_argument("--precision", default="auto", choices=["auto", "mixed", "float32"])
    parser.add_argument("--data", help="folder of 300-W; default: generated faces in memory")
    add_out(parser, "speed")
    args = parser.parse_args(argv)
    regressor = CascadeLandmarkRegressor(
        networks=tuple(args.networks),
        average_mirrored=False,  # a single prediction per crop, as for the bare networks
        retry=False,
        precision=args.precision,
        device=args.device,
        random_state=0,
    )
    faces = load_300w(args.data) if args.data else make_faces(args.n_samples, random_state=0)
    X, y = faces.data[: args.n_samples], faces.target[: args.n_samples]
    stages = stage_settings(check_table(SETTINGS, regressor), len(regressor.networks), len(X))
    epochs = [own.max_epochs for own in stages]
    regressor.set_params(max_epochs=args.repeats + 1)
    row = {
        **environment(check_device(args.device)),
        "n_samples": len(X),
        "batch_size": regressor.batch_size,
        "repeats": args.repeats,
        "source": "files" if args.data else "arrays",
        **measure_fit(regressor, X, y, epochs),
        **measure_predict(regressor, X, args.repeats),
    }
    show(row)
    append(row, args.out)


if __name__ == "__main__":
    main()
