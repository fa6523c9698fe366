"""Alignment, mean shape and principal components of shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.landmarks import check_whole
from skwing.geometry import apply, scale_of, similarity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

    from skwing._utils.types import Flags, Floats

_FLIP = np.array([-1.0, 1.0])
# Minimum radius of the mean of shapes of radius 1 if their orientations are similar.
_UPRIGHT = 0.3
_PORTION = 10_000  # number of shapes that are aligned at once
_LEAST_EXTENT = 1e-140  # the squares of this number and of its inverse do not under- or overflow


_EXPECTED = {
    None: "(..., n_landmarks, 2)",
    2: "(n_landmarks, 2)",
    3: "(n_shapes, n_landmarks, 2)",
}


def as_shapes(shapes: ArrayLike, name: str = "shapes", n_axes: int | None = 3) -> Floats:
    """Shapes as numbers; other layouts are errors. None permits any number of axes."""
    array = np.asarray(shapes, dtype=np.float64)
    if array.ndim != (max(array.ndim, 2) if n_axes is None else n_axes) or array.shape[-1] != 2:
        raise ValueError(f"{name} has shape {array.shape}; expected {_EXPECTED[n_axes]}.")
    check_whole(array, name)
    return array


def check_points_of(shapes: Floats, other: Floats, name: str) -> None:
    """Check that shapes have as many landmarks as another one."""
    if shapes.shape[-2] != len(other):
        raise ValueError(
            f"shapes have {shapes.shape[-2]} landmarks, {name} has {len(other)}; expected the same."
        )


def is_shape(shapes: ArrayLike) -> Flags:
    """Whether each shape has at least two distinct points, so that it can be aligned.

    Points are distinct if the square of their distance neither underflows nor overflows.

    Parameters
    ----------
    shapes : array of shape (n_shapes, n_landmarks, 2)
        NaN = missing.

    Returns
    -------
    usable : ndarray of bool of shape (n_shapes,)

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import is_shape
    >>> is_shape(np.array([[[1.0, 1], [2, 1]], [[3, 3], [3, 3]], [[0, 5], [np.nan, np.nan]]]))
    array([ True, False, False])
    """
    shapes = as_shapes(shapes)
    known = ~np.isnan(shapes).any(-1, keepdims=True)
    low = np.where(known, shapes, np.inf).min(-2)
    high = np.where(known, shapes, -np.inf).max(-2)
    extent = (high - low).max(-1, initial=0.0)
    return (extent > _LEAST_EXTENT) & (extent < 1 / _LEAST_EXTENT)


def align(
    shapes: ArrayLike,
    reference: ArrayLike,
    allow_reflection: bool | Flags = False,
    scaling: bool = True,
) -> Floats:
    """Align shapes to a reference by similarity transforms (Procrustes analysis).

    Parameters
    ----------
    shapes : array of shape (n_shapes, n_landmarks, 2)
        NaN = missing; missing points remain missing.
    reference : array of shape (n_landmarks, 2)
    allow_reflection : bool or array of bool of shape (n_shapes,), default=False
        Whether a shape is mirrored if this improves the fit, as in the balancing of Feng
        et al. (2018).
    scaling : bool, default=True
        Whether shapes are scaled.

    Returns
    -------
    aligned : ndarray of shape (n_shapes, n_landmarks, 2)
        In units of the reference. All NaN for a shape with fewer than two distinct points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import align
    >>> triangle = np.array([[0.0, 0], [4, 0], [0, 2]])
    >>> align(3 * triangle[None] + 7, triangle).round(6) + 0.0
    array([[[0., 0.],
            [4., 0.],
            [0., 2.]]])
    """
    shapes, reference = as_shapes(shapes), as_shapes(reference, "reference", 2)
    check_points_of(shapes, reference, "the reference")
    shapes = np.where(is_shape(shapes)[:, None, None], shapes, np.nan)
    aligned, gain = _align_turned(shapes, reference, scaling)
    if np.any(allow_reflection):
        mirrored, mirrored_gain = _align_turned(shapes * _FLIP, reference, scaling)
        closer = np.asarray(allow_reflection) & (mirrored_gain > gain)
        aligned = np.where(closer[:, None, None], mirrored, aligned)
    return aligned


def _align_turned(shapes: Floats, reference: Floats, scaling: bool = True) -> tuple[Floats, Floats]:
    """Aligned shapes, and a score that increases with the quality of the fit."""
    matrix = similarity(shapes, reference)
    # To compare the fits of a shape and of its reflection, the scale factor is sufficient, with
    # or without scaling: it is <source, target> / <source, source>.
    gain = scale_of(matrix)
    if scaling:
        return apply(matrix, shapes), gain
    with np.errstate(divide="ignore", invalid="ignore"):
        aligned = shapes @ (matrix[..., :2] / gain[:, None, None]).mT
    return aligned + _mean_of_points(reference - aligned), gain


def _mean_of_points(shapes: Floats) -> Floats:
    """Mean over the known points, of shape (..., 1, 2); NaN if there are none."""
    known = ~np.isnan(shapes)
    count = known.sum(-2, keepdims=True)
    with np.errstate(invalid="ignore"):
        return np.where(known, shapes, 0.0).sum(-2, keepdims=True) / count


def _mean_of_shapes(parts: Iterable[Floats]) -> Floats:
    """Mean of each landmark over the shapes in which it is known, (n_landmarks, 2)."""
    sums = [(np.nansum(part, 0), (~np.isnan(part)).sum(0)) for part in parts]
    total, count = (sum(column[1:], column[0]) for column in zip(*sums, strict=True))
    with np.errstate(invalid="ignore"):
        return np.asarray(total / count)


def normalize(shapes: ArrayLike) -> Floats:
    """Centre shapes on 0 and scale them to a root mean square radius of 1.

    Parameters
    ----------
    shapes : array of shape (..., n_landmarks, 2)

    Returns
    -------
    shapes : array of shape (..., n_landmarks, 2)
        All NaN for a shape with fewer than two distinct points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import normalize
    >>> normalize(np.array([[3.0, 3], [7, 3]]))
    array([[-1.,  0.],
           [ 1.,  0.]])
    """
    shapes = as_shapes(shapes, n_axes=None)
    centred = shapes - _mean_of_points(shapes)
    radius = np.sqrt(2 * _mean_of_points(centred**2).mean(-1, keepdims=True))
    return centred / np.where(radius > 0, radius, np.nan)


def symmetric(shape: ArrayLike, mirror: Sequence[int]) -> Floats:
    """Mean of a shape and its mirror image, with a vertical axis of symmetry.

    Parameters
    ----------
    shape : array of shape (n_landmarks, 2)
        Centred on 0; NaN = missing.
    mirror : sequence of int of length n_landmarks
        Landmark i of a mirrored shape is landmark ``mirror[i]`` of the original.

    Returns
    -------
    shape : array of shape (n_landmarks, 2)
        Symmetric shape: changing the sign of x and renaming the landmarks gives the same
        shape. If one landmark of a pair is missing, the other one defines both.

    Examples
    --------
    >>> from skwing.shapes import symmetric
    >>> symmetric([[-1.0, 0.2], [1.2, 0.0], [-0.2, -0.2]], mirror=[1, 0, 2]).round(2) + 0.0
    array([[-1.1 ,  0.11],
           [ 1.1 ,  0.11],
           [ 0.  , -0.22]])
    """
    shape = as_shapes(shape, "shape", 2)
    points = shape @ [1, 1j]
    image = -points.conj()[list(mirror)]
    # The mirror image is approximately the shape rotated by twice the angle of its axis.
    lean = np.exp(0.5j * np.angle(np.nansum(image.conj() * points)))
    pair = np.stack([points / lean, image * lean])
    known = ~np.isnan(pair)
    mean = np.where(known, pair, 0).sum(0) / np.maximum(known.sum(0), 1)
    mean[~known.any(0)] = complex(np.nan, np.nan)
    return np.stack([mean.real, mean.imag], axis=-1)


def mean_shape(shapes: ArrayLike, max_iter: int = 20, tol: float = 1e-4) -> Floats:
    """Mean of shapes, independent of their positions, sizes and orientations.

    This is generalised Procrustes analysis: shapes are aligned to the mean and the mean is
    recomputed until convergence.

    Parameters
    ----------
    shapes : array of shape (n_shapes, n_landmarks, 2)
        NaN = missing.
    max_iter : int, default=20
        Maximum number of iterations.
    tol : float, default=1e-4
        Tolerance for convergence: the maximum change of a coordinate of the mean, in units
        of its radius.

    Returns
    -------
    mean : array of shape (n_landmarks, 2)
        Centred on 0, with a root mean square radius of 1 and the average orientation of the
        shapes. NaN for a landmark that is missing in all shapes.

    Raises
    ------
    ValueError
        If no shape has two distinct points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import mean_shape
    >>> square = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])
    >>> mean_shape(np.stack([square, 5 * square + 1])).round(3)
    array([[-0.707, -0.707],
           [ 0.707, -0.707],
           [ 0.707,  0.707],
           [-0.707,  0.707]])
    """
    shapes = as_shapes(shapes)
    shapes = np.concatenate([_only_shapes(part) for part in _portions(shapes)])
    if len(shapes) == 0:
        raise ValueError("a mean shape needs at least one shape with two distinct points.")
    mean = _first_mean(shapes)
    for _ in range(max_iter):
        last = mean
        aligned = (_align_turned(part, last)[0] for part in _portions(shapes))
        mean = normalize(_mean_of_shapes(aligned))
        if np.nanmax(np.abs(mean - last)) <= tol:
            break
    return normalize(mean)


def _portions(shapes: Floats) -> list[Floats]:
    """Parts of many shapes, whose computation takes little memory; at least one."""
    return [shapes[i : i + _PORTION] for i in range(0, max(1, len(shapes)), _PORTION)]


def _only_shapes(shapes: Floats) -> Floats:
    """Normalised shapes, without those that cannot be aligned."""
    return normalize(shapes[is_shape(shapes)])


def _first_mean(shapes: Floats) -> Floats:
    """Mean of normalised shapes, or one of them if their orientations cancel out."""
    mean = _mean_of_shapes(_portions(shapes))
    if np.sqrt(np.nanmean((mean - _mean_of_points(mean)) ** 2) * 2) > _UPRIGHT:
        return normalize(mean)
    return shapes[np.isnan(shapes).sum((-2, -1)).argmin()]
