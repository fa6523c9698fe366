"""Crops between stages, in few operations: runtimes execute the operations of a graph one by one.

The results are those of :mod:`skwing._prediction.stages`. As there, no products of matrices are
taken of coordinates, because some engines compute them in bfloat16.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from skwing import geometry
from skwing._crops.warp import read_square
from skwing._prediction.stages import FARTHEST
from skwing.networks import locate

if TYPE_CHECKING:
    from typing import Any

_LEAST_APART = 0.01  # distance of landmarks from their mean by rounding, in chip pixels


def read_images(stage: Any, images: torch.Tensor) -> torch.Tensor:
    """Landmarks of a stage in crops, averaged with those of mirrored crops if it does so."""
    offset = stage.asymmetry
    if stage.permutation is None:
        points = locate(stage.network, images).float()
    else:  # one pass, which reads the weights once
        both = locate(stage.network, torch.cat([images, images.flip(-1)])).float()
        points, seen = (0.5 * both).unflatten(0, (2, images.shape[0])).unbind()
        points = points + seen.index_select(1, stage.permutation) * torch.tensor([-1.0, 1.0])
        middle = torch.tensor([(stage.crop.size - 1) / 2, 0.0])
        offset = middle if offset is None else offset + middle
    return points if offset is None else points + offset


def _constant(array: Any) -> torch.Tensor:
    return torch.tensor(array, dtype=torch.float32)


class FixedPlacement:
    """Crop of the box: a scale and a shift, equal for all chips."""

    def __init__(self, matrix: Any) -> None:
        inverse = geometry.invert(np.asarray(matrix, np.float64))
        self.scale, self.shift = _constant(inverse[[0, 1], [0, 1]]), _constant(inverse[:, 2])

    def to_chip(self, points: torch.Tensor) -> torch.Tensor:
        """Points of shape (n, L, 2) in chip pixels, given those in the crop."""
        return points * self.scale + self.shift


class ShapePlacement:
    """Crops in which the landmarks of the previous stage are aligned with the mean shape.

    As :meth:`skwing._crops.crop.Crop.matrices` places them.

    Parameters
    ----------
    crop : Crop
    points : tensor of shape (n, L, 2)
        In chip pixels. Landmarks of a sample of which some are NaN are not found.

    Attributes
    ----------
    is_found : bool tensor of shape (n, 1, 1)
    """

    def __init__(self, crop: Any, points: torch.Tensor) -> None:
        self.size = crop.size
        shape = np.asarray(crop.shape, np.float64)
        n_landmarks, middle = len(shape), shape.mean(0)
        x, y = (shape - middle).T
        # As complex numbers, the shape and the landmarks are w and z. Sums of w * conj(z):
        turned = np.stack([np.stack([x, y], -1), np.stack([y, -x], -1)]).reshape(2, -1)
        points = points.where(points.abs() < FARTHEST, torch.nan)
        center = points.mean(1, keepdim=True)
        apart = (points - center).flatten(1)
        spread = (apart * apart).sum(-1, keepdim=True)
        product = (apart[:, None] * _constant(turned)).sum(-1)
        inverse = product * (spread / (product * product).sum(-1, keepdim=True))
        placed = torch.cat([inverse, center[:, 0]], 1)
        placed = placed.where(spread > n_landmarks * _LEAST_APART**2, self._fixed(crop, middle))
        self.is_found = (spread == spread)[:, :, None]  # NaN is not
        # Rows of a matrix and a shift, from positions relative to the middle of the shape.
        rows = placed.index_select(1, torch.tensor([0, 1, 1, 0])) * torch.tensor([1.0, -1, 1, 1])
        self.rows, self.shift = rows.unflatten(1, (2, 2)), placed[:, None, 2:]
        self.middle = middle

    @staticmethod
    def _fixed(crop: Any, middle: Any) -> torch.Tensor:
        """Numbers of the crop for samples whose landmarks define none."""
        inverse = geometry.invert(np.asarray(crop.matrix, np.float64))
        center = geometry.apply(inverse, middle[None])[0]
        return _constant([inverse[0, 0], inverse[0, 1], *center])

    def to_chip(self, points: torch.Tensor) -> torch.Tensor:
        """Points of shape (n, L, 2) in chip pixels, given those in the crop."""
        apart = points - _constant(self.middle)
        return (apart[:, :, :, None] * self.rows[:, None]).sum(2) + self.shift

    def matrices(self) -> torch.Tensor:
        """Matrices of shape (n, 2, 3) from chip pixels to those of the crop."""
        origin = self.to_chip(torch.zeros(1, 1, 2))
        return geometry.invert(torch.cat([self.rows.mT, origin.mT], -1))

    def sample(self, images: torch.Tensor, chip_size: int) -> torch.Tensor:
        """Crops of shape (n, 3, size, size) in [0, 1].

        Parameters
        ----------
        images : float32 tensor of shape (n, 3, side, side)
            Chips in [0, 255], possibly reduced.
        chip_size : int
            Side of chips that are not reduced.
        """
        unit = 2 / chip_size  # half a chip is 1
        offsets = np.stack([np.arange(self.size) - middle for middle in self.middle]) * unit
        x, y = _constant(offsets)
        rows = self.rows[..., None]
        shift = self.shift[:, 0, :, None] * unit + (1 / chip_size - 1)
        x, y = rows[:, 0] * x + shift, rows[:, 1] * y
        places = (x[:, :, None] + y[..., None]).permute(0, 2, 3, 1)
        return read_square(images, places) * (1 / 255)
