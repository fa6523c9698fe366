"""Principal components of aligned shapes, and completion of missing points."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from skwing._utils.checks import Either, Only, count
from skwing.geometry import apply, invert, similarity
from skwing.shapes._procrustes import (
    as_shapes,
    check_points_of,
    is_shape,
    mean_shape,
    normalize,
)
from skwing.shapes._solid import views_of_solid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats


class ShapeModes(NamedTuple):
    """Principal components of shapes.

    Attributes
    ----------
    mean : ndarray of shape (n_landmarks, 2)
        Mean shape; NaN for a landmark that is missing in all shapes.
    components : ndarray of shape (n_components, n_landmarks, 2)
        Orthonormal components, sorted by decreasing variance; 0 for a landmark that is
        missing in all shapes.
    variances : ndarray of shape (n_components,)
        Variance of the shapes along each component.
    variance_ratios : ndarray of shape (n_components,)
        Fraction of the total variance along each component.

    Examples
    --------
    >>> from skwing.shapes import shape_pca
    >>> modes = shape_pca([[[0, 0], [2, 0]], [[0, 0], [4, 0]]])
    >>> modes.mean
    array([[0., 0.],
           [3., 0.]])
    >>> modes.variance_ratios
    array([1.])
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
        Number of components to keep; None keeps all.

    Returns
    -------
    modes : ShapeModes
        At least one component, and fewer components than shapes if there are several
        shapes. The sign of a component is chosen such that points near the centre of the
        mean shape move right and down relative to outer points. For the yaw of faces, a
        positive coefficient then means that the nose points to the right of the image.

    Raises
    ------
    ValueError
        If a landmark is missing in some shapes but not in all, or `n_components` is not an
        integer of at least 1.

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
    aligned = as_shapes(aligned, "aligned")
    missing = np.isnan(aligned).any(-1)
    partly = missing & ~missing.all(0)
    if partly.any():
        sample, landmark = np.argwhere(partly)[0]
        raise ValueError(
            f"landmark {landmark} of shape {sample} is missing, but known in other shapes: use "
            f"complete_shapes first."
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
    """Choose signs such that the centre of the shape moves right and down against its rim.

    The sign of an eigenvector is arbitrary. Fixing it by the largest entry is unstable: a
    component that is odd under mirroring has pairs of opposite entries of the same size.
    """
    radius2 = np.nan_to_num((normalize(mean) ** 2).sum(-1), nan=1.0)
    inward = (components.sum(-1) * (1.0 - radius2)).sum(-1)
    return np.where(inward < 0, -1.0, 1.0)[:, None, None] * components


def coefficients(aligned: ArrayLike, modes: ShapeModes) -> Floats:
    """Coefficients of shapes with respect to the components, ``p^T (shape - mean)``.

    Parameters
    ----------
    aligned : array of shape (n_shapes, n_landmarks, 2)
    modes : ShapeModes

    Returns
    -------
    coefficients : ndarray of shape (n_shapes, n_components)
        In units of the aligned shapes; NaN for a shape with missing points.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.shapes import coefficients, shape_pca
    >>> shapes = np.array([[[-1.0, 0], [1, 0]], [[-3, 0], [3, 0]]])
    >>> coefficients(shapes, shape_pca(shapes)).round(3)
    array([[-1.414],
           [ 1.414]])
    """
    aligned, known = as_shapes(aligned, "aligned"), ~np.isnan(modes.mean).any(-1)
    check_points_of(aligned, modes.mean, "the mean")
    rows, components = (aligned - modes.mean)[:, known], modes.components[:, known]
    n_components = len(components)
    return rows.reshape(len(rows), -1) @ components.reshape(n_components, -1).T


def complete_shapes(shapes: ArrayLike, max_iter: int = 10, tol: float = 1e-3) -> Floats:
    """Infer missing points by modelling shapes as views of one rigid 3D shape.

    Points of rotated heads are not missing at random: usually they are on the far side. A
    linear model of 2D shapes confuses a half face seen from the side with a smaller one.
    Therefore, missing points are projected from a common 3D shape of (n_landmarks, 3)
    points. Each 2D shape is a rotated, scaled and translated orthographic projection of it.
    The 3D shape and the rotations are fitted to the known points by alternating least
    squares.

    Parameters
    ----------
    shapes : array of shape (n_shapes, n_landmarks, 2)
        In any units; NaN = missing.
    max_iter : int, default=10
        Maximum number of iterations.
    tol : float, default=1e-3
        Tolerance for convergence: the maximum change of a point of the 3D shape, in units
        of its radius.

    Returns
    -------
    shapes : ndarray of shape (n_shapes, n_landmarks, 2)
        A copy in the same units. Known points are unchanged. Points remain missing in
        shapes with fewer than two distinct points, and for landmarks that are missing in all
        shapes.

    Notes
    -----
    This is the factorisation method of Tomasi and Kanade (1992) with scaled orthographic
    projection, extended to missing points.

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
    shapes = np.array(as_shapes(shapes))
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
