"""Input of the checks for contradictions, and statistics of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from skwing import geometry
from skwing.schema import LandmarkSchema

_MOST = 2000  # maximum number of samples for a statistic


@dataclass(frozen=True)
class Evidence:
    """Properties of samples after decoding.

    Attributes
    ----------
    points : array of shape (n, L, 2)
        Landmarks as passed by the user, NaN = missing.
    boxes : array of shape (n, 4) or None
        ``(x, y, width, height)``; None if whole images are used.
    sizes : array of shape (n, 2)
        Width and height of each image in pixels.
    describe : callable
        Returns the description of a sample, given its index.
    schema : LandmarkSchema or None
    by_image : callable
        Returns the indices of the samples of each image.
    """

    points: np.ndarray
    boxes: np.ndarray | None
    sizes: np.ndarray
    describe: Callable
    schema: LandmarkSchema | None
    by_image: Callable

    @property
    def known(self):
        """Mask of known landmarks, bool of shape (n, L)."""
        return ~np.isnan(self.points).any(-1)


def some_rows(evidence):
    """Evenly spaced subset of samples for a statistic."""
    n = len(evidence.points)
    return np.arange(n) if n <= _MOST else np.linspace(0, n - 1, _MOST).astype(int)


def some_of(evidence):
    """Evidence of these samples only, whose indices differ from those for `describe`."""
    rows = some_rows(evidence)
    if len(rows) == len(evidence.points):
        return evidence
    boxes = None if evidence.boxes is None else evidence.boxes[rows]
    return replace(evidence, points=evidence.points[rows], boxes=boxes, sizes=evidence.sizes[rows])


def extents(points):
    """Longer side of each shape: the difference of coordinates, without the pixel of boxes."""
    return geometry.boxes_of(points)[:, 2:].max(1) - 1


def boxes_used(evidence):
    """The given boxes, or those of the whole images."""
    if evidence.boxes is not None:
        return evidence.boxes
    return np.concatenate([np.zeros_like(evidence.sizes), evidence.sizes], axis=1)


def in_images(evidence, points):
    """Mask of landmarks inside their images, with some tolerance."""
    room = 2 + 0.02 * evidence.sizes[:, None]
    return ((points >= -room) & (points <= evidence.sizes[:, None] + room)).all(-1)


def share_in_images(evidence, points):
    """Fraction of the known landmarks inside their images."""
    return in_images(evidence, points)[evidence.known].mean()
