"""Second attempts at doubtful predictions, from other crops of the first stage.

A network is trained on crops in which objects are nearly upright and fill a certain part. It
finds an object that is rolled, or whose box is poor, only in a crop that makes up for this.
Whether a crop does is seen from the predictions themselves, without further computation: if the
image determines the landmarks, a crop and its mirror image give the same landmarks, and each
stage hardly moves those of the stage before. This disagreement is the doubt of a prediction.

Doubt does not compare predictions from crops of different orientations well: some wrong ones have
less than right ones. These are compared by their agreement: how near to them the first stage finds
the landmarks in other crops around them, some of which are turned. Right predictions are found
again; wrong ones follow the crop.
"""

import math
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch

from skwing import geometry
from skwing._crops.crop import onto_shape
from skwing._prediction.passes import crops_a_pass
from skwing._prediction.stages import (
    Reading,
    continue_reading,
    mean_distance,
    read_both,
    read_crops,
    read_stages,
)

NEVER = 1e9  # limit that no doubt exceeds

N_TURNS = 8  # that make a whole turn
_SCALES = (0.65, 0.9, 1.25)
# Relative to the side of the crop, in the direction in which it is turned. The first one is none.
_SHIFTS = ((0.0, 0.0), (0.25, 0.0), (-0.25, 0.0), (0.0, 0.25), (0.0, -0.25))
_N_FINALISTS = 4  # crops of each shift whose predictions are refined by all stages
# A prediction is not searched for if its own crop lowers the doubt below this part of the limit.
_SURE = 0.75
# Agreement from which a prediction is taken for right.
_AGREED = 0.25
# Without mirrored crops, what is found must have this many times the agreement of the present one.
_CLEARLY = 1.5
# Distance from which crops do not agree: a multiple of the limit, at most a part of the size.
_NEAR, _NEAR_AT_MOST = 8.0, 0.25
# Share of predictions in turned crops that other crops agree with, from which an object looks alike
# in several orientations.
_ALIKE = 0.2
# Multiple of the limit above which an object without agreement is also searched for in other
# places, and agreement below which it always is. An object that is hardly recognisable in the right
# crop has less doubt, and more agreement, than one that is not in the crop.
_ELSEWHERE, _LOST = 1.35, 0.18


@dataclass(frozen=True)
class Retry:
    """When a prediction is doubtful, and what the first stage expects in its crop.

    Attributes
    ----------
    start : float32 array of shape (L, 2)
        Mean landmarks in the crop of the first stage, in pixels of its input.
    limit : float
        Doubt above which a prediction is repeated.
    limit_once : float, default=NEVER
        The same without mirrored crops, whose doubt is another one.
    """

    start: np.ndarray
    limit: float
    limit_once: float = NEVER

    def of(self, stages):
        """The same with the limit for stages that use mirrored crops, or that do not."""
        return replace(self, limit=self.limit_once) if stages[-1].permutation is None else self


def doubts_of(reading):
    """Disagreement of the predictions for each sample, of shape (b,).

    It is the geometric mean of distances: with mirrored crops, of that between the predictions for
    a crop and its mirror image, and that between the last two stages; otherwise of those between
    all successive stages. It is relative to the size of the shape (root mean square distance from
    its centre), or for a single landmark to the side of the crop; infinite for invalid
    predictions, and 0 if no distance is known.
    """
    # A stage of patches cannot move landmarks far, and tells less of rolled objects than others.
    answers = reading.points if reading.apart is None else reading.points[-2:]
    return _doubt(answers, reading.apart, reading.sides)


def _doubt(answers, apart, sides):
    """Doubt, from the predictions of successive stages and those of mirrored crops."""
    points, known = answers[-1], [] if apart is None else [apart]
    known += [mean_distance(one, other) for one, other in pairwise(answers)]
    if not known:
        return torch.zeros_like(sides)
    doubt = torch.stack(known).log().mean(0).exp() / _unit(points, sides)
    return torch.where(doubt.isfinite(), doubt, torch.inf)


def _unit(points, sides):
    """Size of each shape, or for a single landmark the side of its crop."""
    return points.var(1, unbiased=False).sum(-1).sqrt() if points.shape[1] > 1 else sides


