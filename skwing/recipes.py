"""Settings of the regressor that belong together, as plain dictionaries of its parameters.

    CascadeLandmarkRegressor(**recipes.paper(n_samples=3148, n_landmarks=68))
    CascadeLandmarkRegressor(**recipes.best(n_samples=3148))

The parameters of the regressor itself are the third recipe: what was found best for its
time on a CPU.
"""

import math

from skwing._training.settings import auto_epochs
from skwing._utils.checks import count

__all__ = ["best", "paper"]

_LONGER = 3

_PAPER_STEPS = 120_000
_PAPER_BATCH = 8
_PAPER_RATES = (3e-5, 1e-5)


def best(n_samples):
    """Parameters for less error by longer training, where a GPU makes steps cheap.

    They are the regressor's own, for three times as many epochs. The whole of it was not
    measured: of the first stage alone it takes 4 % of the error (version 0.2.0), and twice
    as many epochs take 1.5 % of that of the second (0.5.0).

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
        If there is no sample.

    Examples
    --------
    >>> from skwing import recipes
    >>> recipes.best(n_samples=1600)
    {'max_epochs': (180, 480)}
    """
    n_samples = count().check(n_samples, "n_samples")
    return {"max_epochs": tuple(_LONGER * auto_epochs(stage, n_samples) for stage in range(2))}


def paper(n_samples, n_landmarks):
    """Parameters as Feng et al. 2018 trained, as far as that is known.

    Parameters
    ----------
    n_samples : int
        Number of training samples: an epoch here is one pass, the paper counts steps.
    n_landmarks : int
        The paper's rate is for a loss summed over the coordinates, ours for their mean.

    Returns
    -------
    parameters : dict
        For :class:`skwing.CascadeLandmarkRegressor`; go before it with a `PoseBalancer`.

    Raises
    ------
    ValueError
        If there is no sample or no landmark.

    Notes
    -----
    Stated in the paper or by its author: CNN-6 and CNN-7 without normalisation, Wing loss
    with w = 10 and epsilon = 2 (section 4), 120000 steps (Table 1) of 8 images, for CNN-6
    learning rates from 3e-5 down to 3e-7, and boxes disturbed by up to 5 %. As those
    who built it again report it: the rest, among it w = 15, epsilon = 3 and a rate of 1e-5
    for CNN-7. The code of the training was never published. L2 needs a tenth of the rates.
    Nothing says that the paper reads mirrored crops in prediction as well, so none are.

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
        "networks": ("cnn6", "cnn7"),
        "batch_norm": False,
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
        "rotation": (30.0, 10.0),
        "scale": 0.05,
        "shift": 0.05,
        "mirror": 0.5,
        "blur": 0.5,
        "brightness": 0.0,
        "contrast": 0.0,
        "occlusion": 0.0,
        "deformation": 0.0,
        "refine_on": "truth",
        "average_mirrored": False,
    }
