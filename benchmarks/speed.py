"""Speed of fit and predict, as a share of what the bare networks reach on ready batches.

    python benchmarks/speed.py

Bare is a loop of a few lines with nothing in it but forward pass, loss, backward pass and
optimiser step (for predict: forward passes), on batches that lie ready in memory. It runs
copies of the networks that the estimator trains, with copies of its optimiser, its loss,
its batch size, memory format and precision, on batches that the estimator made.

fit, steady epochs: `CascadeLandmarkRegressor.fit` runs as it is. After each epoch of a
stage the bare loop takes as many steps, so both see the same weather on the machine. An
epoch's seconds are those of `history_`, the making of its batches included; the first
epoch of a stage warms up and does not count. The share is the median over these pairs.

fit, whole: the rest of `fit` is measured too (checks, decoding, chips, the crops of later
stages) and added to the default number of epochs at the measured seconds an epoch. The
bare side of this share gets its batches for nothing.

predict: on chips that lie ready in memory, and whole from the images (decoding, chips,
crops, mapping back), after each other in every repeat.

Shares hold on a busy machine, as both sides suffer alike; samples per second do not.
"""

import argparse
import copy
import statistics
import time
from unittest import mock

import numpy as np
import torch
from _report import add_out, append, environment, show_environment

from skwing import CascadeLandmarkRegressor, _engine
from skwing._chips import cut_chips
from skwing._settings import check_device, stage_settings
from skwing._stages import Stage
from skwing._training import _BATCH, locate_all
from skwing.datasets import load_300w, make_faces
from skwing.images import as_boxed_images

N_READY = 32  # batches kept ready; more than the caches of a processor hold


