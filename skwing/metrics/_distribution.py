"""Distribution of errors over samples: cumulative curve, area and failure rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.checks import check_number
from skwing._utils.landmarks import named_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats


def _known_errors(errors: ArrayLike) -> Floats:
    """Sorted errors without NaN."""
    errors = named_numbers(errors, "errors").ravel()
    if (errors < 0).any():
        sample = int(np.flatnonzero(errors < 0)[0])
        raise ValueError(f"errors[{sample}] is {errors[sample]}; errors cannot be negative.")
    known = np.sort(errors[~np.isnan(errors)])
    if not len(known):
        raise ValueError(f"None of the {len(errors)} errors is known (not NaN).")
    return known


def ced_curve(errors: ArrayLike) -> tuple[Floats, Floats]:
    """Cumulative error distribution (CED): the fraction of samples below each error.

    Parameters
    ----------
    errors : array-like of shape (n_samples,)
        Error of each sample, as from ``nme(..., per_sample=True)``. NaN is ignored; use
        infinity for samples on which the method failed.

    Returns
    -------
    thresholds : ndarray of shape (n_thresholds,)
        0 and all finite errors, sorted in ascending order without duplicates.
    fractions : ndarray of shape (n_thresholds,)
        Fraction of samples with an error of at most the threshold. The curve is constant
        between two thresholds.

    Raises
    ------
    ValueError
        If all errors are NaN, or one is negative.

    Examples
    --------
    >>> from skwing.metrics import ced_curve
    >>> ced_curve([0.5, 0.25, 0.25, 1.0])
    (array([0.  , 0.25, 0.5 , 1.  ]), array([0.  , 0.5 , 0.75, 1.  ]))
    """
    known = _known_errors(errors)
    thresholds = np.unique(np.append(known[np.isfinite(known)], 0.0))
    return thresholds, np.searchsorted(known, thresholds, side="right") / len(known)


def ced_auc(errors: ArrayLike, threshold: float) -> float:
    """Area under the cumulative error distribution up to a threshold, divided by it.

    The curve is a step function, so its area can be computed exactly: it is the mean of
    ``max(0, 1 - error / threshold)``.

    Parameters
    ----------
    errors : array-like of shape (n_samples,)
        As for :func:`ced_curve`.
    threshold : float
        In the unit of `errors`; 0.1 is common for errors normalised by the inter-ocular
        distance. There is no default, because areas with different thresholds cannot be
        compared.

    Returns
    -------
    auc : float
        From 0 (all errors at or above the threshold) to 1 (all errors are 0).

    Raises
    ------
    ValueError
        If all errors are NaN, one is negative, or `threshold` is not positive.

    Examples
    --------
    >>> from skwing.metrics import ced_auc
    >>> ced_auc([0.25, 0.75, 2.0], threshold=1.0)
    0.3333333333333333
    """
    threshold = check_number(threshold, "threshold", 0, ends="(]")
    return float(np.maximum(0.0, 1.0 - _known_errors(errors) / threshold).mean())


def failure_rate(errors: ArrayLike, threshold: float) -> float:
    """Fraction of samples whose error exceeds a threshold.

    Parameters
    ----------
    errors : array-like of shape (n_samples,)
        As for :func:`ced_curve`.
    threshold : float
        In the unit of `errors`.

    Returns
    -------
    rate : float

    Raises
    ------
    ValueError
        If all errors are NaN, one is negative, or `threshold` is not positive.

    Examples
    --------
    >>> from skwing.metrics import failure_rate
    >>> failure_rate([0.02, 0.1, 0.2, 0.03], threshold=0.1)
    0.25
    """
    threshold = check_number(threshold, "threshold", 0, ends="(]")
    return float((_known_errors(errors) > threshold).mean())
