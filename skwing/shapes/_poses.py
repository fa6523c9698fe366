"""Poses from shapes, and how often to repeat a sample of each: balancing as functions."""

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

__all__ = ["bin_poses", "choose_component", "count_repeats", "mirror_parity", "pose_modes"]

# A mode counts as odd when the cosine between it and its mirror image is below this; a
# mode that left-right symmetry governs has 1 or -1.
_ODD = -0.5


def pose_modes(shapes: Floats) -> tuple[ShapeModes, Floats]:
    """Modes of shapes, and the coefficients of every shape, as balancing needs them.

    Every shape is aligned once to the plain mean of the shapes, a similarity with
    reflection allowed, and the principal components of the result are taken (Feng et al.
    2018, section 5, and their published code). Missing points are inferred first; a shape
    that lacks points is not reflected, as for half a shape that would be no measure of fit.

    Parameters
    ----------
    shapes : ndarray of shape (n_samples, n_landmarks, 2)
        In image pixels; NaN = missing.

    Returns
    -------
    modes : skwing.shapes.ShapeModes
        Of shapes scaled so that the plain mean has a root mean square radius of 1.
    coefficients : ndarray of shape (n_samples, n_components)
        NaN for a shape without two distinct points.

    Raises
    ------
    ValueError
        If no shape has two distinct points.

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
    if not is_shape(reference[None])[0]:  # shapes that stand every way may cancel out
        reference = mean_shape(filled)
    aligned = align(filled, normalize(reference), allow_reflection=complete)
    modes = shape_pca(aligned)
    values = np.full((len(shapes), len(modes.components)), np.nan)
    values[usable] = coefficients(aligned, modes)
    return modes, values


def mirror_parity(modes: ShapeModes, schema: LandmarkSchema) -> Floats:
    """Whether each mode stays (1) or turns round (-1) when the shapes are mirrored.

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
    # About the shape's own axis, which need not be upright.
    turn = similarity(schema.mirror_points(modes.mean) * flip, modes.mean)
    turn[:, 2] = 0.0
    turn /= np.linalg.norm(turn[0])
    mirrored = apply(turn, schema.mirror_points(components) * flip)
    return (mirrored * components).sum((-2, -1))


def choose_component(component: int | str, modes: ShapeModes, schema: LandmarkSchema | None) -> int:
    """Number of the component that is the pose.

    Parameters
    ----------
    component : int or "auto"
        "auto" takes the leading mode that turns round when the shapes are mirrored; the
        first where no mode does or nothing is known about mirroring.
    modes : skwing.shapes.ShapeModes
    schema : skwing.schema.LandmarkSchema or None

    Returns
    -------
    component : int

    Raises
    ------
    ValueError
        If there is no component of that number.
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
    odd = np.flatnonzero(mirror_parity(modes, schema) < _ODD)
    return int(odd[0]) if len(odd) else 0


def bin_poses(values: Floats, n_bins: int, from_zero: bool) -> tuple[Floats, Ints, int]:
    """Bins of equal width and how full they are.

    Parameters
    ----------
    values : ndarray of shape (n_values,)
        Finite.
    n_bins : int
    from_zero : bool
        Whether the bins start at 0 or at the least value; they end at the greatest.

    Returns
    -------
    edges : ndarray of shape (n_bins + 1,)
    counts : ndarray of int of shape (n_bins,)
        Both edges belong to a bin: a value between two bins is counted in both, as in the
        authors' code.
    target : int
        Count of the fullest bin. The authors take it from a histogram between the least and
        the greatest value, whose bins are a little narrower than those from 0; its bins own
        their upper edge only.

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
    edges[-1] = high  # the quotient may round to a little less
    first, last = _bins_of(values, edges)
    starts = np.bincount(first, minlength=n_bins)
    ends = np.bincount(last + 1, minlength=n_bins + 1)[:n_bins]
    counts = np.cumsum(starts - ends)
    inner = (low + steps * (high - low) / n_bins)[1:-1]
    target = np.bincount(np.searchsorted(inner, values, side="left")).max()
    return edges, counts, int(target)


def _bins_of(values: Floats, edges: Floats) -> tuple[Ints, Ints]:
    """First and last bin of each value, which are two where it lies on an inner edge."""
    most = len(edges) - 2
    first = np.searchsorted(edges, values, side="left") - 1
    last = np.searchsorted(edges, values, side="right") - 1
    return first.clip(0, most), last.clip(0, most)


def count_repeats(
    values: Floats, edges: Floats, counts: Ints, target: int, max_repeats: int | None = None
) -> Ints:
    """How often each sample is taken.

    Parameters
    ----------
    values : ndarray of shape (n_samples,)
        Pose of each sample; NaN = unknown.
    edges, counts, target
        As from :func:`bin_poses`.
    max_repeats : int, default=None
        The most that a sample is taken; None sets no limit.

    Returns
    -------
    repeats : ndarray of int of shape (n_samples,)
        ``round(target / count)`` of the sample's bin, half rounded up; the sum of two such
        numbers on the edge of two bins. At least 1: no sample is lost, and one of unknown
        pose is taken once.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes._poses import count_repeats
    >>> count_repeats(np.array([0.1, 0.6, 2.0]), np.array([0.0, 1, 2]), np.array([4, 1]), 4)
    array([1, 1, 4])
    """
    # An empty bin has no sample to repeat; its count of 0 only must not divide.
    ratios = np.floor(target / np.maximum(counts, 1) + 0.5).astype(np.int64)
    known = ~np.isnan(values)
    first, last = _bins_of(values[known], edges)
    total = np.concatenate([[0], np.cumsum(ratios)])
    repeats = np.ones(len(values), dtype=np.int64)
    repeats[known] = np.maximum(total[last + 1] - total[first], 1)
    return repeats if max_repeats is None else np.minimum(repeats, max_repeats)