def now(device):
    """Seconds, once a device has done what it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


class BareTraining:
    """Training steps of a network with nothing around them."""

    def __init__(self, network, optimizer, loss, batches, mixed):
        # Copied together, so that the optimiser's copy steps the network's copy.
        self.network, self.optimizer = copy.deepcopy((network, optimizer))
        self.loss, self.batches, self.mixed = loss, batches, mixed
        self.device = next(self.network.parameters()).device

    def seconds(self, n_steps):
        """Seconds of that many steps."""
        self.network.train()
        start = now(self.device)
        for step in range(n_steps):
            images, targets = self.batches[step % len(self.batches)]
            with _engine.autocast(self.device, self.mixed):
                points = self.network(images)
            value = self.loss(points.float() - targets).mean()
            self.optimizer.zero_grad(set_to_none=True)
            value.backward()
            self.optimizer.step()
        return now(self.device) - start


def fit_beside_bare(regressor, X, y):
    """Fit, with as many bare steps after each epoch.

    Returns
    -------
    stages : list of dict
        ``skwing`` and ``bare``, seconds of each epoch after the first, and ``mixed``.
    seconds : float
        Of the fit without what was done beside it.
    """
    stages, aside, real = [], [], _engine.train

    def train(network, batches, loss, optimizer, schedule, *, n_steps, on_epoch, **rest):
        start = time.perf_counter()
        ready = [next(batches)[:2] for _ in range(min(n_steps, N_READY))]
        bare = BareTraining(network, optimizer, loss, ready, rest["mixed"])
        stage = {"skwing": [], "bare": [], "mixed": rest["mixed"]}
        stages.append(stage)
        aside.append(time.perf_counter() - start)

        def between(row):
            start = now(bare.device)
            stage["bare"].append(bare.seconds(n_steps))
            stage["skwing"].append(row["seconds"])
            aside.append(time.perf_counter() - start)
            return on_epoch(row)

        return real(
            network, batches, loss, optimizer, schedule, n_steps=n_steps, on_epoch=between, **rest
        )

    with mock.patch.object(_engine, "train", train):
        start = time.perf_counter()
        regressor.fit(X, y)
        seconds = time.perf_counter() - start - sum(aside)
    return stages, seconds


def median_share(bare, skwing):
    """Speed as a share of the bare one, in percent: median over pairs, and their quartiles."""
    shares = 100 * np.array(bare) / np.array(skwing)
    low, middle, high = np.percentile(shares, [25, 50, 75])
    return {"share": round(middle, 1), "quartiles": [round(low, 1), round(high, 1)]}


def compare(bare, skwing, n_samples):
    """A row: samples per second of both sides (median), and the share."""
    return {
        "skwing_samples_per_second": round(n_samples / statistics.median(skwing), 1),
        "bare_samples_per_second": round(n_samples / statistics.median(bare), 1),
        **median_share(bare, skwing),
    }


def measure_fit(regressor, X, y, epochs):
    """Results of fit, by stage and over all; `epochs` a stage are what a whole fit has."""
    stages, seconds = fit_beside_bare(regressor, X, y)
    n_drawn = regressor.history_[0]["n_samples"]
    one_off = seconds - sum(row["seconds"] for row in regressor.history_)
    rows, totals = [], {"bare": 0.0, "skwing": 0.0}
    for name, stage, n_epochs in zip(regressor.networks, stages, epochs, strict=True):
        bare, skwing = stage["bare"][1:], stage["skwing"][1:]
        precision = "bfloat16" if stage["mixed"] else "float32"
        rows.append(
            {"network": name, "precision": precision, **compare(bare, skwing, n_drawn)}
        )
        # By the share, as it holds where seconds do not.
        totals["bare"] += n_epochs * statistics.median(bare)
        totals["skwing"] += n_epochs * statistics.median(bare) / (rows[-1]["share"] / 100)
    return {
        "fit_stages": rows,
        "fit_steady_share": round(100 * totals["bare"] / totals["skwing"], 1),
        "fit_one_off_seconds": round(one_off, 2),
        "fit_epochs": list(epochs),
        "fit_whole_share": round(100 * totals["bare"] / (totals["skwing"] + one_off), 1),
    }


class BarePrediction:
    """Forward passes of networks with nothing around them, on the same batch size."""

    def __init__(self, networks, n_samples, device):
        self.networks, self.device = networks, device
        self.sizes = [len(rows) for rows in torch.arange(n_samples).split(_BATCH)]
        self.batches = []
        for network in networks:
            shape = (_BATCH, 3, network.input_size, network.input_size)
            ready = [torch.rand(shape, device=device) for _ in range(min(8, len(self.sizes)))]
            last = torch.channels_last
            self.batches.append([batch.contiguous(memory_format=last) for batch in ready])

    @torch.inference_mode()
    def seconds(self):
        """Seconds of all forward passes, network by network."""
        spent = []
        for network, batches in zip(self.networks, self.batches, strict=True):
            start = now(self.device)
            for i, size in enumerate(self.sizes):
                network(batches[i % len(batches)][:size])
            spent.append(now(self.device) - start)
        return spent


def measure_predict(regressor, X, repeats):
    """Results of predict: from chips for each depth of the cascade, and whole."""
    device = check_device(regressor.device)
    regressor.predict(X[:_BATCH])  # brings the networks onto the device
    chips = cut_chips(as_boxed_images(X), regressor._frame, device)
    stages = [Stage(*parts) for parts in zip(regressor.networks_, regressor.crops_, strict=True)]
    bare = BarePrediction(regressor.networks_, len(chips), device)
    n_stages = len(stages)
    bare_seconds = [[] for _ in stages]
    chip_seconds = [[] for _ in stages]
    whole_seconds = []
    for _ in range(repeats + 1):
        spent = bare.seconds()
        for depth in range(1, n_stages + 1):
            start = now(device)
            locate_all(stages[:depth], chips)
            chip_seconds[depth - 1].append(now(device) - start)
            bare_seconds[depth - 1].append(sum(spent[:depth]))
        start = now(device)
        regressor.predict(X)
        whole_seconds.append(now(device) - start)
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
    print(
        f"  {name:34} {row['skwing_samples_per_second']:9.0f} of "
        f"{row['bare_samples_per_second']:9.0f} samples/s  {row['share']:6.1f} %  "
        f"(quartiles {row['quartiles'][0]:.1f} to {row['quartiles'][1]:.1f})"
    )


def show(row):
    """Print a row of results."""
    show_environment(row)
    print(f"fit, steady epochs on {row['n_samples']} faces in batches of {row['batch_size']}:")
    for i, stage in enumerate(row["fit_stages"], 1):
        tell(f"stage {i}, {stage['network']}, {stage['precision']}", stage)
    epochs = " + ".join(map(str, row["fit_epochs"]))
    print(f"  {epochs + ' epochs, steady':34} {'':33} {row['fit_steady_share']:6.1f} %")
    print(
        f"  {epochs + ' epochs, whole fit':34} {'':33} {row['fit_whole_share']:6.1f} %  "
        f"(computed: {row['fit_one_off_seconds']} s of one-off work on top)"
    )
    print(f"predict {row['n_samples']} faces in batches of {_BATCH}, float32:")
    for depth in row["predict_chips"]:
        tell(f"from chips, {' + '.join(depth['networks'])}", depth)
    whole = row["predict_whole"]
    tell(f"whole, from {row['source']}", whole)


def main(argv=None):
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--n-samples", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=5, help="epochs a stage, and predictions")
    parser.add_argument("--networks", nargs="+", default=None)
    parser.add_argument("--precision", default="auto", choices=["auto", "mixed", "float32"])
    parser.add_argument("--data", help="folder of 300-W, in place of drawn faces in memory")
    add_out(parser, "speed")
    args = parser.parse_args(argv)
    given = {"networks": tuple(args.networks)} if args.networks else {}
    regressor = CascadeLandmarkRegressor(
        **given, precision=args.precision, device=args.device, random_state=0
    )
    epochs = [own.max_epochs for own in stage_settings(regressor, len(regressor.networks))]
    regressor.set_params(max_epochs=args.repeats + 1)
    faces = load_300w(args.data) if args.data else make_faces(args.n_samples, random_state=0)
    X, y = faces.data[: args.n_samples], faces.target[: args.n_samples]
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
