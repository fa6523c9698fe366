"""What a fit is going to do, as far as it is known before an image is decoded."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from skwing._training.samples import Samples
from skwing._training.settings import StageSettings
from skwing.schema import LandmarkSchema


@dataclass(frozen=True)
class Plan:
    """Checked samples and settings of a fit.

    Attributes
    ----------
    train : Samples
    held_out : Samples or None
    schema : LandmarkSchema or None
    settings : list of StageSettings
    losses : list of callable
        One a stage, as :func:`skwing.losses.bind_loss` gives them.
    builders : list of callable
        One a stage; takes a number of landmarks, gives a network.
    mean_shape : float64 array of shape (L, 2)
    n_known : int
        How many networks of the previous fit are taken over: none, all, or those that it
        trained before it was interrupted.
    device : torch.device
    seed : int
    """

    train: Samples
    held_out: Samples | None
    schema: LandmarkSchema | None
    settings: list[StageSettings]
    losses: list[Callable]
    builders: list[Callable]
    mean_shape: np.ndarray
    n_known: int
    device: torch.device
    seed: int

    @property
    def first(self):
        """First stage to train, from 0: after an interrupted fit, the first that it lacks."""
        return self.n_known if self.n_known < len(self.builders) else 0

    @property
    def mirrored(self):
        """Which stages train on mirrored crops, a list of bool."""
        return [own.augmentation.mirror > 0 for own in self.settings]
