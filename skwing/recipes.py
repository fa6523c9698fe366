"""Recipes: dictionaries of parameters for `CascadeLandmarkRegressor`.

::

    CascadeLandmarkRegressor(**recipes.paper(n_samples=3148, n_landmarks=68))
    CascadeLandmarkRegressor(**recipes.best(n_samples=3148))
    CascadeLandmarkRegressor(**recipes.fast())

The default parameters of the regressor are the fourth recipe; they are chosen for a low error
after training on a CPU, with 1600 faces 20 to 60 minutes on two cores.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from skwing._crops.augmentation import Augmentation
from skwing._training.parameters import auto_epochs
from skwing._utils.checks import count

if TYPE_CHECKING:
    from typing import Any

__all__ = ["best", "fast", "paper"]

_LONGER = 2

_PAPER_STEPS = 120_000
_PAPER_BATCH = 8
_PAPER_RATES = (3e-5, 1e-5)


def best(n_samples: int) -> dict[str, Any]:
    """Parameters for a lower error by longer training.

    These are the default parameters with twice as many epochs; the third number is for the stage
    that is added for large images. On a fold of 300-W, the error is 1 % smaller than that of the
    default, 4.25 instead of 4.29 %.

    Parameters
    ----------
    n_samples : int
        Number of training samples.

    Returns
    -------
    parameters : dict
        For :class:`skwing.CascadeLandmarkRegressor`.

    Raises
    ------
    ValueError
        If `n_samples` is less than 1.

    Examples
    --------
    >>> from skwing import recipes
    >>> recipes.best(n_samples=1600)
    {'max_epochs': (120, 320, 100)}
    """
    n_samples = count().check(n_samples, "n_samples")
    epochs = [auto_epochs(stage, n_samples, reads_patches=stage == 2) for stage in range(3)]
    return {"max_epochs": tuple(_LONGER * n for n in epochs)}


def fast() -> dict[str, Any]:
    """Parameters for fast predictions and small files.

    The networks have fewer and smaller layers than those of the default, less than a third of
    the weights. They look once at each face: predictions for the mirror image are not averaged,
    and doubtful predictions are not repeated, so that rolled faces are not found. On a fold of
    300-W, the error is 4 % larger than that of the default. Training takes nine tenths of the time.

    Returns
    -------
    parameters : dict
        For :class:`skwing.CascadeLandmarkRegressor`.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor, recipes
    >>> regressor = CascadeLandmarkRegressor(**recipes.fast())
    >>> regressor.networks
    ('shape_indexed_64_small', 'shape_indexed_128_small')
    """
    return {
        "networks": ("shape_indexed_64_small", "shape_indexed_128_small"),
        "average_mirrored": False,
        "retry": False,
    }


def paper(n_samples: int, n_landmarks: int) -> dict[str, Any]:
    """Parameters of the training of Feng et al. (2018), as far as they are known.

    Parameters
    ----------
    n_samples : int
        Number of training samples. It converts the steps of the paper to epochs.
    n_landmarks : int
        Number of landmarks. It converts the learning rates of the paper, which are for a
        loss that is summed over the coordinates, to a loss that is averaged.

    Returns
    -------
    parameters : dict
        For :class:`skwing.CascadeLandmarkRegressor`, to be used after a `PoseBalancer`.

    Raises
    ------
    ValueError
        If `n_samples` or `n_landmarks` is less than 1.

    Notes
    -----
    Stated in the paper or by its author: CNN-6 and CNN-7 without batch normalisation, Wing
    loss with w = 10 and epsilon = 2 (section 4), 120000 steps (Table 1) with 8 images each,
    learning rates from 3e-5 down to 3e-7 for CNN-6, and boxes perturbed by up to 5 %. All
    other values are reported by re-implementations, among them w = 15, epsilon = 3 and a
    learning rate of 1e-5 for CNN-7. The authors' training code is not published. For L2,
    divide the learning rates by ten. The paper mentions neither averaging over mirrored
    crops nor repeated predictions, so ``average_mirrored`` and ``retry`` are off.

    Examples
    --------
    >>> from skwing import recipes
    >>> settings = recipes.paper(n_samples=3148, n_landmarks=68)
    >>> settings["max_epochs"], settings["learning_rate"]
    (305, (0.00408, 0.00136))
    """
    n_samples = count().check(n_samples, "n_samples")
    n_landmarks = count().check(n_landmarks, "n_landmarks")
    return {
        "networks": ("cnn6_plain", "cnn7_plain"),
        "loss": "wing",
        "w": (10.0, 15.0),
        "epsilon": (2.0, 3.0),
        "max_epochs": math.ceil(_PAPER_STEPS / math.ceil(n_samples / _PAPER_BATCH)),
        "batch_size": _PAPER_BATCH,
        "optimizer": "sgd",
        "learning_rate": tuple(round(rate * 2 * n_landmarks, 8) for rate in _PAPER_RATES),
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "schedule": "exponential",
        "margin": (0.0, 0.05),
        "augmentation": Augmentation(
            rotation=(30.0, 10.0),
            scale=0.05,
            shift=0.05,
            mirror=0.5,
            blur=0.5,
            brightness=0.0,
            contrast=0.0,
            occlusion=0.0,
            deformation=0.0,
        ),
        "refine_on": "truth",
        "average_mirrored": False,
        "retry": False,
    }
