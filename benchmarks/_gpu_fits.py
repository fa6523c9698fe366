"""Trainings of `on_gpu.py`, with a deadline."""

import math
import time
from dataclasses import dataclass, replace
from functools import partial
from unittest import mock

import torch
from _errors import error_table
from _gpu_data import FOLD, has_turned, load_split
from _paper_figures import GRID_EPSILON, GRID_W, LOSSES
from _report import environment
from _runs import plain
from recipe import make_pipeline

from skwing._training import loop
from skwing._training.parameters import SETTINGS, stage_settings
from skwing._utils.checks import check_table
from skwing._utils.device import check_device
from skwing.networks import PlainCNN

# Batches of 8 images are too small for a GPU. Batches of 64 with 8 times the learning rate and
# the same number of samples are nearly equivalent.
LARGER = 8
N_FOLDS = 5
GRID_PART = 0.25  # of the schedule, for the many trainings of a grid
TINY_WIDTHS = (4, 8, 8, 8, 8)


@dataclass(frozen=True)
class Fit:
    """A training: name, parameters, seed, training indices, and the faces they are of."""

    name: str
    settings: tuple
    rows: str = "few"
    seed: int = 0
    fold: int = FOLD
    turned: bool = False
    tiny: bool = False

    def split(self, data):
        """Faces of the training and of its test."""
        return load_split(data, self.tiny, self.fold, self.turned)


def _fit(name, rows="few", seed=0, fold=FOLD, turned=False, **settings):
    return Fit(name, tuple(settings.items()), rows, seed, fold, turned)


def _schedule(n_train, n_landmarks, *, part=1.0, **settings):
    """CNN-6 with the schedule of the paper, or a part of its length, with larger batches."""
    paper = make_pipeline({"recipe": "paper", "balance": False}, n_train)["reg"].get_params()
    rate = paper["learning_rate"][0] * LARGER
    if settings.get("loss") == "l2":
        rate /= 10  # see the caption of table 1
    return {
        "recipe": "paper",
        "networks": ("cnn6_plain",),
        "max_epochs": math.ceil(part * paper["max_epochs"]),
        "batch_size": paper["batch_size"] * LARGER,
        "learning_rate": rate,
        **settings,
    }


def all_fits(data, tiny):
    """Trainings in order of priority."""
    schedule = partial(_schedule, len(load_split(data, tiny).rows["few"]), 68)
    fits = [
        _fit("best, all faces", "all", recipe="best", balance=False),
        _fit("default, all faces", "all", balance=False),
        _fit("default", balance=False),
        *[
            _fit(f"default, fold {fold}", fold=fold, balance=False)
            for fold in range(N_FOLDS)
            if fold != FOLD and data is not None
        ],
        _fit("ResNet-50", networks=("resnet50",), max_epochs=30, w=20.0, epsilon=4.0),
    ]
    turned = None
    if has_turned(data):
        n_turned = len(load_split(data, tiny, turned=True).rows["few"])
        turned = partial(_schedule, n_turned, 68)
        fits += _losses(turned, 0, turned=True)
    fits += [
        _fit(
            f"grid, w={w} epsilon={e}",
            **schedule(part=GRID_PART, w=float(w), epsilon=float(e), balance=False),
        )
        for e in GRID_EPSILON
        for w in GRID_W
    ]
    for seed in (0, 1, 2):
        if turned is not None and seed > 0:
            fits += _losses(turned, seed, turned=True)
        fits += _losses(schedule, seed)
    own = {"recipe": "paper", "balance": True}
    fits.append(_fit("as the paper: CNN-6/7, batch 8", **own))
    return [replace(f, settings=_tiny(f.settings), tiny=True) for f in fits] if tiny else fits


def _losses(schedule, seed, *, turned=False):
    """Each loss with and without balancing."""
    return [
        _fit(
            f"CNN-6, {word}, {'balanced' if balance else 'not balanced'}"
            f"{', with turned faces' if turned else ''}",
            seed=seed,
            turned=turned,
            **schedule(loss=loss, balance=balance),
        )
        for loss, word in reversed(LOSSES.items())
        for balance in (False, True)
    ]


def _tiny(settings):
    """Parameters of a training of seconds, with all steps of a full one."""
    settings = dict(settings)
    n_stages = len(settings.get("networks", ("", "")))
    if settings.get("recipe") != "best":
        network = partial(PlainCNN, widths=TINY_WIDTHS, input_size=32)
        settings["networks"] = (network,) * n_stages
    settings |= {"max_epochs": 1, "batch_size": 16}
    return tuple(settings.items())


def told_of(fit, split):
    """Fields that identify a training in the results."""
    return {
        "part": "fit",
        "name": fit.name,
        "seed": fit.seed,
        "settings": plain(dict(fit.settings)),
        "n_train": len(split.rows[fit.rows]),
        **split.told,
    }


def _stop_at(deadline):
    """Replace the training loop by one that stops after the epoch in which the deadline passes."""
    real = loop.train

    def train(*args, on_epoch=None, **rest):
        def checked(row):
            return bool(on_epoch is not None and on_epoch(row)) or time.time() > deadline

        return real(*args, on_epoch=checked, **rest)

    return mock.patch.object(loop, "train", train)


def run_fit(fit, data, device, deadline):
    """Train and measure; return a row of results.

    If the deadline stops a training, `complete` is False, and only its speed is meaningful,
    because the learning-rate schedule is incomplete.
    """
    torch.set_num_threads(1)
    split = fit.split(data)
    told = told_of(fit, split)
    if time.time() > deadline:
        return None
    rows, faces = split.rows[fit.rows], split.faces
    pipeline = make_pipeline(dict(fit.settings), len(rows))
    pipeline.set_params(reg__random_state=fit.seed, reg__device=device)
    start = time.perf_counter()
    with _stop_at(deadline):
        pipeline.fit(faces.data[rows], faces.target[rows])
    seconds = time.perf_counter() - start
    regressor = pipeline["reg"]
    stages = _stage_rows(regressor, len(rows))
    row = {
        **told,
        **environment(check_device(device)),
        "complete": all(part["epochs"] == part["epochs_asked"] for part in stages),
        "fit_seconds": round(seconds, 1),
        "fit_stages": stages,
        "memory_mb": _peak_memory(device),
    }
    if row["complete"] or time.time() < deadline + 20:
        table = error_table(
            faces, rows, split.test, lambda images: list(regressor.staged_predict(images))
        )
        row |= {key: value for key, value in table.items() if key not in row}
    return row


def _stage_rows(regressor, n_train):
    """Epochs, samples and seconds of each stage."""
    given = check_table(SETTINGS, regressor)
    settings = stage_settings(given, len(regressor.n_iter_), n_train)
    stages = []
    for i, (n_epochs, own) in enumerate(zip(regressor.n_iter_, settings, strict=True)):
        history = [row for row in regressor.history_ if row["stage"] == i + 1]
        seconds = sum(row["seconds"] for row in history)
        n_samples = sum(row["n_samples"] for row in history)
        stages.append(
            {
                "epochs": n_epochs,
                "epochs_asked": own.max_epochs,
                "n_samples": n_samples,
                "seconds": round(seconds, 2),
                "samples_per_second": round(n_samples / seconds, 1),
                "final_loss": history[-1]["loss"],
            }
        )
    return stages


def _peak_memory(device):
    device = check_device(device)
    return torch.cuda.max_memory_reserved(device) // 2**20 if device.type == "cuda" else None
