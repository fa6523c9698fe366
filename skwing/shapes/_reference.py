"""Reference shape: later stages of a cascade align the crops of objects with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.landmarks import numbered
from skwing.schema._schema import can_mirror
from skwing.shapes._procrustes import mean_shape, symmetric

if TYPE_CHECKING:
    from skwing._utils.types import Floats
    from skwing.schema import LandmarkSchema

_FLAT = 0.1  # ratio of width to length above which a shape is not a line


def reference_shape(points: Floats, n_stages: int, schema: LandmarkSchema | None) -> Floats:
    """Mean shape for the alignment of later stages; undefined for a single landmark.

    If the schema defines mirror pairs, the shape is made symmetric, unless it would collapse
    to a line.
    """
    if points.shape[1] == 1:
        if n_stages == 1:
            return np.zeros((1, 2))
        raise ValueError(
            f"y has 1 landmark, but a cascade of {n_stages} networks aligns samples with the "
            "mean shape, which requires two: pass a single network"
        )
    shape = mean_shape(points)
    lonely = np.flatnonzero(np.isnan(shape).any(-1)).tolist()
    if lonely and n_stages > 1:
        raise ValueError(
            f"{numbered(lonely)} are known only in samples without a second landmark: their "
            "position in the mean shape cannot be determined"
        )
    if not can_mirror(schema):
        return shape
    even = symmetric(shape, schema.mirror)
    return shape if _collapses(shape, even) else even


def _collapses(shape: Floats, even: Floats) -> bool:
    """Whether a shape collapses to a line when it is made symmetric.

    This happens for objects seen from the side, whose landmarks are not symmetric to any
    axis.
    """
    across, along = _principal_extents(shape)
    return across > _FLAT * along and _principal_extents(even)[0] < across / 3


def _principal_extents(shape: Floats) -> Floats:
    """Standard deviations of the points of a shape across and along its longer axis."""
    return np.sqrt(np.linalg.eigvalsh(np.cov(shape[~np.isnan(shape).any(-1)].T, ddof=0)).clip(0))


def is_symmetric(shape: Floats, schema: LandmarkSchema | None) -> bool:
    """Whether a mean shape is its own mirror image, so that mirrored crops are equivalent."""
    if not can_mirror(schema):
        return False
    image = shape[list(schema.mirror)] * [-1, 1]
    return np.allclose(image, shape, atol=1e-6, equal_nan=True)
