"""Doubt above which predictions of a trained cascade are repeated, see `_prediction.retry`."""

import math
from dataclasses import replace

import numpy as np
import torch

from skwing import geometry
from skwing._prediction.retry import (
    N_TURNS,
    NEVER,
    Retry,
    doubts_of,
    looks_alike_turned,
    read_turned,
)
from skwing._prediction.stages import Reading, mirror_permutation, read_stages

_N_SAMPLES, _N_ALIKE = 256, 16
_A_PASS = 32
_QUANTILE = 0.95
# Predictions on new samples have more doubt than those on training samples. Without mirrored
# crops, the doubt of rolled objects is less distinct.
_FACTOR, _FACTOR_ONCE = 1.5, 1.25
# Networks know few training samples by heart, and have more doubt on all others, but as much doubt
# about wrong predictions. Then a part of a low quantile of the latter is a limit, too.
_FEW, _N_TURNED = 256, 128
_LEAST_WRONG, _WRONG_QUANTILE, _OF_WRONG = 16, 0.05, 0.75


@torch.no_grad()
def make_retry(stages, chips, plan, mirrored):
    """Determine when predictions of a trained cascade are doubtful, by chips of training samples.

    `mirrored` tells for each stage whether it was trained on mirrored crops. The limits are 1.5
    and, without mirrored crops, 1.25 times the 95th percentile of the doubt on training samples.
    With fewer than 256 of them, they are at least 0.75 times the 5th percentile of the doubt of
    wrong predictions, which are those in turned crops. Nothing is repeated if the object looks
    alike in several orientations.
    """
    mean_points = chips.mean_in_chip(plan.train.points)
    start = np.float32(geometry.apply(stages[0].crop.matrix, mean_points))
    never = Retry(start, NEVER)
    names = mirror_permutation(plan.schema, chips.device)
    both = [
        replace(stage, permutation=names if known else None)
        for stage, known in zip(stages, mirrored, strict=True)
    ]
    once = [replace(stage, permutation=None) for stage in stages]
    limits = (
        _limit(both, chips, never, _FACTOR) if mirrored[-1] else NEVER,
        _limit(once, chips, never, _FACTOR_ONCE),
    )
    if min(limits) < NEVER:
        some = _rows(chips, _N_ALIKE)
        if looks_alike_turned(once, chips, some, Retry(start, min(limits))):
            limits = NEVER, NEVER
    return Retry(start, *limits)


def _rows(chips, n_most):
    """Evenly distributed indices of at most so many chips."""
    return torch.arange(0, len(chips), max(1, math.ceil(len(chips) / n_most)))


def _limit(stages, chips, retry, factor):
    rows = _rows(chips, _N_SAMPLES)
    readings = [read_stages(stages, chips, some) for some in rows.split(_A_PASS)]
    doubts = _finite([doubts_of(reading) for reading in readings])
    if not len(doubts) or not doubts.any():
        return NEVER
    limit = factor * float(doubts.quantile(_QUANTILE))
    if len(chips) >= _FEW:
        return limit
    wrong = _doubts_if_wrong(stages, chips, rows, readings, retry)
    if len(wrong) < _LEAST_WRONG:
        return limit
    return max(limit, _OF_WRONG * float(wrong.quantile(_WRONG_QUANTILE)))


def _doubts_if_wrong(stages, chips, rows, readings, retry):
    """Doubt of the predictions in turned crops that are other landmarks than those of readings."""
    turns = torch.arange(2, N_TURNS - 1)  # an eighth in either direction may not matter
    n_each = min(math.ceil(_N_TURNED / len(rows)), len(turns))
    numbers = torch.arange(len(rows)).repeat(n_each)
    first = torch.arange(n_each).repeat_interleave(len(rows))
    turns = turns[(numbers % _A_PASS + first) % len(turns)]
    upright, doubts = Reading.joined(readings), []
    for some, own in zip(numbers.split(_A_PASS), turns.split(_A_PASS), strict=True):
        turned, apart, _ = read_turned(stages, chips, rows[some], upright.rows(some), own, retry)
        doubts.append(doubts_of(turned)[apart])
    return _finite(doubts)


def _finite(parts):
    doubts = torch.cat(parts)
    return doubts[doubts.isfinite()]
