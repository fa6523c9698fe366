"""Principal components of aligned shapes, and missing points inferred from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from skwing._utils.checks import Either, Only, count
from skwing._utils.landmarks import whole_points
from skwing.geometry import apply, invert, similarity
from skwing.shapes._procrustes import is_shape, mean_shape, normalize
from skwing.shapes._solid import views_of_solid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats


class ShapeModes(NamedTuple):
    """Principal components of shapes.

    Attributes
    ----------
    mean : ndarray of shape (n_landmarks, 2)
        NaN for a landmark that no shape has.
    components : ndarray of shape (n_components, n_landmarks, 2)
        Of length 1 and at right angles to one another, by falling variance; 0 for a
        landmark that no shape has.
    variances : ndarray of shape (n_components,)
        Variance of the shapes along each component.
    variance_ratios : ndarray of shape (n_components,)
        The same as a part of the variance of all coordinates together.
    """

    mean: Floats
    components: Floats
    variances: Floats
    variance_ratios: Floats


def shape_pca(aligned: ArrayLike, n_components: int | None = None) -> ShapeModes:
    """Principal component analysis of aligned shapes.

    Parameters
    ----------
    aligned : array of shape (n_shapes, n_landmarks, 2)
        Shapes without missing points, see :func:`complete_shapes`; a landmark may be NaN
        in all of them.
    n_components : int, default=None
        How many components to keep; None keeps all.

    Returns
    -------
    modes : ShapeModes
        At most one component less than there are shapes, but at least one. The sign of a
        component is such that the points near the middle of the mean shape move right and
        down relative to the outer ones; for faces that turn, a positive coefficient then
        means that the nose points to the right of the image.

    Raises
    ------
    ValueError
        If a point is missing in some shapes and there in others, or `n_components` is not
        an integer of at least 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import shape_pca
    >>> line = np.array([[-1.0, 0], [0, 0], [1, 0]])
    >>> bend = np.array([[0.0, -1], [0, 2], [0, -1]])
    >>> modes = shape_pca(np.stack([line - bend, line, line + bend]))
    >>> modes.variance_ratios.round(6)
    array([1., 0.])
    >>> modes.components[0].round(3) + 0.0
    array([[ 0.   , -0.408],
           [ 0.   ,  0.816],
           [ 0.   , -0.408]])
    """
    n_components = Either(count(), Only(None)).check(n_components, "n_components")
    aligned = whole_points(np.asarray(aligned, dtype=np.float64))
    missing = np.isnan(aligned).any(-1)
    partly = missing & ~missing.all(0)
    if partly.any():
        sample, landmark = np.argwhere(partly)[0]
        raise ValueError(
            f"shape {sample} lacks landmark {landmark}, which others have: complete the "
            f"shapes first."
        )
    n_shapes, n_landmarks, _ = aligned.shape
    mean = aligned.mean(0)
    known = np.repeat(~missing.all(0), 2)
    rows = (aligned - mean).reshape(n_shapes, 2 * n_landmarks)[:, known]
    variances, vectors = np.linalg.eigh(rows.T @ rows / max(n_shapes - 1, 1))
    variances, vectors = variances[::-1].clip(0), vectors[:, ::-1].T
    keep = min(max(n_shapes - 1, 1), len(variances), n_components or len(variances))
    total = variances.sum()
    ratios = variances / total if total > 0 else np.zeros_like(variances)
    components = np.zeros((keep, 2 * n_landmarks))
    components[:, known] = vectors[:keep]
    components = _with_sign(components.reshape(keep, n_landmarks, 2), mean)
    return ShapeModes(mean, components, variances[:keep], ratios[:keep])


def _with_sign(components: Floats, mean: Floats) -> Floats:
    """Components that move the middle of the shape right and down against its rim.

    The sign of an eigenvector is arbitrary. Its largest entry is a poor guide: a mode that
    is odd under mirroring has pairs of opposite entries of the same size, and noise would
    choose between them.
    """
    radius2 = np.nan_to_num((normalize(mean) ** 2).sum(-1), nan=1.0)
    inward = (components.sum(-1) * (1.0 - radius2)).sum(-1)
    return np.where(inward < 0, -1.0, 1.0)[:, None, None] * components


def coefficients(aligned: ArrayLike, modes: ShapeModes) -> Floats:
    """Coefficient of every component in every shape, ``p^T (shape - mean)``.

    Parameters
    ----------
    aligned : array of shape (n_shapes, n_landmarks, 2)
    modes : ShapeModes

    Returns
    -------
    coefficients : ndarray of shape (n_shapes, n_components)
        In units of the aligned shapes; NaN for a shape that lacks a point.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import coefficients, shape_pca
    >>> shapes = np.array([[[-1.0, 0], [1, 0]], [[-3, 0], [3, 0]]])
    >>> coefficients(shapes, shape_pca(shapes)).round(3)
    array([[-1.414],
           [ 1.414]])
    """
    rows = (whole_points(np.asarray(aligned, dtype=np.float64)) - modes.mean)[
        :, ~np.isnan(modes.mean).any(-1)
    ]
    components = modes.components[:, ~np.isnan(modes.mean).any(-1)]
    n_components = len(components)
    return rows.reshape(len(rows), -1) @ components.reshape(n_components, -1).T


def complete_shapes(shapes: ArrayLike, max_iter: int = 10, tol: float = 1e-3) -> Floats:
    """Infer missing points, taking the shapes for views of one rigid solid.

    Points of a head that turns do not go missing at random: the far side does. A linear
    model of shapes, fitted to the points that are there, confuses a half that is seen from
    the side with one that is merely shrunk. So the missing points are projected from a
    common solid of (n_landmarks, 3) instead: every shape is a turn in space, a scale and a
    shift of it without perspective, and solid and turns are fitted by alternating least
    squares to the points that are there.

    Parameters
    ----------
    shapes : array of shape (n_shapes, n_landmarks, 2)
        In any units; NaN = missing.
    max_iter : int, default=10
    tol : float, default=1e-3
        Stop when no point of the solid moves by more, in units of its radius.

    Returns
    -------
    shapes : ndarray of shape (n_shapes, n_landmarks, 2)
        A copy, in the same units. Points that are there are untouched. Missing are still
        all points of a shape without two distinct points, and landmarks that no shape has.

    Notes
    -----
    This is the factorisation of Tomasi and Kanade (1992) under scaled orthography, for views
    with missing points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import complete_shapes
    >>> square = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])
    >>> shapes = np.stack([square, square + 5, 3 * square])
    >>> shapes[1, 2] = np.nan
    >>> complete_shapes(shapes)[1].round(3)
    array([[5., 5.],
           [7., 5.],
           [7., 7.],
           [5., 7.]])
    """
    shapes = np.array(whole_points(np.asarray(shapes, dtype=np.float64)))
    known = ~np.isnan(shapes).any(-1)
    usable, seen = is_shape(shapes), known.any(0)
    part = np.ix_(usable, seen)
    if known[part].all():
        return shapes
    some, known = shapes[part], known[part]
    matrix = similarity(some, mean_shape(some, tol=1e-2))
    views = apply(invert(matrix), views_of_solid(apply(matrix, some), known, max_iter, tol))
    shapes[part] = np.where(known[..., None], some, views)
    return shapes