@torch.no_grad()
def read_again(stages, chips, indices, reading, retry, crops):
    """Repeat the doubtful predictions of a batch, a `Reading`, from other crops.

    First, the first stage reads a crop that is placed by the prediction itself. Samples that are
    not sure then, and that other crops do not agree with, are searched for in crops of several
    orientations, scales and places. Those that are still doubtful are read once more in the crop
    placed by their prediction. `crops` are those of the first stage that predictions began with.
    """
    for attempt, limit in (
        (_from_itself, retry.limit),
        (_from_all_sides, _SURE * retry.limit),
        (_from_itself, retry.limit),
    ):
        rows = torch.nonzero(doubts_of(reading) > limit)[:, 0]
        if not len(rows):
            break
        some, own = reading.rows(rows), indices[rows.to(indices.device)]
        again, better = attempt(stages, chips, own, some, retry, crops[rows])
        better = torch.nonzero(better)[:, 0]
        reading = reading.replaced(rows[better], again.rows(better))
    return reading


@torch.no_grad()
def looks_alike_turned(stages, chips, indices, retry):
    """Whether an object looks alike after quarters of a turn, as a square does.

    Then the search cannot tell its orientation, and would turn upright objects. It does if other
    crops agree nearly as well with a fifth of the predictions in turned crops, which are other
    landmarks. The samples must be predicted well, as those of the training are.
    """
    crops = stages[0].crop.matrices(len(indices), chips.device)
    upright = read_stages(stages, chips, indices, crops)
    usual = _agreement(stages[0], chips, indices, upright, retry, crops)
    turns = torch.arange(2, N_TURNS, 2).repeat_interleave(len(indices))
    rows = torch.arange(len(indices)).repeat(len(turns) // len(indices))
    indices, upright, usual = indices[rows], upright.rows(rows), usual[rows]
    found, apart, turned = read_turned(stages, chips, indices, upright, turns, retry)
    agreement = _agreement(stages[0], chips, indices, found, retry, turned)
    alike = apart & (_CLEARLY * agreement > usual) & (usual > 0)
    return float(alike.float().mean()) > _ALIKE


def read_turned(stages, chips, indices, upright, turns, retry):
    """Read in crops that are turned relative to predictions, by eighths of a turn.

    Returns
    -------
    reading : Reading
    apart : bool tensor of shape (b,)
        Whether these are other landmarks.
    crops : float32 tensor of shape (b, 2, 3)
        Crops of the first stage.
    """
    points, size = upright.points[-1], stages[0].crop.size
    crops = stages[0].crop.matrices(len(indices), chips.device)
    crops = geometry.compose(
        _turned(turns, size).to(crops.device), onto_shape(points, retry.start, crops)
    )
    found = read_stages(stages, chips, indices, crops)
    apart = mean_distance(found.points[-1], points) / _unit(points, upright.sides)
    return found, apart > _NEAR_AT_MOST, crops


def _from_itself(stages, chips, indices, reading, retry, crops):
    """Read with the first crop placed by the last prediction; and whether there is less doubt."""
    matrices = onto_shape(reading.points[-1], retry.start, crops)
    points, apart = read_both(stages[0], chips, indices, matrices)
    again = continue_reading(stages, chips, indices, points, apart, matrices)
    return again, doubts_of(again) < doubts_of(reading)


def _from_all_sides(stages, chips, indices, reading, retry, crops):
    """Search in crops of several orientations, scales and places.

    Only samples without agreement are searched for, and only clearly lost ones in other places.

    Returns
    -------
    found : Reading
        The first prediction with agreement, or the one with the least doubt.
    better : bool tensor of shape (b,)
        Whether there is more agreement with it than with the present prediction, without mirrored
        crops clearly more, and less doubt.
    """
    clearly = _CLEARLY if reading.apart is None else 1.0
    found, before = reading, doubts_of(reading)
    least = torch.full_like(before, torch.inf)
    present = _agreement(stages[0], chips, indices, reading, retry, crops)
    agreement = torch.zeros_like(present)
    rows = torch.nonzero(present < _AGREED)[:, 0]
    for changes in _changes(stages[0].crop.size, crops.device):
        if not len(rows):
            break
        own = indices[rows.to(indices.device)]
        matrices = geometry.compose(changes[:, None], crops[rows])
        best, agreed = _best(stages, chips, own, matrices, retry)
        doubt = doubts_of(best)
        chosen = torch.nonzero((agreed >= _AGREED) | (doubt < least[rows]))[:, 0]
        found = found.replaced(rows[chosen], best.rows(chosen))
        least[rows[chosen]], agreement[rows[chosen]] = doubt[chosen], agreed[chosen]
        lost = (before > _ELSEWHERE * retry.limit) | (torch.maximum(agreement, present) < _LOST)
        rows = rows[((agreement < _AGREED) & lost)[rows]]
    return found, (agreement > clearly * present) & (least < before)


def _changes(size, device):
    """Changes of a crop: for each shift, all rotations and scales, of shape (k, 2, 3)."""
    for shift in _SHIFTS:
        yield _turned_and_scaled(range(N_TURNS), shift, size).to(device)


def _turned(turns, size):
    """Changes of a crop by eighths of a turn about its middle, of shape (k, 2, 3)."""
    angles, n = turns * (2 * math.pi / N_TURNS), len(turns)
    return geometry.from_parts(angles, torch.ones(n), torch.zeros(n, 2), (size - 1) / 2)


def _turned_and_scaled(turns, shift, size):
    """Changes of a crop by eighths of a turn, and all scales, of shape (k, 2, 3)."""
    angles = torch.tensor(turns).repeat(len(_SCALES)) * (2 * math.pi / N_TURNS)
    scales = torch.tensor(_SCALES).repeat_interleave(len(turns))
    shifts = torch.tensor(shift) * scales[:, None] * size
    return geometry.from_parts(angles, scales, shifts, (size - 1) / 2)


def _look(stage, chips, indices, matrices):
    """Predictions of a stage in crops, without mirror images, for indices of shape (k, b)."""
    stage = replace(stage, permutation=None)
    parts = _passes(chips, indices.flatten(), matrices.flatten(0, 1))
    points = torch.cat([read_crops(stage, chips, *part) for part in parts])
    return points.unflatten(0, indices.shape)


def _agreement(first, chips, indices, reading, retry, crops):
    """How near to predictions the first stage finds the landmarks in other crops around them.

    The crops are those that the predictions place, at all scales, and turned by an eighth in both
    directions.

    Returns
    -------
    agreement : float32 tensor of shape (b,)
        From 0, other landmarks in all crops, to 1, the same landmarks in all crops.
    """
    points = reading.points[-1]
    changes = _turned_and_scaled((0, 1, -1), _SHIFTS[0], first.crop.size).to(crops.device)
    matrices = geometry.compose(changes[:, None], onto_shape(points, retry.start, crops))
    looks = _look(first, chips, indices.expand(len(changes), -1), matrices)
    near = min(_NEAR * retry.limit, _NEAR_AT_MOST) * _unit(points, reading.sides)
    return (1 - mean_distance(looks, points) / near).clamp(min=0).nan_to_num(0).mean(0)


def _best(stages, chips, indices, matrices, retry):
    """For each sample, the best of the predictions from k crops.

    The first stage reads each crop, and once more the crop that is placed by what it finds; all
    stages continue with the least doubtful ones. The best of these is the least doubtful one, or
    without mirrored crops, whose doubt is less distinct, the one with the most agreement.

    Parameters
    ----------
    indices : int tensor of shape (b,)
    matrices : float32 tensor of shape (k, b, 2, 3)
        Crops of the first stage.

    Returns
    -------
    best : Reading
    agreement : float32 tensor of shape (b,)
        See :func:`_agreement`.
    """
    n_samples, indices = len(indices), indices.expand(len(matrices), -1)
    looks = _look(stages[0], chips, indices, matrices).flatten(0, 1)
    indices, matrices = indices.flatten(), onto_shape(looks, retry.start, matrices.flatten(0, 1))
    read = [read_both(stages[0], chips, *part) for part in _passes(chips, indices, matrices)]
    points = torch.cat([own for own, _ in read])
    apart = None if read[0][1] is None else torch.cat([own for _, own in read])
    sides = stages[0].crop.size / geometry.scale_of(matrices)
    doubts = _doubt([looks, points], apart, sides).unflatten(0, (-1, n_samples))
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
    indices, crops = indices[chosen.to(indices.device)], matrices[chosen]
    if final.apart is None:
        agreement = _agreement(stages[0], chips, indices, final, retry, crops)
        rows = agreement.unflatten(0, (-1, n_samples)).argmax(0) * n_samples + column
        return final.rows(rows), agreement[rows]
    rows = doubts_of(final).unflatten(0, (-1, n_samples)).argmin(0) * n_samples + column
    best, own = final.rows(rows), indices[rows.to(indices.device)]
    return best, _agreement(stages[0], chips, own, best, retry, crops[rows])


def _passes(chips, *tensors):
    """Parts of tensors of equal length, for batches of moderate size."""
    return zip(*(each.split(crops_a_pass(chips.device)) for each in tensors), strict=True)
