"""Decoded samples as the checks for contradictions see them, and measures of them."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from skwing import geometry
from skwing.schema import LandmarkSchema

_MOST = 2000  # samples that a statistic is taken of


@dataclass(frozen=True)
class Evidence:
    """What is known of samples once they are decoded.

    Attributes
    ----------
    points : array of shape (n, L, 2)
        Landmarks as they were passed, NaN = missing.
    boxes : array of shape (n, 4) or None
        ``(x, y, width, height)``; None where each image is a whole.
    sizes : array of shape (n, 2)
        Width and height of each image in pixels.
    describe : callable
        Words for the sample of a number.
    schema : LandmarkSchema or None
    by_image : callable
        Gives the positions of the samples of each image.
    """

    points: np.ndarray
    boxes: np.ndarray | None
    sizes: np.ndarray
    describe: Callable
    schema: LandmarkSchema | None
    by_image: Callable

    @property
    def known(self):
        """Landmarks that are known, bool of shape (n, L)."""
        return ~np.isnan(self.points).any(-1)


# ---------------------------------------------------------------------------------------
# Measures
# ---------------------------------------------------------------------------------------
def some_rows(evidence):
    """Samples for a statistic, spread evenly."""
    n = len(evidence.points)
    return np.arange(n) if n <= _MOST else np.linspace(0, n - 1, _MOST).astype(int)


def extents(points):
    """Longer side of each shape, without the pixel that a box counts more."""
    return geometry.boxes_of(points)[:, 2:].max(1) - 1


def boxes_used(evidence):
    """Boxes that were used: those given, or the whole images."""
    if evidence.boxes is not None:
        return evidence.boxes
    return np.concatenate([np.zeros_like(evidence.sizes), evidence.sizes], axis=1)


def in_images(evidence, points):
    """Landmarks that lie in their images, or a little beside."""
    room = 2 + 0.02 * evidence.sizes[:, None]
    return ((points >= -room) & (points <= evidence.sizes[:, None] + room)).all(-1)


def share_in_images(evidence, points):
    """Fraction of the known landmarks that lie in their images."""
    return in_images(evidence, points)[evidence.known].mean()
