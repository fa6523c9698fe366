"""Errors in pixels, and the normalised mean error."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_flag
from skwing._utils.landmarks import as_points, one_sample_hint
from skwing.metrics._lengths import none_measured, normalizing_lengths

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import Flags, Floats
    from skwing.schema import LandmarkSchema


def point_errors(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Euclidean distance between predicted and true landmarks.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks)
        In image pixels; NaN in `y_true` marks missing landmarks.

    Returns
    -------
    errors : ndarray of shape (n_samples, n_landmarks)
        In image pixels; NaN if the true landmark is missing.

    Raises
    ------
    ValueError
        If the shapes differ, a coordinate is infinite, or a prediction is NaN where
        `y_true` is known.

    Examples
    --------
    >>> from skwing.metrics import point_errors
    >>> point_errors([[0, 0, 10, 10]], [[3, 4, 10, 11]])
    array([[5., 1.]])
    """
    true, pred = as_points(y_true, name="y_true"), as_points(y_pred, name="y_pred")
    if true.shape != pred.shape:
        hints = one_sample_hint(y_true, pred.shape[1]), one_sample_hint(y_pred, true.shape[1])
        raise ValueError(
            f"y_true holds {true.shape[0]} samples of {true.shape[1]} landmarks, y_pred "
            f"{pred.shape[0]} samples of {pred.shape[1]}.{hints[0] or hints[1]}"
        )
    difference = pred - true
    errors = np.hypot(difference[..., 0], difference[..., 1])
    lost = np.isnan(errors) & ~np.isnan(true).any(-1)
    if lost.any():
        sample, landmark = np.argwhere(lost)[0]
        raise ValueError(
            f"y_pred is NaN at sample {sample}, landmark {landmark}, where y_true is known: "
            f"ignoring it would make the error too small."
        )
    return errors


@overload
def nme(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalizer: str | ArrayLike = "auto",
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    per_sample: Literal[False] = False,
) -> float: ...


@overload
def nme(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalizer: str | ArrayLike = "auto",
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    per_sample: Literal[True],
) -> Floats: ...


def nme(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalizer: str | ArrayLike = "auto",
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    per_sample: bool = False,
) -> float | Floats:
    """Normalised mean error (NME): the mean distance divided by a length of the face.

    The distances of the known landmarks of each sample are averaged and divided by the
    normalising length of the sample. The result is the mean over samples.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks)
        In image pixels; NaN in `y_true` marks missing landmarks.
    normalizer, schema, boxes
        See :func:`normalizing_lengths`.
    per_sample : bool, default=False
        Whether to return the error of each sample instead of the mean.

    Returns
    -------
    error : float or ndarray of shape (n_samples,)
        A fraction, not percent. The error of a sample is NaN if it has no known landmarks
        or no normalising length; such samples are ignored in the mean.

    Raises
    ------
    ValueError
        If all errors are NaN, or for the reasons of :func:`point_errors` and
        :func:`normalizing_lengths`.

    References
    ----------
    Feng et al. (2018), tables 1 and 3 (AFLW, by face size) and table 4 (300-W, by
    inter-pupil distance).

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.metrics import nme
    >>> y_true = np.array([[[10.0, 10], [30, 10]], [[10, 20], [np.nan, np.nan]]])
    >>> nme(y_true, y_true + [3, 4], normalizer=[50, 20], per_sample=True)
    array([0.1 , 0.25])
    """
    per_sample = check_flag(per_sample, "per_sample")
    errors = point_errors(y_true, y_pred)
    lengths = normalizing_lengths(y_true, normalizer, schema=schema, boxes=boxes)
    known = ~np.isnan(errors)
    count = known.sum(1)
    total = np.where(known, errors, 0.0).sum(1)
    relative = np.where(count > 0, total, np.nan) / (np.maximum(count, 1) * lengths)
    if per_sample:
        return relative
    measured = relative[~np.isnan(relative)]
    if not len(measured):
        raise none_measured(len(relative), normalizer, boxes)
    return float(measured.mean())


def check_measurable(errors: Floats, what: str) -> Flags:
    """Mask of the errors that are not NaN; raise if there are none."""
    known = ~np.isnan(errors)
    if not known.any():
        raise ValueError(
            f"no error can be computed for the {what}: landmarks are missing, or the normalising "
            "length is undefined for every sample"
        )
    return known
