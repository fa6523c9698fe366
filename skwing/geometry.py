"""Affine transforms, as 2x3 matrices, between the coordinates of images and crops.

All functions use the same pixel convention: a point is ``(x, y)``, and integer coordinates
are pixel centres. An image of width W therefore extends from -0.5 to W - 0.5, and a box
``(x, y, width, height)`` from ``x - 0.5`` to ``x + width - 0.5``.

A matrix has shape (..., 2, 3) and maps image pixels to the pixels of another frame, such as
a chip or the input of a network. All functions accept numpy arrays or torch tensors and
return the same type; leading dimensions are broadcast.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import Array, Floats

__all__ = [
    "apply",
    "boxes_of",
    "compose",
    "from_box",
    "from_parts",
    "halving",
    "invert",
    "reflect",
    "scale_of",
    "similarity",
]


def _namespace(*arrays: Any) -> Any:
    return torch if any(isinstance(array, torch.Tensor) for array in arrays) else np


def _from_complex(a_re: Array, a_im: Array, t_x: Array, t_y: Array) -> Array:
    """Matrix of ``z -> a z + t``: `a` is rotation and scale, `t` is the translation."""
    return _from_entries(a_re, -a_im, t_x, a_im, a_re, t_y)


def _from_entries(*entries: Array) -> Array:
    """Matrices of their six entries, row by row; a single stack takes the least time."""
    flat = _namespace(entries[0]).stack(entries, -1)
    return flat.reshape(*flat.shape[:-1], 2, 3)


def _entries(matrix: Array) -> Any:
    """The six entries of matrices, row by row."""
    if isinstance(matrix, torch.Tensor):
        return matrix.flatten(-2).unbind(-1)
    return [matrix[..., i, j] for i in range(2) for j in range(3)]


def apply(matrix: Array, points: Array) -> Array:
    """Transform points by a matrix.

    Parameters
    ----------
    matrix : array or tensor of shape (..., 2, 3)
    points : array or tensor of shape (..., n_points, 2)
        In pixels of the frame that `matrix` maps from. NaN stays NaN.

    Returns
    -------
    points : array or tensor of shape (..., n_points, 2)
        In pixels of the frame that `matrix` maps to.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import apply
    >>> apply(np.array([[2.0, 0, 1], [0, 2, 0]]), np.array([[3.0, 4]]))
    array([[7., 8.]])
    """
    # Explicit sums: a matrix product of this shape is slower, and its result for NaN in one
    # coordinate depends on the order of summation.
    columns = matrix.mT
    moved = points[..., :1] * columns[..., :1, :] + points[..., 1:] * columns[..., 1:2, :]
    return moved + columns[..., 2:, :]


def compose(outer: Array, inner: Array) -> Array:
    """Compose two matrices: apply `inner` first, then `outer`.

    Parameters
    ----------
    outer, inner : array or tensor of shape (..., 2, 3)

    Returns
    -------
    matrix : array or tensor of shape (..., 2, 3)

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import compose
    >>> shift = np.array([[1.0, 0, 5], [0, 1, 0]])
    >>> double = np.array([[2.0, 0, 0], [0, 2, 0]])
    >>> compose(double, shift)
    array([[ 2.,  0., 10.],
           [ 0.,  2.,  0.]])
    """
    # Explicit sums, as in `apply`: GPUs round matrix products to ten bits if TF32 is allowed,
    # and to fewer bits under autocast, which gives errors of a tenth of a pixel and more.
    columns = outer[..., :, 0, None] * inner[..., 0, None, :]
    columns = columns + outer[..., :, 1, None] * inner[..., 1, None, :]
    shift = columns[..., 2:] + outer[..., 2:]
    return _namespace(columns).concatenate([columns[..., :2], shift], -1)


def invert(matrix: Array) -> Array:
    """Matrix of the inverse transform.

    Parameters
    ----------
    matrix : array or tensor of shape (..., 2, 3)
        The left 2x2 block must not be singular.

    Returns
    -------
    matrix : array or tensor of shape (..., 2, 3)

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import invert
    >>> invert(np.array([[2.0, 0, 4], [0, 2, 6]]))
    array([[ 0.5, -0. , -2. ],
           [-0. ,  0.5, -3. ]])
    """
    a, b, c, d, e, f = _entries(matrix)
    det = a * e - b * d
    shift_x, shift_y = (b * f - c * e) / det, (c * d - a * f) / det
    return _from_entries(e / det, -b / det, shift_x, -d / det, a / det, shift_y)


def from_parts(angle: Array, scale: Array, shift: Array, center: float | Array) -> Array:
    """Similarity transform that rotates and scales about `center`, then translates.

    Parameters
    ----------
    angle : array or tensor of shape (...)
        In radians; positive angles rotate the x axis towards the y axis (clockwise on screen).
    scale : array or tensor of shape (...)
    shift : array or tensor of shape (..., 2)
        In pixels.
    center : float or array or tensor of shape (..., 2)
        Fixed point of the transform if `shift` is 0, in pixels.

    Returns
    -------
    matrix : array or tensor of shape (..., 2, 3)

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import apply, from_parts
    >>> quarter = from_parts(np.array(np.pi / 2), np.array(1.0), np.zeros(2), np.zeros(2))
    >>> apply(quarter, np.array([[1.0, 0.0]])).round(6)
    array([[0., 1.]])
    """
    xp = _namespace(angle)
    a_re, a_im = scale * xp.cos(angle), scale * xp.sin(angle)
    middle: Any = center
    c_x, c_y = (middle, middle) if np.ndim(middle) == 0 else (middle[..., 0], middle[..., 1])
    t_x = c_x - a_re * c_x + a_im * c_y + shift[..., 0]
    t_y = c_y - a_im * c_x - a_re * c_y + shift[..., 1]
    return _from_complex(a_re, a_im, t_x, t_y)


def from_box(boxes: Array, size: int, margin: float = 0.0) -> Array:
    """Similarity transform that maps a box, extended to a square, onto a square frame.

    The side of the square is the longer side of the box. The image is therefore not
    stretched, and later stages do not depend on the aspect ratio of the box.

    Parameters
    ----------
    boxes : array or tensor of shape (..., 4)
        ``(x, y, width, height)`` in image pixels.
    size : int
        Side of the frame, in pixels.
    margin : float, default=0.0
        Margin added on each side of the square, as a fraction of its side.

    Returns
    -------
    matrix : array or tensor of shape (..., 2, 3)
        From image pixels to frame pixels.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import apply, from_box
    >>> matrix = from_box(np.array([10.0, 20, 8, 8]), size=16)
    >>> apply(matrix, np.array([[9.5, 19.5], [17.5, 27.5]]))  # corners of the box
    array([[-0.5, -0.5],
           [15.5, 15.5]])
    """
    xp = _namespace(boxes)
    x, y, width, height = (boxes[..., i] for i in range(4))
    side = xp.maximum(width, height) * (1 + 2 * margin)
    scale = size / side
    middle = (size - 1) / 2
    t_x = middle - scale * (x + (width - 1) / 2)
    t_y = middle - scale * (y + (height - 1) / 2)
    return _from_complex(scale, xp.zeros_like(scale), t_x, t_y)


def halving(levels: int = 1) -> Floats:
    """Matrix of an image reduced by 2**levels by averaging blocks of pixels.

    Examples
    --------
    >>> from skwing.geometry import halving
    >>> halving()  # the midpoint of pixels 0 and 1 is the centre of the new pixel 0
    array([[ 0.5 ,  0.  , -0.25],
           [ 0.  ,  0.5 , -0.25]])
    """
    scale = 0.5**levels
    shift = (scale - 1) / 2
    return np.array([[scale, 0.0, shift], [0.0, scale, shift]])


def reflect(size: int) -> Floats:
    """Matrix that mirrors a frame of width `size` horizontally.

    The landmarks of a mirrored shape must also be renamed, see
    :meth:`skwing.LandmarkSchema.mirror_points`.

    Examples
    --------
    >>> from skwing.geometry import reflect
    >>> reflect(64)
    array([[-1.,  0., 63.],
           [ 0.,  1.,  0.]])
    """
    return np.array([[-1.0, 0.0, size - 1.0], [0.0, 1.0, 0.0]])


def similarity(source: Array, target: Array, weight: Array | None = None) -> Array:
    """Least-squares similarity transform (no reflection) between point sets.

    In two dimensions, the closed-form solution is a linear regression over the complex
    numbers, ``target = a * source + t``, and no SVD is needed.

    Parameters
    ----------
    source, target : array or tensor of shape (..., n_points, 2)
        Points that are NaN in either array are ignored.
    weight : array or tensor of shape (..., n_points), default=None
        Non-negative weight of each point.

    Returns
    -------
    matrix : array or tensor of shape (..., 2, 3)
        NaN if fewer than two distinct points are known in both arrays.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import similarity
    >>> source = np.array([[0.0, 0], [1, 0], [0, 1]])
    >>> similarity(source, 3 * source + [1, 2]).round(6) + 0.0
    array([[3., 0., 1.],
           [0., 3., 2.]])
    """
    xp = _namespace(source, target)
    known = ~xp.isnan(source + target).any(-1)
    w = xp.where(known, 1.0 if weight is None else weight, 0.0)
    zero = xp.zeros_like(source[..., :1, :1])
    src, dst = xp.where(known[..., None], source, zero), xp.where(known[..., None], target, zero)
    total = w.sum(-1)[..., None]
    total = xp.where(total > 0, total, xp.full_like(total, math.nan))
    src_mean, dst_mean = (
        (own if weight is None else w[..., None] * own).sum(-2) / total for own in (src, dst)
    )
    u, v = src - src_mean[..., None, :], dst - dst_mean[..., None, :]
    spread = (w * (u * u).sum(-1)).sum(-1)
    # For coinciding points, rounding makes the differences from the mean small but not 0. This
    # error grows with the number of points.
    rounding = max(16, source.shape[-2]) * xp.finfo(spread.dtype).eps
    noise = rounding**2 * (w * (src * src).sum(-1)).sum(-1)
    spread = xp.where(spread > noise, spread, xp.full_like(spread, math.nan))
    a_re = (w * (u * v).sum(-1)).sum(-1) / spread
    a_im = (w * (u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])).sum(-1) / spread
    t_x = dst_mean[..., 0] - a_re * src_mean[..., 0] + a_im * src_mean[..., 1]
    t_y = dst_mean[..., 1] - a_im * src_mean[..., 0] - a_re * src_mean[..., 1]
    return _from_complex(a_re, a_im, t_x, t_y)


def scale_of(matrix: Array) -> Array:
    """Scale factor of a matrix: the square root of the absolute determinant.

    Parameters
    ----------
    matrix : array or tensor of shape (..., 2, 3)

    Returns
    -------
    scale : array or tensor of shape (...)

    Examples
    --------
    >>> from skwing.geometry import halving, scale_of
    >>> float(scale_of(halving()))
    0.5
    """
    a, b, _, d, e, _ = _entries(matrix)
    return abs(a * e - b * d) ** 0.5


def boxes_of(points: Array) -> Array:
    """Axis-aligned bounding boxes of points.

    Parameters
    ----------
    points : array or tensor of shape (..., n_points, 2)
        In image pixels; points with NaN are ignored.

    Returns
    -------
    boxes : array or tensor of shape (..., 4)
        ``(x, y, width, height)``. A box includes the pixels of both extreme coordinates, so
        it is one pixel wider than their difference. NaN if there is no known point.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.geometry import boxes_of
    >>> boxes_of(np.array([[2.0, 3], [6, 4]]))
    array([2., 3., 5., 2.])
    """
    xp = _namespace(points)
    missing = xp.isnan(points).any(-1)[..., None]
    low = xp.amin(xp.where(missing, math.inf, points), -2)
    high = xp.amax(xp.where(missing, -math.inf, points), -2)
    boxes = xp.concatenate([low, high - low + 1], -1)
    return xp.where(xp.isfinite(boxes), boxes, math.nan)
