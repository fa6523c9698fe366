"""Doubt above which predictions of a trained cascade are repeated, see `_prediction.retry`."""

import math
from dataclasses import replace

import numpy as np
import torch

from skwing import geometry
from skwing._prediction.retry import NEVER, Retry, doubts_of, looks_alike_turned
from skwing._prediction.stages import mirror_permutation, read_stages

_N_SAMPLES, _N_TURNED = 256, 16
_A_PASS = 32
_QUANTILE = 0.95
# Predictions on new samples have more doubt than those on training samples. Without mirrored
# crops, the doubt of rolled objects is less distinct.
_FACTOR, _FACTOR_ONCE = 1.5, 1.25


@torch.no_grad()
def make_retry(stages, chips, plan, mirrored):
    """Determine when predictions of a trained cascade are doubtful.

    Parameters
    ----------
    stages : list of Stage
        Trained stages.
    chips : Chips
        Chips of the training samples.
    plan : Plan
    mirrored : list of bool
        Whether each stage was trained on mirrored crops.

    Returns
    -------
    retry : Retry
        The limits are 1.5 and, without mirrored crops, 1.25 times the 95th percentile of the doubt
        on training samples. Nothing is repeated if the object looks alike in several
        orientations.
    """
    mean_points = chips.mean_in_chip(plan.train.points)
    start = np.float32(geometry.apply(stages[0].crop.matrix, mean_points))
    names = mirror_permutation(plan.schema, chips.device)
    both = [
        replace(stage, permutation=names if known else None)
        for stage, known in zip(stages, mirrored, strict=True)
    ]
    once = [replace(stage, permutation=None) for stage in stages]
    limits = (
        _limit(both, chips, _FACTOR) if mirrored[-1] else NEVER,
        _limit(once, chips, _FACTOR_ONCE),
    )
    if min(limits) < NEVER:
        some = _rows(chips, _N_TURNED)
        if looks_alike_turned(once, chips, some, Retry(start, min(limits))):
            limits = NEVER, NEVER
    return Retry(start, *limits)


def _rows(chips, n_most):
    """Evenly distributed indices of at most so many chips."""
    return torch.arange(0, len(chips), max(1, math.ceil(len(chips) / n_most)))


def _limit(stages, chips, factor):
    rows = _rows(chips, _N_SAMPLES)
    readings = [read_stages(stages, chips, some) for some in rows.split(_A_PASS)]
    doubts = torch.cat([doubts_of(reading) for reading in readings])
    doubts = doubts[doubts.isfinite()]
    if not len(doubts) or not doubts.any():
        return NEVER
    return factor * float(doubts.quantile(_QUANTILE))
