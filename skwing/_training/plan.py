"""Plan of a fit: validated samples and settings, before images are decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from skwing._training.automatic import networks_for, reads_patches
from skwing._training.checkpoint import Checkpoint
from skwing._training.parameters import StageSettings, stage_settings
from skwing._training.samples import Samples
from skwing._training.start import Start
from skwing._utils.checks import per_stage
from skwing.networks import check_networks
from skwing.schema import LandmarkSchema


@dataclass(frozen=True)
class Plan:
    """Validated samples and settings of a fit.

    Attributes
    ----------
    train : Samples
    held_out : Samples or None
    schema : LandmarkSchema or None
    settings : list of StageSettings
    losses : list of callable
        One per stage, from :func:`skwing.losses.bind_loss`.
    builders : list of callable
        One per stage; takes a number of landmarks, returns a network.
    mean_shape : float64 array of shape (L, 2)
    n_known : int
        Number of networks reused from the previous fit or from the start: none, all, or those
        that were trained before an interruption.
    before : object or None
        Fitted model with these networks and their crops.
    start : Start or None
        Model whose weights the new networks take.
    cache : str or None
        Folder of chips, see :func:`skwing._crops.chips.cut_chips`.
    checkpoint : Checkpoint or None
        State of this fit in a file.
    is_further : bool
        Whether this is the second training of a fit, with predicted landmarks.
    device : torch.device
    seed : int
    """

    train: Samples
    held_out: Samples | None
    schema: LandmarkSchema | None
    settings: list[StageSettings]
    losses: list[Callable]
    builders: Sequence[Callable]
    mean_shape: np.ndarray
    n_known: int
    device: torch.device
    seed: int
    before: Any = None
    start: Start | None = None
    cache: str | None = None
    checkpoint: Checkpoint | None = None
    is_further: bool = False

    @property
    def first(self):
        """First stage to train, from 0; after an interrupted fit, the first missing one."""
        return self.n_known if self.n_known < len(self.builders) else 0

    @property
    def n_given(self):
        """Number of networks whose weights come from the previous fit or from the start."""
        n_start = 0 if self.start is None else len(self.start.model.networks_)
        return max(self.n_known, n_start)

    @property
    def mirrored(self):
        """Whether each stage is trained on mirrored crops, a list of bool."""
        return [own.augmentation.mirror > 0 for own in self.settings]


def planned_stages(given, points, start, kept):
    """Networks and settings of all stages.

    Parameters
    ----------
    given : object
        Validated parameters as attributes.
    points : array of shape (n, L, 2)
        Landmarks of the training samples, in image pixels.
    start : Start or None
        Model whose weights training begins with.
    kept : list of callable
        Functions that built the networks that are trained further.

    Returns
    -------
    builders : list of callable
    settings : list of StageSettings
    """
    margin = per_stage(given.margin, 2)[-1]
    builders = check_networks(networks_for(given.networks, points, margin))
    builders = [*kept, *builders[len(kept) :]]
    patches = [reads_patches(build) for build in builders]
    return builders, stage_settings(given, len(builders), len(points), start, patches)
