"""Samples that errors are measured on, and their boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import _safe_indexing

from skwing._utils.warnings import warn_of_data
from skwing.images._convert import boxes_of_table

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike


def with_boxes_only(X: Any, *others: Any) -> tuple[Any, ...]:
    """Drop samples with missing boxes, with a warning, as they cannot be predicted.

    Parameters
    ----------
    X : BoxedImages or other X
    *others : array-like of length n_samples, or anything else
        Arrays lose the same samples; texts, numbers, estimators and None stay as they are.
    """
    missing = getattr(X, "missing_boxes", None)
    if hasattr(X, "columns") or missing is None or not missing.any() or missing.all():
        return (X, *others)
    warn_of_data(
        f"{missing.sum()} of {len(X)} samples, the first is "
        f"{X.describe(int(np.flatnonzero(missing)[0]))}, have no box (NaN): they cannot be "
        "predicted and are not included in the error"
    )
    keep = np.flatnonzero(~missing)
    return (X[keep], *(_safe_indexing(a, keep) if _has_rows(a) else a for a in others))


def _has_rows(value: Any) -> bool:
    is_other = isinstance(value, str) or hasattr(value, "get_params")
    return hasattr(value, "__len__") and not is_other and np.ndim(value) > 0


def boxes_of_data(X: Any, boxes: ArrayLike | None = None) -> ArrayLike | None:
    """Return `boxes`, or the boxes of X if it is None; None if there are none."""
    if boxes is not None:
        return boxes
    return boxes_of_table(X) if hasattr(X, "columns") else getattr(X, "boxes", None)
