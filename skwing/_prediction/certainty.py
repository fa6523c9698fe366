"""Probability that a prediction is right, from its doubt.

Failures are rare among held-out samples with good boxes. Therefore, the relation between doubt
and failure is also learned from samples whose crops are turned, scaled and shifted, some of them
so far that there is no object in them.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from skwing import geometry

_RIGHT = 0.1  # error of a prediction that counts as right, relative to the size of the shape
_SCALE = math.log(1.4)
_SHIFT, _OFF = 0.2, (0.6, 0.9)  # relative to the side of the crop
_N_DISTURBED = 200  # maximum number of samples to disturb
# Boxes without an object are rare. With equal weights, the probability would be too low for the
# doubtful predictions that are right.
_WEIGHTS = (1.0, 1.0, 0.1)  # of the disturbances
_SEED = 0
_LEAST, _MOST = 1e-6, 1e3  # range of the doubt, for its logarithm


@dataclass(frozen=True)
class Certainty:
    """Logistic model of the probability that a prediction is right.

    Attributes
    ----------
    intercept, slope : float
        Log-odds are ``intercept + slope * log(doubt)``.
    averaged : bool
        Parameter `average_mirrored` of the regressor: the doubt without mirrored crops is
        another one.
    """

    intercept: float
    slope: float
    averaged: bool = True

    def probability(self, doubt):
        """Probability that the mean error is less than a tenth of the size of the shape.

        The doubt is that of :func:`skwing._prediction.retry.doubts_of`, NaN without a prediction.
        """
        return expit(self.intercept + self.slope * _logarithm(doubt))


def _logarithm(doubt):
    return np.log(np.clip(doubt, _LEAST, _MOST))


def disturbances(n, size, rng):
    """Random transforms of the first crop: two turned ones per sample, and one far off.

    They are a list of float32 tensors of shape (n, 2, 3); `size` is the side of the crop in
    pixels.
    """
    changes = []
    for low, high in ((0, _SHIFT), (0, _SHIFT), _OFF):
        angle, direction = rng.uniform(-math.pi, math.pi, (2, n))
        way = rng.uniform(low, high, n) * size
        shift = way[:, None] * np.stack([np.cos(direction), np.sin(direction)], 1)
        scale = np.exp(rng.uniform(-_SCALE, _SCALE, n))
        parts = (torch.tensor(part, dtype=torch.float32) for part in (angle, scale, shift))
        changes.append(geometry.from_parts(*parts, (size - 1) / 2))
    return changes


def fit_certainty(doubt, right, averaged=True, weights=None):
    """Fit the probability of right predictions by logistic regression.

    Samples whose doubt is NaN are ignored. One right prediction with the least and one wrong
    prediction with the largest doubt are added, so that it is defined if all are right or wrong.
    The result is None if no doubt is known, or all are 0, as of a single stage without mirrored
    crops.
    """
    known = ~np.isnan(doubt)
    if not (doubt[known] > 0).any():
        return None
    x = _logarithm(doubt[known])
    x = np.concatenate([x, [x.min(), x.max()]])
    y = np.concatenate([right[known], [True, False]])
    own = np.ones(len(doubt)) if weights is None else weights
    own = np.concatenate([own[known], [1.0, 1.0]])
    model = LogisticRegression().fit(x[:, None], y, sample_weight=own)
    return Certainty(float(model.intercept_[0]), float(model.coef_[0, 0]), averaged)


def relative_errors(points, truth, sides):
    """Mean error of each sample, relative to the size of the true shape.

    For a single landmark, the unit is the side of the box. The error is infinite if the prediction
    is missing, NaN if the true landmarks are.
    """
    known = ~np.isnan(truth).any(-1)
    lost = np.isnan(points).any((1, 2))
    errors = np.linalg.norm(np.where(lost[:, None, None], 0.0, points) - truth, axis=-1)
    mean = np.ma.masked_array(errors, ~known).mean(1).filled(np.nan)
    spread = np.ma.masked_array(truth, np.isnan(truth)).var(1).sum(-1).filled(np.nan)
    size = np.sqrt(spread) if truth.shape[1] > 1 else sides
    return np.where(lost, np.inf, mean / np.where(size > 0, size, np.nan))


def calibrate_certainty(locate, truth, found, size, averaged):
    """Fit the probability of right predictions to held-out samples.

    `locate` predicts landmarks of images with given transforms of the first crop, whose side in
    pixels is `size`. The result is None if no error is known relative to the size of the shape,
    because no sample has two known landmarks, or no doubt, see :func:`fit_certainty`.
    """
    rows = np.arange(0, len(truth), max(1, math.ceil(len(truth) / _N_DISTURBED)))
    rng = np.random.RandomState(_SEED)
    answers = [(found, truth.points)] + [
        (locate(truth.data[rows], changes=changes), truth.points[rows])
        for changes in disturbances(len(rows), size, rng)
    ]
    doubts, errors = [], []
    for one, points in answers:
        errors.append(relative_errors(one.points[-1], points, one.sides))
        doubts.append(np.where(np.isnan(errors[-1]), np.nan, one.doubt))
    weights = np.repeat((1.0, *_WEIGHTS), [len(own) for own in doubts])
    right = np.concatenate(errors) < _RIGHT
    return fit_certainty(np.concatenate(doubts), right, averaged, weights)
