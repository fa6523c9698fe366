"""Second attempts at doubtful predictions, from other crops of the first stage.

A network is trained on crops in which objects are nearly upright and fill a certain part. It
finds an object that is rolled, or whose box is poor, only in a crop that makes up for this.
Whether a crop does is seen from the predictions themselves, without further computation: if the
image determines the landmarks, a crop and its mirror image give the same landmarks, and the last
stage hardly moves those of the stage before. The prediction with the least disagreement, the
least doubt, is kept.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from skwing import geometry
from skwing._prediction.passes import crops_a_pass
from skwing._prediction.stages import (
    Reading,
    continue_reading,
    mean_distance,
    read_both,
    read_crops,
)

__all__ = ["Retry", "doubts_of", "read_again"]

_N_TURNS = 8
_SCALES = (0.65, 0.9, 1.25)
# Relative to the side of the crop, in the direction in which it is turned. The first one is none.
_SHIFTS = ((0.0, 0.0), (0.25, 0.0), (-0.25, 0.0), (0.0, 0.25), (0.0, -0.25))
_N_FINALISTS = 4  # crops of each shift whose predictions are refined by all stages
# A prediction from another orientation must have much less doubt than the first one. Without this
# condition, poorly trained networks find upright objects upside down.
_MUCH_LESS = 0.6
_SURE = 0.75  # part of the limit below which the search ends
# Multiple of the limit above which an object is also searched for in other places. An object that
# is hardly recognisable in the right crop has less doubt than one that is not in the crop.
_ELSEWHERE = 1.35
# A prediction that so many crops of the search agree with is not lost. The distance of agreement
# is relative to the limit.
_N_AGREEING, _NEAR = 4, 6.0


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
    doubt = torch.stack(known).log().mean(0).exp() / _unit(points, sides)
    return torch.where(doubt.isfinite(), doubt, torch.inf)


def _unit(points, sides):
    """Size of each shape, or for a single landmark the side of its crop."""
    return points.var(1, unbiased=False).sum(-1).sqrt() if points.shape[1] > 1 else sides


@torch.no_grad()
def read_again(stages, chips, indices, reading, retry, crops):
    """Repeat the doubtful predictions of a batch from other crops.

    First, the first stage reads a crop that is placed by the prediction itself. Samples that
    remain doubtful are searched for in crops of several orientations, scales and places, and those
    that are still doubtful are read once more in the crop placed by their prediction.

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
    for attempt in (_from_itself, _from_all_sides, _from_itself):
        rows = torch.nonzero(doubts_of(reading) > retry.limit)[:, 0]
        if not len(rows):
            break
        some = reading.rows(rows)
        own = indices[rows.to(indices.device)]
        again, better = attempt(stages, chips, own, some, retry, crops[rows])
        better = torch.nonzero(better)[:, 0]
        reading = reading.replaced(rows[better], again.rows(better))
    return reading


def _from_itself(stages, chips, indices, reading, retry, crops):
    """Read with the first crop placed by the last prediction; and whether there is less doubt."""
    matrices = _placed(reading.points[-1], retry, crops)
    points, apart = read_both(stages[0], chips, indices, matrices)
    again = continue_reading(stages, chips, indices, points, apart, matrices)
    return again, doubts_of(again) < doubts_of(reading)


def _from_all_sides(stages, chips, indices, reading, retry, crops):
    """Search in crops of several orientations, scales and places for the least doubt.

    Samples that are not lost in the crops without a shift are not searched for, and only those of
    much doubt in other places.

    Returns
    -------
    found : Reading
    better : bool tensor of shape (b,)
        Whether to prefer what was found: it has less doubt, and either much less, or more crops
        agree with it.
    """
    first, found, doubt = stages[0], reading, doubts_of(reading)
    rows = torch.arange(len(crops), device=crops.device)
    n_with_found, n_with_present = torch.zeros_like(rows), torch.zeros_like(rows)
    for number, changes in enumerate(_changes(first.crop.size, crops.device)):
        matrices = geometry.compose(changes[:, None], crops[rows])
        own = indices[rows.to(indices.device)].expand(len(changes), -1)
        looks = _look(first, chips, own, matrices)
        if number == 0:
            lost = _n_agreeing(looks, reading, retry.limit) < _N_AGREEING
            rows, own = rows[lost], own[:, lost.to(own.device)]
            matrices, looks = matrices[:, lost], looks[:, lost]
        if len(rows):
            best, points = _least_doubtful(stages, chips, own, matrices, looks, retry)
            if number == 0:
                n_with_present[rows] = _n_agreeing(points, reading.rows(rows), retry.limit)
            better = doubts_of(best) < doubts_of(found.rows(rows))
            found = found.replaced(rows[better], best.rows(better))
            n_with_found[rows[better]] = _n_agreeing(points, best, retry.limit)[better]
            unsure = doubts_of(found.rows(rows)) > _SURE * retry.limit
            rows = rows[unsure & (doubt[rows] > _ELSEWHERE * retry.limit)]
        if not len(rows):
            break
    now = doubts_of(found)
    much_less = (now < _MUCH_LESS * doubt) & (now < retry.limit)
    agreed = (n_with_found >= _N_AGREEING) & (n_with_found > n_with_present)
    return found, (now < doubt) & (much_less | agreed)


