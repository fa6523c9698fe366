"""Training that diverged, as its predictions show: they are no numbers, or far from all samples."""

import math

import torch

from skwing._reading.stages import read_stages
from skwing._training.weights import Diverged

_N_CHECKED = 256  # training samples whose predictions are looked at
_A_PASS = 64
_FAR_WORSE = 10  # times the error of an answer that is the same for every sample
_FAR_OFF = 2  # sides of the crop: no error below is a sign of divergence
_FAR_LABEL = 10  # sides of the chip: a landmark so far from its box is a likely cause


@torch.no_grad()
def check_predictions(stages, chips, truth):
    """Check what a cascade predicts on samples that its last stage was trained on.

    Parameters
    ----------
    stages : list of Stage
    chips : Chips
    truth : TrainingTargets

    Raises
    ------
    Diverged
        If a prediction is not finite, or predictions are ten times as far off as the mean
        place of each landmark and by more than two sides of the crop.
    """
    step = max(1, math.ceil(len(chips) / _N_CHECKED))
    rows = torch.arange(0, len(chips), step)
    found = torch.cat([read_stages(stages, chips, part)[-1] for part in rows.split(_A_PASS)])
    broken = ~found.isfinite().flatten(1).all(1)
    if broken.any():
        raise Diverged(
            f"predictions on {int(broken.sum())} of {len(rows)} training samples are not finite"
        )
    true = truth.points[rows.to(truth.points.device)]
    crop = stages[-1].crop
    off = _mean_distance(found, true) * crop.scale
    constant = _mean_distance(truth.points.nanmean(0).expand_as(true), true) * crop.scale
    if off > max(_FAR_WORSE * constant, _FAR_OFF * crop.size):
        raise Diverged(
            f"predictions on training samples are off by {off:.3g} pixels of the input of "
            f"{crop.size} on average, where the mean place of each landmark is off by "
            f"{constant:.3g}"
        )


def _mean_distance(points, true):
    """Mean distance of points from those that are known; 0 where none is."""
    distances = torch.linalg.norm(points.double() - true.double(), dim=-1)
    known = distances[~distances.isnan()]
    return float(known.mean()) if len(known) else 0.0


def likely_cause(chips, samples, learning_rate):
    """What probably made a training diverge, and what helps: words for an error.

    Parameters
    ----------
    chips : Chips
    samples : Samples
        That the chips are of.
    learning_rate : float
    """
    advice = f"try a lower learning_rate than {learning_rate:g}"
    middle = (chips.frame.size - 1) / 2
    far = abs(chips.to_chip(samples.points) - middle).max(-1)
    far[~(far > _FAR_LABEL * chips.frame.size)] = 0
    if not far.any():
        return advice
    i, j = divmod(int(far.argmax()), far.shape[1])
    return (
        f"{samples.data.describe(i)} has landmark {j} at {samples.points[i, j].tolist()}, far from "
        f"its box: correct it or mark it as missing with NaN, else {advice}"
    )
