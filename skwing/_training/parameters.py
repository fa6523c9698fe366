"""Parameters of the regressor: constraints, and conversion to settings of each stage."""

import math
import os
import platform
from dataclasses import dataclass, fields
from types import SimpleNamespace

import torch

from skwing._crops.augmentation import AUGMENTATIONS, Augmentation, chosen
from skwing._crops.chip_cache import FolderOrNone
from skwing._crops.random_changes import StageAugmentation
from skwing._training.automatic import check_networks_or_auto
from skwing._training.loop import OPTIMIZERS, SCHEDULES
from skwing._training.start import ModelOrNone
from skwing._utils.checks import (
    VERBOSE,
    By,
    Choice,
    Constraint,
    Either,
    Flag,
    Number,
    Only,
    PerStage,
    Refused,
    Seed,
    check_choice,
    check_table,
    count,
    per_stage,
    told,
)
from skwing._utils.device import check_device
from skwing.losses import check_loss
from skwing.schema import check_schema

PRECISIONS = ("auto", "mixed", "float32")


class AugmentationOrNone(Constraint):
    """An :class:`skwing.Augmentation`, "default" for the default one, or None for none."""

    def __str__(self):
        return "a skwing.Augmentation, 'default' or None"

    def check(self, value, name):
        """Return the parameters of the augmentation as attributes; all are 0 for None."""
        value = chosen(value)
        if value is None:
            return SimpleNamespace(**dict.fromkeys(AUGMENTATIONS, 0.0))
        if not isinstance(value, Augmentation):
            raise ValueError(f"{name} must be {self}, got {told(value)}")
        return check_table(Augmentation._constraints, value, prefix=f"{name}.")


class PathOrNone(Constraint):
    """A path, which is checked by :func:`find_checkpoint`."""

    def __str__(self):
        return "the path of a file or a folder, or None"

    def clean(self, value):
        if value is None or (isinstance(value, (str, os.PathLike)) and os.fspath(value)):
            return value
        raise Refused


class Callables(Constraint):
    """Functions that are called after each epoch, or None."""

    def __str__(self):
        return "a list of functions of a row of history, or None"

    def check(self, value, name):
        """Return a list of functions."""
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise ValueError(f"{name} must be {self}, got {told(value)}")
        for i, own in enumerate(value):
            if hasattr(own, "on_fit_task_end"):
                raise ValueError(
                    f"{name}[{i}] is a callback of scikit-learn: pass it to set_callbacks instead"
                )
            if not callable(own) or isinstance(own, type):
                raise ValueError(f"{name} must be {self}, got {told(own)} for {name}[{i}]")
        return list(value)


_POSITIVE = Number(0, ends="(]")
_PROBABILITY = Number(0, 1)

# Constraints of all parameters of the regressor.
SETTINGS = {
    "networks": By(check_networks_or_auto),
    "loss": By(check_loss),
    "w": PerStage(_POSITIVE),
    "epsilon": PerStage(_POSITIVE),
    "schema": By(check_schema),
    "max_epochs": PerStage(Either(count(), Only("auto"))),
    "batch_size": count(),
    "optimizer": Choice(OPTIMIZERS),
    "learning_rate": PerStage(Either(_POSITIVE, Only("auto"))),
    "momentum": Number(0, 1, ends="[)"),
    "weight_decay": PerStage(Number(0)),
    "schedule": Choice(tuple(SCHEDULES)),
    "margin": PerStage(Number(-0.4, 2)),
    "augmentation": AugmentationOrNone(),
    "refine_on": Choice(("predicted", "truth")),
    "average_mirrored": Flag(),
    "retry": Flag(),
    "early_stopping": Flag(),
    "validation_fraction": _PROBABILITY,
    "n_iter_no_change": count(),
    "precision": Choice(PRECISIONS),
    "device": By(check_device),
    "cache": FolderOrNone(),
    "start": ModelOrNone(),
    "warm_start": Flag(),
    "checkpoint": PathOrNone(),
    "callbacks": Callables(),
    "random_state": Seed(),
    "verbose": VERBOSE,
}


@dataclass(frozen=True)
class StageSettings:
    """Validated settings of one stage, see :class:`skwing.CascadeLandmarkRegressor`."""

    max_epochs: int
    learning_rate: float
    w: float
    epsilon: float
    weight_decay: float
    margin: float
    augmentation: StageAugmentation
    batch_size: int
    momentum: float
    optimizer: str
    schedule: str
    refine_on: str
    precision: str
    patience: int | None