def _changes(size, device):
    """Changes of a crop: for each shift, all rotations and scales, of shape (k, 2, 3)."""
    angles = torch.arange(_N_TURNS).repeat(len(_SCALES)) * (2 * math.pi / _N_TURNS)
    scales = torch.tensor(_SCALES).repeat_interleave(_N_TURNS)
    for shift in torch.tensor(_SHIFTS):
        shifts = shift * scales[:, None] * size
        yield geometry.from_parts(angles, scales, shifts, (size - 1) / 2).to(device)


def _look(stage, chips, indices, matrices):
    """Predictions of a stage in crops, without mirror images, for indices of shape (k, b)."""
    stage = replace(stage, permutation=None)
    parts = _passes(chips, indices.flatten(), matrices.flatten(0, 1))
    points = torch.cat([read_crops(stage, chips, *part) for part in parts])
    return points.unflatten(0, indices.shape)


def _n_agreeing(points, reading, limit):
    """Number of crops whose predictions are near those of a reading, for each sample.

    Parameters
    ----------
    points : float32 tensor of shape (k, b, L, 2)
        Predictions of the first stage from k crops, in chip pixels.
    reading : Reading
    limit : float

    Returns
    -------
    n : int tensor of shape (b,)
    """
    last = reading.points[-1]
    near = mean_distance(points, last) < _NEAR * limit * _unit(last, reading.sides)
    return near.sum(0)


def _least_doubtful(stages, chips, indices, matrices, looks, retry):
    """For each sample, the least doubtful of the predictions from k crops.

    The first stage reads each crop that is placed by a look once more, and all stages continue
    with the least doubtful ones. Also returns the k predictions of the first stage, a tensor of
    shape (k, b, L, 2).
    """
    n_samples, looks = indices.shape[1], looks.flatten(0, 1)
    indices, matrices = indices.flatten(), _placed(looks, retry, matrices.flatten(0, 1))
    read = [read_both(stages[0], chips, *part) for part in _passes(chips, indices, matrices)]
    points = torch.cat([own for own, _ in read])
    apart = None if read[0][1] is None else torch.cat([own for _, own in read])
    sides = stages[0].crop.size / geometry.scale_of(matrices)
    doubts = _doubt(points, looks, apart, sides).unflatten(0, (-1, n_samples))
    column = torch.arange(n_samples, device=doubts.device)
    chosen = (doubts.argsort(0)[:_N_FINALISTS] * n_samples + column).flatten()
    final = Reading.joined(
        [
            continue_reading(
                stages,
                chips,
                indices[rows.to(indices.device)],
                points[rows],
                None if apart is None else apart[rows],
                matrices[rows],
            )
            for (rows,) in _passes(chips, chosen)
        ]
    )
    least = doubts_of(final).unflatten(0, (-1, n_samples)).argmin(0)
    return final.rows(least * n_samples + column), points.unflatten(0, (-1, n_samples))


def _passes(chips, *tensors):
    """Parts of tensors of equal length, for batches of moderate size."""
    return zip(*(each.split(crops_a_pass(chips.device)) for each in tensors), strict=True)


def _placed(points, retry, otherwise):
    """Crops of the first stage in which a shape lies where the mean shape is expected."""
    start = torch.tensor(retry.start, device=points.device).expand_as(points)
    matrices = geometry.similarity(points, start)
    decided = torch.isfinite(matrices).flatten(1).all(1)[:, None, None]
    return torch.where(decided, matrices, otherwise)
