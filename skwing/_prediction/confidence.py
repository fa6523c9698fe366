"""Uncertainty of predictions, from their stability under small changes of the crop.

If the image determines a landmark, its predicted position does not depend on the crop. If the
network guesses, the prediction moves with the crop. Held-out samples calibrate the relation
between this spread and the error.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

from skwing import geometry
from skwing._prediction.stages import read_crops
from skwing._utils.landmarks import numbered
from skwing._utils.warnings import warn_caller

_SHIFT = 0.04  # relative to the side of the crop
_TURN = math.radians(8)
_FEW = 10  # samples
_N_ROUNDS = 10  # iterations of reweighting, which converges after a few
_LEAST = 1e-12  # minimum variance, so that its inverse is finite


def changed_crops(size, reach=None):
    """Small transforms of a crop: shifts along both axes and rotations, in both directions.

    Shifts are relative to `reach`, by default the side of the crop; both are in pixels. The
    matrices, of shape (n_changes, 2, 3), map the original frame to the transformed one.
    """
    angle = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, -1.0]) * _TURN
    shift = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1], [0, 0], [0, 0]]) * _SHIFT
    shift = shift * (size if reach is None else reach)
    return geometry.from_parts(angle, torch.ones(6), shift, (size - 1) / 2)


def _left_behind(crops, before, change, size):
    """Positions of patches that a shift of the crop, but not its rotation, leaves behind."""
    middle = torch.full((1, 2), (size - 1) / 2, device=change.device)
    shift = geometry.apply(change, middle) - middle
    return geometry.apply(geometry.invert(crops), geometry.apply(crops, before) - shift)


@torch.no_grad()
def crop_spread(stage, chips, indices, matrices, before=None):
    """Spread of the predictions of each landmark under small changes of the crop.

    It is the root mean square distance from the mean of all predictions, of shape (b, L), in chip
    pixels. Of a stage that reads patches, `before` are the landmarks of the previous stage, in
    chip pixels; shifts then move the landmarks in their patches.
    """
    size = stage.crop.size
    changes = changed_crops(size, stage.patch_size).to(matrices.device)
    looks = [read_crops(stage, chips, indices, matrices, before=before)]
    for change in changes:
        change = change.expand_as(matrices)
        crops = geometry.compose(change, matrices)
        places = before if before is None else _left_behind(crops, before, change, size)
        looks.append(read_crops(stage, chips, indices, crops, change, places))
    return torch.stack(looks).var(0, unbiased=False).sum(-1).sqrt()


@dataclass(frozen=True)
class Calibration:
    """Model of the variance of an error along each axis, given the spread.

    Attributes
    ----------
    own : ndarray of shape (L,)
        Constant variance of each landmark, in squared units of the sample.
    near, whole : float
        Factors of the squared spread of the landmark, and of its mean over all landmarks.
    """

    own: np.ndarray
    near: float
    whole: float

    def std(self, spread, size):
        """Standard deviation of each error along each axis, of shape (n, L), in image pixels.

        It is that for a spread of this shape, and the unit of each sample, see
        :func:`error_units`.
        """
        squares = np.square(spread)
        variance = np.square(size)[:, None] * self.own
        variance = variance + self.near * squares + self.whole * squares.mean(1, keepdims=True)
        return np.sqrt(variance)


def shape_sizes(points):
    """Root mean square distance of the landmarks from their mean, an array of shape (n,)."""
    return np.sqrt(points.var(axis=1).sum(-1))


def error_units(points, sides):
    """Unit of length for the errors of each sample: the size of the shape, of shape (n,).

    If there is only one landmark, it is the side of the square around each box.
    """
    if points.shape[1] > 1:
        return shape_sizes(points)
    return np.where(np.isnan(points).any((1, 2)), np.nan, sides)


def calibrate(errors, spread, size):
    """Fit the model of the error variance to held-out samples.

    It is fitted by iteratively reweighted non-negative least squares of squared errors on squared
    spreads. Weights are the inverse variances of the previous iteration. Errors are distances of
    shape (n, L), NaN = unknown.

    Raises
    ------
    ValueError
        If a landmark is missing in all samples.
    """
    known = ~np.isnan(errors + spread.sum(1, keepdims=True))
    never = np.flatnonzero(~known.any(0))
    if len(never):
        raise ValueError(f"{numbered(never)} are missing in all calibration samples")
    if (n_known := int(known.any(1).sum())) < _FEW:
        warn_caller(
            f"{n_known} held-out sample{'s' if n_known > 1 else ''} for calibrate: standard "
            f"deviations and confidences are uncertain with fewer than {_FEW}"
        )
    # Normalised by the size of the shape, so that large faces do not dominate.
    unit = np.maximum(size, math.sqrt(_LEAST))[:, None]
    seen = np.square(spread / unit)
    whole = np.broadcast_to(seen.mean(1, keepdims=True), seen.shape)
    target = np.square(errors / unit) / 2  # along one axis
    table = np.stack([np.ones_like(seen), seen, whole, target], -1)
    table[~known] = 0
    weight = np.ones(errors.shape)
    for _ in range(_N_ROUNDS):
        terms = _least_squares(table * weight[..., None])
        variance = terms[:-2] + table[..., 1:3] @ terms[-2:]
        weight = 1 / np.maximum(variance, _LEAST)
        weight /= weight[known].max()
    return Calibration(terms[:-2], float(terms[-2]), float(terms[-1]))


def _least_squares(table):
    """Non-negative terms of the variance: the constants of the landmarks, and two factors.

    The rows of the table, of shape (n, L, 4), are equations: the factor of the constant of the
    landmark, both others, and the result.
    """
    # The equations of a landmark have four columns, so that four equations are equivalent.
    few = np.linalg.qr(table.swapaxes(0, 1), mode="r")
    n_landmarks, landmarks = len(few), np.arange(len(few))
    design = np.zeros((n_landmarks, few.shape[1], n_landmarks + 2))
    design[landmarks, :, landmarks] = few[..., 0]
    design[..., -2:] = few[..., 1:3]
    return nnls(design.reshape(-1, n_landmarks + 2), few[..., 3].ravel())[0]