# Suitable numbers of epochs of the first and of later stages, for this number of samples.
_AUTO_EPOCHS = (60, 160)
_AUTO_EPOCHS_OF_PATCHES = 50  # each sample has one patch per landmark
_AUTO_SAMPLES = 1600
_AUTO_RATE = 3e-3
# With the weights of a start, half of these epochs suffice, and at most the above ones, however few
# the samples are. Of a start with the same landmarks, all weights are taken, and a high rate would
# undo more than it learns from few samples.
_STARTED_EPOCHS = 0.5
_STARTED_RATE = 1e-3
_LEAST_BATCH = 32  # of few samples, a larger batch_size is reduced to this number


def auto_epochs(stage, n_samples, started=False, reads_patches=False):
    """Number of epochs for ``max_epochs="auto"``.

    With few samples, the same number of epochs would be too few steps, and the same number of
    steps too many epochs. As a compromise, the number of epochs is inversely proportional to
    the square root of the number of samples. With fewer samples than a step holds, it is that for
    a whole step, in which each is several times. Training that begins with the weights of another
    model has half of it, and with fewer than 400 samples no more than with 400.

    Parameters
    ----------
    stage : int
        Index of the stage, from 0.
    n_samples : int
    started : bool, default=False
        Whether training begins with the weights of another model.
    reads_patches : bool, default=False
        Whether the network of the stage reads patches.

    Returns
    -------
    n_epochs : int

    Examples
    --------
    >>> from skwing._training.parameters import auto_epochs
    >>> [auto_epochs(stage, n_samples=1600) for stage in range(3)]
    [60, 160, 160]
    >>> auto_epochs(0, n_samples=100), auto_epochs(0, n_samples=40_000)
    (240, 12)
    >>> [auto_epochs(0, n_samples, started=True) for n_samples in (100, 400, 1600)]
    [60, 60, 30]
    """
    epochs = per_stage(_AUTO_EPOCHS, stage + 1)[stage]
    if reads_patches:
        epochs = _AUTO_EPOCHS_OF_PATCHES
    factor = math.sqrt(_AUTO_SAMPLES / max(n_samples, _LEAST_BATCH))
    if started:
        factor = min(_STARTED_EPOCHS * factor, 1)
    return max(1, round(factor * epochs))


def stage_settings(settings, n_stages, n_samples, start=None, read_patches=None):
    """Settings of all stages, a list of :class:`StageSettings`.

    Parameters
    ----------
    settings : object
        Validated parameters as attributes, see `SETTINGS`.
    n_stages : int
    n_samples : int
        Number of training samples.
    start : Start or None
        Model whose weights training begins with.
    read_patches : list of bool, default=None
        Whether the network of each stage reads patches; None means that none does.
    """
    # Stages that the model does not have begin anew.
    n_started = 0 if start is None else len(start.model.networks_)
    own = {field.name for field in fields(StageSettings)} - {"augmentation", "patience"}
    columns = {name: per_stage(getattr(settings, name), n_stages) for name in own}
    strengths = {
        name: per_stage(getattr(settings.augmentation, name), n_stages) for name in AUGMENTATIONS
    }
    columns["max_epochs"] = [
        auto_epochs(i, n_samples, i < n_started, fine) if value == "auto" else value
        for i, (value, fine) in enumerate(
            zip(columns["max_epochs"], read_patches or [False] * n_stages, strict=True)
        )
    ]
    n_same = n_started if start is not None and start.same else 0
    columns["learning_rate"] = [
        (_STARTED_RATE if i < n_same else _AUTO_RATE) if value == "auto" else value
        for i, value in enumerate(columns["learning_rate"])
    ]
    # A batch that holds all samples several times takes time without more learned per epoch, but
    # from few samples, a step learns more if it holds each in several crops.
    most = max(n_samples, _LEAST_BATCH)
    columns["batch_size"] = [min(value, most) for value in columns["batch_size"]]
    patience = settings.n_iter_no_change if settings.early_stopping else None
    return [
        StageSettings(
            **{name: columns[name][i] for name in own},
            augmentation=StageAugmentation(**{name: strengths[name][i] for name in AUGMENTATIONS}),
            patience=patience,
        )
        for i in range(n_stages)
    ]


def check_mixed(precision, device, network):
    """Whether to train a network in bfloat16 on a device.

    "auto" uses bfloat16 if the processor has instructions for it, which is about twice as
    fast, and the network has the attribute `mixed_precision`, which declares that it keeps
    coordinates in float32.
    """
    check_choice(precision, "precision", PRECISIONS)
    if precision != "auto":
        return precision == "mixed"
    if not getattr(network, "mixed_precision", False):
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and _cpu_has_bfloat16()


def _cpu_has_bfloat16():
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return False
    # On x86, oneDNN also supports emulated bfloat16, which is slower than float32.
    has_instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return platform.machine() in ("aarch64", "arm64") or has_instructions()
