"""Settings of an estimator: one value for every stage or one a stage, checked by name."""

import math
import platform
from dataclasses import dataclass

import torch

from skwing._augment import Augmentation
from skwing._checks import check_choice, check_flag, check_number
from skwing._engine import OPTIMIZERS, SCHEDULES

AUGMENTATIONS = tuple(Augmentation.__dataclass_fields__)
PRECISIONS = ("auto", "mixed", "float32")
REFINE_ON = ("predicted", "truth")


def per_stage(value, n_stages):
    """List of one value a stage.

    A tuple or list gives the first stage's value, the second's and so on; stages beyond it
    take its last, and what it holds beyond the stages is not used.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * n_stages
    value = list(value)
    return (value + value[-1:] * n_stages)[:n_stages]


_RANGES = {
    "max_epochs": {"low": 1, "integer": True},
    "learning_rate": {"low": 0, "ends": "(]"},
    "w": {"low": 0, "ends": "(]"},
    "epsilon": {"low": 0, "ends": "(]"},
    "weight_decay": {"low": 0},
    "margin": {"low": -0.4, "high": 2},
    "rotation": {"low": 0, "high": 180},
    "scale": {"low": 0},
    "shift": {"low": 0, "high": 1},
    "mirror": {"low": 0, "high": 1},
    "blur": {"low": 0, "high": 1},
    "brightness": {"low": 0, "high": 1},
    "contrast": {"low": 0, "high": 1},
    "occlusion": {"low": 0, "high": 1},
    "deformation": {"low": 0},
}


@dataclass(frozen=True)
class StageSettings:
    """Settings of one stage, checked; see :class:`skwing.CascadeLandmarkRegressor`."""

    max_epochs: int
    learning_rate: float
    w: float
    epsilon: float
    weight_decay: float
    margin: float
    augmentation: Augmentation
    batch_size: int
    momentum: float
    optimizer: str
    schedule: str
    refine_on: str
    precision: str
    patience: int | None


# Epochs of the first stage and of later ones that serve so many samples well.
_AUTO_EPOCHS = (60, 160)
_AUTO_SAMPLES = 1600


def auto_epochs(stage, n_samples):
    """Number of epochs that ``max_epochs="auto"`` stands for.

    With a fraction of the samples, as many epochs would be too few steps, and as many steps
    far more passes than pay: it lies half way, and both grow with the root of the fraction.

    Parameters
    ----------
    stage : int
        From 0.
    n_samples : int

    Returns
    -------
    n_epochs : int

    Examples
    --------
    >>> from skwing._settings import auto_epochs
    >>> [auto_epochs(stage, n_samples=1600) for stage in range(3)]
    [60, 160, 160]
    >>> auto_epochs(0, n_samples=100), auto_epochs(0, n_samples=40_000)
    (240, 12)
    """
    epochs = per_stage(_AUTO_EPOCHS, stage + 1)[stage]
    return max(1, round(epochs * math.sqrt(_AUTO_SAMPLES / n_samples)))


def stage_settings(estimator, n_stages, n_samples):
    """Checked settings of each stage.

    Parameters
    ----------
    estimator : object
        Has an attribute for each setting, as its user gave it.
    n_stages : int
    n_samples : int
        That the stages are trained on.

    Returns
    -------
    settings : list of StageSettings
        One a stage.

    Raises
    ------
    ValueError
        Names the setting, what was found and what was expected.
    """
    check_number(estimator.n_iter_no_change, "n_iter_no_change", 1, integer=True)
    check_number(estimator.validation_fraction, "validation_fraction", 0, 1)
    early_stopping = check_flag(estimator.early_stopping, "early_stopping")
    shared = {
        "batch_size": check_number(estimator.batch_size, "batch_size", 1, integer=True),
        "momentum": check_number(estimator.momentum, "momentum", 0, 1, ends="[)"),
        "optimizer": check_choice(estimator.optimizer, "optimizer", OPTIMIZERS),
        "schedule": check_choice(estimator.schedule, "schedule", tuple(SCHEDULES)),
        "refine_on": check_choice(estimator.refine_on, "refine_on", REFINE_ON),
        "precision": check_choice(estimator.precision, "precision", PRECISIONS),
        "patience": estimator.n_iter_no_change if early_stopping else None,
    }
    columns = {}
    for name, limits in _RANGES.items():
        values = per_stage(getattr(estimator, name), n_stages)
        if not values:
            raise ValueError(f"{name} is empty: give one value for all stages, or one for each")
        if name == "max_epochs":
            values = [
                auto_epochs(i, n_samples) if isinstance(value, str) and value == "auto" else value
                for i, value in enumerate(values)
            ]
        columns[name] = [check_number(value, name, **limits) for value in values]
    settings = []
    for i in range(n_stages):
        own = {name: column[i] for name, column in columns.items()}
        strengths = {name: own.pop(name) for name in AUGMENTATIONS}
        settings.append(StageSettings(**own, **shared, augmentation=Augmentation(**strengths)))
    return settings


def check_device(device):
    """Device by that name; "auto" is the first CUDA device, or the CPU where there is none.

    Raises
    ------
    ValueError
        If the name is unknown or there is no such device.
    """
    if isinstance(device, str) and device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Of a tensor, as that has a number: what "cuda" stands for differs between threads.
        return torch.empty(0, device=torch.device(device)).device
    except (RuntimeError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={device!r} can not be used here: {reason}") from error


def check_mixed(precision, device, network):
    """Whether to train a network in bfloat16 on a device.

    "auto" does so where the processor has instructions for it, about twice as fast, for
    networks that say by an attribute `mixed_precision` that their coordinates survive it.
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
    # On x86 oneDNN says so too where it only emulates bfloat16, which is slower than float32.
    has_instructions = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return platform.machine() in ("aarch64", "arm64") or has_instructions()
