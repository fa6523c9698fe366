"""Which samples a display shows, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.checks import count
from skwing._utils.random import check_random_state
from skwing.geometry import boxes_of

if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats, Ints, RandomState

    Order: TypeAlias = Literal["worst", "best", "least sure", "pose", "random", "first"]

# What each order requires.
_REQUIRED = {
    "worst": "errors: pass both y_true and y_pred",
    "best": "errors: pass both y_true and y_pred",
    "least sure": "confidence or y_std: pass that of predict(X, return_confidence=True)",
    "pose": "poses: numbers, or a fitted PoseBalancer",
}
_ORDERS = (*_REQUIRED, "random", "first")


def choose_samples(
    order: Any,
    n_images: int,
    n_samples: int,
    keys: dict[str, Floats | None],
    random_state: RandomState,
) -> Ints:
    """Indices of the samples to show.

    Parameters
    ----------
    order : str or sequence of int
        A key of `keys`, "random", "first", or the indices themselves.
    n_images : int
        Maximum number of samples.
    n_samples : int
    keys : dict of str to (ndarray of shape (n_samples,) or None)
        Numbers that samples are sorted by, for each order; None if they are not known.
    random_state : int, RandomState or None

    Returns
    -------
    chosen : ndarray of int

    Raises
    ------
    ValueError
        If `order` is unknown, or requires numbers that are not known.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.display._order import choose_samples
    >>> choose_samples("worst", 2, 3, {"worst": np.array([0.1, 0.3, np.nan])}, None)
    array([1, 0])
    """
    if not isinstance(order, str):
        return _check_positions(order, n_samples)
    if order not in _ORDERS:
        raise ValueError(f"order must be one of {', '.join(_ORDERS)} or positions; got {order!r}.")
    n = min(count().check(n_images, "n_images"), n_samples)
    if order == "random":
        return check_random_state(random_state).permutation(n_samples)[:n]
    if order == "first":
        return np.arange(n)
    values = keys[order]
    if values is None:
        raise ValueError(f"order={order!r} requires {_REQUIRED[order]}.")
    if order == "pose":
        poses = values
        known = np.argsort(poses, kind="stable")[: (~np.isnan(poses)).sum()]
        if not len(known):
            raise ValueError(f"order='pose', but the pose of all {n_samples} samples is NaN.")
        return known[np.unique(np.linspace(0, len(known) - 1, n).round().astype(int))]
    # NaN is sorted last in both cases.
    return np.argsort(values if order == "best" else -values, kind="stable")[:n]


def doubt_of(std: Floats | None, pred: Floats | None) -> Floats | None:
    """Mean standard deviation of each sample, relative to the extent of its landmarks."""
    if std is None or pred is None:
        return None
    known = np.where(np.isnan(pred), 0, pred)
    extents = boxes_of(known)[:, 2:].max(-1)
    return np.where(np.isnan(std).any(1), np.nan, std.mean(1) / extents)


def _check_positions(order: ArrayLike, n_samples: int) -> Ints:
    positions = np.asarray(order)
    if positions.ndim != 1 or not len(positions) or positions.dtype.kind not in "iu":
        raise ValueError(f"order must be one of {', '.join(_ORDERS)} or positions; got {order!r}.")
    outside = (positions < 0) | (positions >= n_samples)
    if outside.any():
        raise ValueError(
            f"order contains {positions[outside][0]}, but X has {n_samples} samples, counted from "
            "0."
        )
    return positions
