"""How far off a landmark may be: told by how its place changes with the crop.

A network that is sure of a landmark finds it at the same place of the image however the
crop lies; where it guesses, the guess moves with the crop. Held-out samples then say how
far errors go for a given movement.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

from skwing import geometry
from skwing._reading.stages import read_crops
from skwing._utils.landmarks import numbered

_SHIFT = 0.04  # of the crop's side
_TURN = math.radians(8)
_N_ROUNDS = 10  # of reweighting; the variances rest after a few
_LEAST = 1e-12  # of a variance, so that its inverse is finite


def changed_crops(size):
    """Small changes of a crop: moved along each axis and turned, both ways.

    Returns
    -------
    matrices : float32 tensor of shape (n_changes, 2, 3)
        From the plain frame to the changed one.
    """
    angle = torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0, -1.0]) * _TURN
    shift = torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1], [0, 0], [0, 0]]) * _SHIFT * size
    return geometry.from_parts(angle, torch.ones(6), shift, (size - 1) / 2)


@torch.no_grad()
def crop_spread(stage, chips, indices, matrices):
    """How much each landmark moves when the crop does.

    Parameters
    ----------
    stage : Stage
    chips : Chips
    indices : int tensor of shape (b,)
    matrices : float32 tensor of shape (b, 2, 3)
        Of the plain crops, from chip pixels to input pixels.

    Returns
    -------
    spread : tensor of shape (b, L)
        Root mean square distance from the mean of all looks, in chip pixels.
    """
    changes = changed_crops(stage.crop.size).to(matrices.device)
    looks = [read_crops(stage, chips, indices, matrices)]
    for change in changes:
        change = change.expand_as(matrices)
        crops = geometry.compose(change, matrices)
        looks.append(read_crops(stage, chips, indices, crops, change))
    return torch.stack(looks).var(0, unbiased=False).sum(-1).sqrt()


@dataclass(frozen=True)
class Calibration:
    """Variance of an error along each axis, from the spread of its landmark.

    Attributes
    ----------
    own : ndarray of shape (L,)
        Variance of each landmark however small its spread, in squared units of its sample.
    near, whole : float
        How the squared spread of the landmark, and the mean over all landmarks, count.
    """

    own: np.ndarray
    near: float
    whole: float

    def std(self, spread, size):
        """Standard deviation of each error along each axis.

        Parameters
        ----------
        spread : array of shape (n, L)
            In image pixels.
        size : array of shape (n,)
            Unit of each sample, see :func:`error_units`, in image pixels.

        Returns
        -------
        std : float64 array of shape (n, L)
            In image pixels.
        """
        squares = np.square(spread)
        variance = np.square(size)[:, None] * self.own
        variance = variance + self.near * squares + self.whole * squares.mean(1, keepdims=True)
        return np.sqrt(variance)


def shape_sizes(points):
    """Root mean square distance of the landmarks from their mean, an array of shape (n,)."""
    return np.sqrt(points.var(axis=1).sum(-1))


def error_units(points, sides):
    """Length that errors of each sample are measured by, an array of shape (n,).

    Parameters
    ----------
    points : array of shape (n, L, 2)
        As predicted, in image pixels.
    sides : array of shape (n,)
        Of the square around each box, in image pixels.

    Returns
    -------
    units : array of shape (n,)
        Size of the shape; of a single landmark, which has none, the side of the box.
    """
    if points.shape[1] > 1:
        return shape_sizes(points)
    return np.where(np.isnan(points).any((1, 2)), np.nan, sides)


def calibrate(errors, spread, size):
    """Learn how errors go with spread.

    Parameters
    ----------
    errors : array of shape (n, L)
        Distances in image pixels, NaN = unknown.
    spread : array of shape (n, L)
    size : array of shape (n,)

    Returns
    -------
    calibration : Calibration
        Least squares of squared errors on squared spreads without negative terms, weighted
        again and again by the variances found, which are what a large error is judged by.

    Raises
    ------
    ValueError
        If a landmark is known in no sample.
    """
    known = ~np.isnan(errors)
    never = np.flatnonzero(~known.any(0))
    if len(never):
        raise ValueError(f"{numbered(never)} are known in none of the samples to calibrate on")
    n_landmarks = errors.shape[1]
    # In units of the shape's size, so that large faces do not outweigh small ones.
    unit = np.maximum(size, math.sqrt(_LEAST))[:, None]
    seen = np.square(spread / unit)
    target = np.square(errors / unit) / 2  # along one axis
    rows, columns = known.nonzero()
    design = np.zeros((len(rows), n_landmarks + 2))
    design[np.arange(len(rows)), columns] = 1
    design[:, -2] = seen[rows, columns]
    design[:, -1] = seen.mean(1)[rows]
    wanted, weight = target[rows, columns], np.ones(len(rows))
    for _ in range(_N_ROUNDS):
        terms, _ = nnls(design * weight[:, None], wanted * weight)
        weight = 1 / np.maximum(design @ terms, _LEAST)
        weight /= weight.max()
    return Calibration(terms[:-2], float(terms[-2]), float(terms[-1]))
