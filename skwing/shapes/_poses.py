"""Functions for pose-based balancing: poses of shapes, bins and repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing.geometry import apply, similarity
from skwing.shapes import (
    align,
    coefficients,
    complete_shapes,
    is_shape,
    mean_shape,
    normalize,
    shape_pca,
)

if TYPE_CHECKING:
    from skwing._utils.types import Floats, Ints
    from skwing.schema import LandmarkSchema
    from skwing.shapes._pca import ShapeModes


def pose_modes(shapes: Floats) -> tuple[ShapeModes, Floats]:
    """Compute the principal components of shapes and the coefficients of each shape.

    Missing points are inferred first. Each shape is aligned once to the arithmetic mean of
    the shapes by a similarity transform, with reflection allowed, and the principal
    components of the aligned shapes are computed (Feng et al. 2018, section 5, and their
    published code). Shapes with missing points are not reflected, because the quality of the
    fit is unreliable for partial shapes.

    Parameters
    ----------
    shapes : ndarray of shape (n_samples, n_landmarks, 2)
        In image pixels; NaN = missing.

    Returns
    -------
    modes : skwing.shapes.ShapeModes
        For shapes scaled such that the arithmetic mean has a root mean square radius of 1.
    coefficients : ndarray of shape (n_samples, n_components)
        NaN for a shape with fewer than two distinct points.

    Raises
    ------
    ValueError
        If all shapes have fewer than two distinct points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes._poses import pose_modes
    >>> lean = np.array([0.0, 1, 2, 3])
    >>> shapes = np.array([[[0, 0], [8, 0], [4 + a, 8]] for a in lean])
    >>> modes, b = pose_modes(shapes)
    >>> b[:, 0].round(2)
    array([ 0.16,  0.05, -0.05, -0.15])
    """
    usable = is_shape(shapes)
    if not usable.any():
        raise ValueError(
            f"none of the {len(shapes)} samples of y has two distinct landmarks: there is no "
            f"pose to balance."
        )
    known = ~np.isnan(shapes[usable]).any(-1)
    complete = known[:, known.any(0)].all(1)
    filled = complete_shapes(shapes[usable])
    reference = filled.mean(0)
    if not is_shape(reference[None])[0]:  # the mean can vanish if orientations cancel out
        reference = mean_shape(filled)
    aligned = align(filled, normalize(reference), allow_reflection=complete)
    modes = shape_pca(aligned)
    values = np.full((len(shapes), len(modes.components)), np.nan)
    values[usable] = coefficients(aligned, modes)
    return modes, values


def project_poses(shapes: Floats, modes: ShapeModes) -> Floats:
    """Coefficients of given components in new shapes.

    Shapes are aligned as in :func:`pose_modes`, but to the mean of `modes`. Missing points are
    inferred from the given shapes and this mean.

    Parameters
    ----------
    shapes : ndarray of shape (n_samples, n_landmarks, 2)
        In image pixels; NaN = missing.
    modes : skwing.shapes.ShapeModes
        Only `mean` and `components` are used.

    Returns
    -------
    coefficients : ndarray of shape (n_samples, n_components)
        NaN for a shape without two distinct points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes._poses import pose_modes, project_poses
    >>> lean = np.array([0.0, 1, 2, 3])
    >>> shapes = np.array([[[0, 0], [8, 0], [4 + a, 8]] for a in lean])
    >>> modes, _ = pose_modes(shapes)
    >>> project_poses(3 * shapes[:1] + 50, modes)[:, 0].round(2)
    array([0.16])
    """
    seen = ~np.isnan(modes.mean).any(-1)
    shapes = np.where(seen[:, None], shapes, np.nan)  # others are in no component
    values = np.full((len(shapes), len(modes.components)), np.nan)
    usable = is_shape(shapes)
    if not usable.any():
        return values
    complete = ~np.isnan(shapes[usable][:, seen]).any((1, 2))
    filled = shapes[usable]
    if not complete.all():
        filled = complete_shapes(np.concatenate([filled, modes.mean[None]]))[:-1]
    aligned = align(filled, normalize(modes.mean), allow_reflection=complete)
    values[usable] = coefficients(aligned, modes)
    return values


def mirror_parity(modes: ShapeModes, schema: LandmarkSchema) -> Floats:
    """Whether each component is even (1) or odd (-1) under mirroring of the shapes.

    Parameters
    ----------
    modes : skwing.shapes.ShapeModes
    schema : skwing.schema.LandmarkSchema
        With a mirror permutation.

    Returns
    -------
    parity : ndarray of shape (n_components,)
        Cosine of the angle between each component and its mirror image.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes._poses import mirror_parity, pose_modes
    >>> from skwing.schema import LandmarkSchema
    >>> schema = LandmarkSchema("tent", ("left_peg", "right_peg", "top"), (1, 0, 2))
    >>> shapes = np.array([[[0.0, 0], [8, 0], [4 + a, 8]] for a in (-2, -1, 0, 1, 2)])
    >>> mirror_parity(pose_modes(shapes)[0], schema)[0].round(3)
    np.float64(-1.0)
    """
    components = modes.components
    flip = np.array([-1.0, 1.0])
    # Mirror about the symmetry axis of the shape, which need not be vertical.
    turn = similarity(schema.mirror_points(modes.mean) * flip, modes.mean)
    turn[:, 2] = 0.0
    turn /= np.linalg.norm(turn[0])
    mirrored = apply(turn, schema.mirror_points(components) * flip)
    return (mirrored * components).sum((-2, -1))


def choose_component(component: int | str, modes: ShapeModes, schema: LandmarkSchema | None) -> int:
    """Index of the component that describes the pose.

    Parameters
    ----------
    component : int or "auto"
        "auto" selects the component with the largest odd variance under mirroring, or component
        0 if the schema has no mirror pairs. Components of few shapes are neither odd nor even.
    modes : skwing.shapes.ShapeModes
    schema : skwing.schema.LandmarkSchema or None

    Returns
    -------
    component : int

    Raises
    ------
    ValueError
        If `component` is out of range.
    """
    if component != "auto":
        if component >= len(modes.components):
            raise ValueError(
                f"component={component}, but there are {len(modes.components)} components, "
                f"counted from 0."
            )
        return int(component)
    if schema is None or schema.mirror is None:
        return 0
    return int(np.argmax(modes.variance_ratios * (1 - mirror_parity(modes, schema))))


def bin_poses(values: Floats, n_bins: int, from_zero: bool) -> tuple[Floats, Ints, int]:
    """Compute bins of equal width and their counts.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Finite values.
    n_bins : int
    from_zero : bool
        Whether the bins start at 0 or at the minimum; they end at the maximum.

    Returns
    -------
    edges : ndarray of shape (n_bins + 1,)
    counts : ndarray of int of shape (n_bins,)
        Bins include both edges: a value on an inner edge is counted in both bins, as in the
        authors' code.
    target : int
        Count of the largest bin. As in the authors' code, it is computed from a histogram
        between minimum and maximum, whose bins are narrower than those from 0 and include
        only their upper edge.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes._poses import bin_poses
    >>> edges, counts, target = bin_poses(np.array([0.0, 0.1, 0.2, 0.7, 2.0]), 2, True)
    >>> edges, counts, target
    (array([0., 1., 2.]), array([4, 1]), 4)
    """
    low, high = values.min(), values.max()
    steps = np.arange(n_bins + 1)
    start = 0.0 if from_zero else low
    edges = start + steps * (high - start) / n_bins
    edges[-1] = high  # rounding may give a smaller value
    first, last = _bins_of(values, edges)
    starts = np.bincount(first, minlength=n_bins)
    ends = np.bincount(last + 1, minlength=n_bins + 1)[:n_bins]
    counts = np.cumsum(starts - ends)
    inner = (low + steps * (high - low) / n_bins)[1:-1]
    target = np.bincount(np.searchsorted(inner, values, side="left")).max()
    return edges, counts, int(target)


def _bins_of(values: Floats, edges: Floats) -> tuple[Ints, Ints]:
    """First and last bin of each value; they differ for values on an inner edge."""
    most = len(edges) - 2
    first = np.searchsorted(edges, values, side="left") - 1
    last = np.searchsorted(edges, values, side="right") - 1
    return first.clip(0, most), last.clip(0, most)


def count_repeats(
    values: Floats, edges: Floats, counts: Ints, target: int, max_repeats: int | None = None
) -> Ints:
    """Compute the number of repeats of each sample.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Pose of each sample; NaN = unknown.
    edges, counts, target
        As from :func:`bin_poses`.
    max_repeats : int, default=None
        Maximum number of repeats; None sets no limit.

    Returns
    -------
    repeats : ndarray of int of shape (n_samples,)
        ``round(target / count)`` for the sample's bin, with half rounded up, and the sum of
        both numbers for a sample on the edge of two bins. At least 1, also if the pose is
        unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes._poses import count_repeats
    >>> count_repeats(np.array([0.1, 0.6, 2.0]), np.array([0.0, 1, 2]), np.array([4, 1]), 4)
    array([1, 1, 4])
    """
    # Avoid division by zero for empty bins, whose ratio is not used.
    ratios = np.floor(target / np.maximum(counts, 1) + 0.5).astype(np.int64)
    known = ~np.isnan(values)
    first, last = _bins_of(values[known], edges)
    total = np.concatenate([[0], np.cumsum(ratios)])
    repeats = np.ones(len(values), dtype=np.int64)
    repeats[known] = np.maximum(total[last + 1] - total[first], 1)
    return repeats if max_repeats is None else np.minimum(repeats, max_repeats)
