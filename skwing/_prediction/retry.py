"""Second attempts at doubtful predictions, from other crops of the first stage.

A network is trained on crops in which objects are nearly upright and fill a certain part. It
finds an object that is rolled, or whose box is poor, only in a crop that makes up for this.
Whether a crop does is seen from the predictions themselves, without further computation: if the
image determines the landmarks, a crop and its mirror image give the same landmarks, and the last
stage hardly moves those of the stage before. The prediction with the least disagreement, the
least doubt, is kept.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from skwing import geometry
from skwing._prediction.stages import continue_reading, mean_distance, read_both

__all__ = ["Retry", "doubts_of", "read_again"]

_N_TURNS = 8
_SCALES = (0.65, 0.9, 1.25)
_N_FINALISTS = 4  # crops whose predictions are refined by all stages
# A prediction from another orientation must have much less doubt than the first one. Without this
# condition, poorly trained networks find upright objects upside down.
_MUCH_LESS = 0.6


@dataclass(frozen=True)
class Retry:
    """When a prediction is doubtful, and what the first stage expects in its crop.

    Attributes
    ----------
    start : float32 array of shape (L, 2)
        Mean landmarks in the crop of the first stage, in pixels of its input.
    limit : float
        Doubt above which a prediction is repeated.
    """

    start: np.ndarray
    limit: float


def doubts_of(reading):
    """Disagreement of the predictions for each sample.

    Parameters
    ----------
    reading : Reading

    Returns
    -------
    doubt : float32 tensor of shape (b,)
        Geometric mean of two distances, as far as they are known: between the predictions for
        a crop and its mirror image, and between those of the last two stages. Relative to the
        size of the shape (root mean square distance from its centre), or for a single landmark
        to the side of the crop. Infinite for invalid predictions; 0 if no distance is known.
    """
    last = reading.points[-1]
    before = reading.points[-2] if len(reading.points) > 1 else None
    return _doubt(last, before, reading.apart, reading.sides)


def _doubt(points, before, apart, sides):
    known = [] if apart is None else [apart]
    if before is not None:
        known.append(mean_distance(points, before))
    if not known:
        return torch.zeros_like(sides)
    if points.shape[1] > 1:
        sides = points.var(1, unbiased=False).sum(-1).sqrt()
    doubt = torch.stack(known).log().mean(0).exp() / sides
    return torch.where(doubt.isfinite(), doubt, torch.inf)


@torch.no_grad()
def read_again(stages, chips, indices, reading, retry, crops):
    """Repeat the doubtful predictions of a batch from other crops.

    First, the first stage reads a crop that is placed by the prediction itself. Samples that
    remain doubtful are searched for in crops of several orientations and scales, and those that
    are still doubtful are read once more in the crop placed by their prediction.

    Parameters
    ----------
    stages : list of Stage
    chips : Chips
    indices : int tensor of shape (b,)
    reading : Reading
        Predictions for these samples.
    retry : Retry
    crops : float32 tensor of shape (b, 2, 3)
        Crops of the first stage that these predictions began with.

    Returns
    -------
    reading : Reading
        Unchanged if the last stage does not use mirrored crops: the doubt that is known then does
        not tell rolled objects from others.
    """
    if reading.apart is None:
        return reading
    for attempt, factor, most in (
        (_from_itself, 1.0, math.inf),
        (_from_all_sides, _MUCH_LESS, retry.limit),
        (_from_itself, 1.0, math.inf),
    ):
        doubt = doubts_of(reading)
        rows = torch.nonzero(doubt > retry.limit)[:, 0]
        if not len(rows):
            break
        some = reading.rows(rows)
        again = attempt(stages, chips, indices[rows.to(indices.device)], some, retry, crops[rows])
        now = doubts_of(again)
        better = torch.nonzero((now < factor * doubt[rows]) & (now < most))[:, 0]
        reading = reading.replaced(rows[better], again.rows(better))
    return reading


def _from_itself(stages, chips, indices, reading, retry, crops):
    """Read with the first crop placed by the last prediction."""
    matrices = _placed(reading.points[-1], retry, crops)
    points, apart = read_both(stages[0], chips, indices, matrices)
    return continue_reading(stages, chips, indices, points, apart, matrices)


def _from_all_sides(stages, chips, indices, reading, retry, crops):
    """Read from crops of several orientations and scales; keep the least doubtful."""
    found = [
        _first_twice(stages[0], chips, indices, geometry.compose(change, crops), retry)
        for change in _changes(stages[0].crop.size, chips.device)
    ]
    doubts = torch.stack([doubt for *_, doubt in found])
    best = None
    for order in doubts.argsort(0)[:_N_FINALISTS]:
        points, apart, matrices = (_pick([one[i] for one in found], order) for i in range(3))
        final = continue_reading(stages, chips, indices, points, apart, matrices)
        if best is None:
            best = final
        else:
            better = torch.nonzero(doubts_of(final) < doubts_of(best))[:, 0]
            best = best.replaced(better, final.rows(better))
    return best


def _first_twice(stage, chips, indices, matrices, retry):
    """Read the first stage in a crop, and in the crop placed by its prediction."""
    before, _ = read_both(stage, chips, indices, matrices)
    matrices = _placed(before, retry, matrices)
    points, apart = read_both(stage, chips, indices, matrices)
    sides = stage.crop.size / geometry.scale_of(matrices)
    return points, apart, matrices, _doubt(points, before, apart, sides)


def _changes(size, device):
    """Rotations about the centre of a crop at several scales, of shape (k, 2, 3)."""
    angles = torch.arange(_N_TURNS).repeat(len(_SCALES)) * (2 * math.pi / _N_TURNS)
    scales = torch.tensor(_SCALES).repeat_interleave(_N_TURNS)
    shifts = torch.zeros(len(angles), 2)
    return geometry.from_parts(angles, scales, shifts, (size - 1) / 2).to(device)


def _placed(points, retry, otherwise):
    """Crops of the first stage in which a shape lies where the mean shape is expected."""
    start = torch.tensor(retry.start, device=points.device).expand_as(points)
    matrices = geometry.similarity(points, start)
    decided = torch.isfinite(matrices).flatten(1).all(1)[:, None, None]
    return torch.where(decided, matrices, otherwise)


def _pick(choices, order):
    """Row i of the tensor with number ``order[i]``; None if there are none."""
    if choices[0] is None:
        return None
    return torch.stack(choices)[order, torch.arange(len(order), device=order.device)]
