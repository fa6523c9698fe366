"""Factorisation: a rigid 3D shape and its rotations from 2D views with missing points.

The model is the factorisation of Tomasi and Kanade (1992) with scaled orthographic projection.
Point `j` of the 3D shape (`solid`) has the position ``turns[i] @ solid[j] + shifts[i]`` in view
`i`, where a turn is a scaled rotation: a 2x3 matrix with orthogonal rows of equal length. Views
are given as `rows`, an array of shape (2, n_views, n_points) with x and y, 0 for missing points,
and as `weight`, (n_views, n_points), 1 for known and 0 for missing points.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skwing._utils.types import Flags, Floats

# Weights of regularisation: of rotations towards the frontal view, and of the 3D shape towards
# zero depth. Without the latter, shapes that no rotation explains could be fitted by ever
# smaller rotations of an ever deeper shape.
_FRONTAL = 1e-4
_FLAT = 1e-3
_TURN_STEPS = 5
_TINY = 1e-12


def views_of_solid(points: Floats, known: Flags, max_iter: int, tol: float) -> Floats:
    """Fit a 3D shape to views and project all of its points into each view.

    Parameters
    ----------
    points : ndarray of shape (n_views, n_points, 2)
        Aligned, centred, of about unit size. Arbitrary where not `known`.
    known : ndarray of bool of shape (n_views, n_points)
        At least one known point in each view, and one view for each point.
    max_iter : int
        Maximum number of iterations.
    tol : float
        Tolerance for convergence: the maximum change of a point of the 3D shape.

    Returns
    -------
    views : ndarray of shape (n_views, n_points, 2)
        Projected points.
    """
    weight = known.astype(np.float64)
    rows = np.moveaxis(np.where(known[..., None], points, 0.0), -1, 0).copy()
    solid = _first_solid(rows, weight)
    turns, shifts = _fit_turns(rows, weight, solid)
    for _ in range(max_iter):
        last, solid = solid, _fit_solid(rows, weight, turns, shifts, solid)
        turns, shifts = _fit_turns(rows, weight, solid, turns)
        if np.abs(solid - last).max() <= tol:
            break
    return solid @ turns.mT + shifts[:, None, :]


def _grams(weight: Floats, factor: Floats) -> Floats:
    """Weighted sum of the outer products of the rows of `factor`, for each view."""
    n, k = factor.shape
    outer = (factor[:, :, None] * factor[:, None, :]).reshape(n, k * k)
    return (weight @ outer).reshape(-1, k, k)


def _first_solid(rows: Floats, weight: Floats) -> Floats:
    """Mean view, with the depth that best explains the residuals of its affine fit."""
    mean = rows.sum(1) / weight.sum(0)
    flat = np.column_stack([mean.T, np.ones(mean.shape[1])])
    normal = _grams(weight, flat) + _TINY * np.eye(3)
    stretch = np.linalg.solve(normal, (rows @ flat)[..., None])[..., 0]
    rest = weight * (rows - stretch @ flat.T)
    scatter = (rest.mT @ rest).sum(0) / np.maximum(weight.T @ weight, 1.0)
    depth = np.linalg.eigh(scatter)[1][:, -1]
    # Initial depth of half the radius; later fits refine it.
    return np.column_stack([mean.T, 0.5 * np.sqrt(len(depth)) * depth])


def _fit_turns(
    rows: Floats, weight: Floats, solid: Floats, turns: Floats | None = None
) -> tuple[Floats, Floats]:
    """Fit turns (n_views, 2, 3) and shifts (n_views, 2) of the views by majorisation.

    Each step is a gradient step followed by projection onto the nearest turn.
    """
    count = weight.sum(1)[:, None]
    centre, middle = weight @ solid / count, rows.sum(2).T / count
    spread = _grams(weight, solid) / count[..., None] - centre[:, :, None] * centre[:, None, :]
    spread += _FRONTAL * np.eye(3)
    cross = np.moveaxis(rows @ solid, 0, 1) / count[..., None]
    cross += _FRONTAL * np.eye(2, 3) - middle[:, :, None] * centre[:, None, :]
    if turns is None:
        turns = np.moveaxis(_nearest(_views_last(np.linalg.solve(spread, cross.mT).mT)), -1, 0)
    step = 1.0 / np.linalg.norm(spread, axis=(1, 2))
    # With the views in the last axis, operations on tiny matrices take a tenth of the time.
    best, pull, gram = _views_last(turns), _views_last(cross), _views_last(spread)
    for _ in range(_TURN_STEPS):
        best = _nearest(best + step * (pull - np.einsum("ijn,jkn->ikn", best, gram)))
    turns = np.ascontiguousarray(np.moveaxis(best, -1, 0))
    return turns, middle - (turns @ centre[..., None])[..., 0]


def _views_last(matrices: Floats) -> Floats:
    return np.ascontiguousarray(np.moveaxis(matrices, 0, -1))


def _nearest(matrix: Floats) -> Floats:
    """Nearest matrices with orthogonal rows of equal length, for matrices (2, 3, n_views).

    This is the polar factor times the mean singular value, in closed form.
    """
    first, second = matrix
    a, b, c = (
        np.einsum("jn,jn->n", u, v) for u, v in ((first, first), (second, second), (first, second))
    )
    root = np.sqrt(np.maximum(a * b - c * c, _TINY))
    turned = np.stack([(b + root) * first - c * second, (a + root) * second - c * first])
    return turned / (2.0 * root)


def _fit_solid(
    rows: Floats, weight: Floats, turns: Floats, shifts: Floats, solid: Floats
) -> Floats:
    """Least-squares 3D shape for given turns, centred, regularised to the previous one."""
    normal = (weight.T @ (turns.mT @ turns).reshape(-1, 9)).reshape(-1, 3, 3)
    right = sum((rows[c] - weight * shifts[:, c, None]).T @ turns[:, c] for c in range(2))
    normal[:, 2, 2] += _FLAT * weight.sum(0)
    normal += _FRONTAL * np.eye(3)
    solid = np.linalg.solve(normal, (right + _FRONTAL * solid)[..., None])[..., 0]
    return solid - solid.mean(0)
