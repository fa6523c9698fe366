"""Measures of how far predicted landmarks are from the true ones.

Errors are fractions of a normalising length, never percent. Missing landmarks (NaN in the
truth) are left out of every mean; a prediction must be a number wherever the truth is.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, overload

import numpy as np
from sklearn.utils import _safe_indexing

from skwing._utils.checks import check_flag, check_number, told
from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import schema_of
from skwing._utils.warnings import warn_of_data
from skwing.geometry import boxes_of
from skwing.schema import SCHEMAS, check_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import Flags, Floats
    from skwing.schema import LandmarkSchema

__all__ = [
    "ced_auc",
    "ced_curve",
    "failure_rate",
    "make_nme_scorer",
    "nme",
    "normalizing_lengths",
    "point_errors",
]


def point_errors(y_true: ArrayLike, y_pred: ArrayLike) -> Floats:
    """Distance of every predicted landmark from the true one.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks)
        In image pixels; NaN in `y_true` marks missing landmarks.

    Returns
    -------
    errors : ndarray of shape (n_samples, n_landmarks)
        In image pixels; NaN where the true landmark is missing.

    Raises
    ------
    ValueError
        If the shapes do not belong together, a coordinate is infinite, or a prediction
        is NaN where the truth is known.

    Examples
    --------
    >>> from skwing.metrics import point_errors
    >>> point_errors([[0, 0, 10, 10]], [[3, 4, 10, 11]])
    array([[5., 1.]])
    """
    true, pred = as_points(y_true, name="y_true"), as_points(y_pred, name="y_pred")
    if true.shape != pred.shape:
        raise ValueError(
            f"y_true holds {true.shape[0]} samples of {true.shape[1]} landmarks, y_pred "
            f"{pred.shape[0]} samples of {pred.shape[1]}."
        )
    difference = pred - true
    errors = np.hypot(difference[..., 0], difference[..., 1])
    lost = np.isnan(errors) & ~np.isnan(true).any(-1)
    if lost.any():
        sample, landmark = np.argwhere(lost)[0]
        raise ValueError(
            f"y_pred is NaN at sample {sample}, landmark {landmark}, where y_true is known: "
            f"leaving it out would flatter the predictor."
        )
    return errors


def normalizing_lengths(
    y_true: ArrayLike,
    normalizer: str | ArrayLike = "inter_ocular",
    *,
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
) -> Floats:
    """Length by which the errors of each sample are divided.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        In image pixels; NaN marks missing landmarks.
    normalizer : {"inter_ocular", "inter_pupil", "box"}, float or array-like of shape \
            (n_samples,), default="inter_ocular"
        - "inter_ocular": distance of the outer eye corners.
        - "inter_pupil": distance of the eye centres: the marked pupils where the schema
          has any, else the means of the points around each eye.
        - "box": geometric mean of the sides of `boxes`. For the square boxes of AFLW this
          is their width, the face size that Feng et al. (2018) divide by.
        - numbers are the lengths themselves, in pixels; ``1.0`` leaves errors in pixels.

        Any other key of the schema's `normalizers` works too.
    schema : str or LandmarkSchema, default=None
        Tells which landmarks the named lengths are measured between. It is never guessed
        from the number of landmarks.
    boxes : array-like of shape (n_samples, 4), default=None
        Rows ``(x, y, width, height)`` in image pixels, for ``normalizer="box"``. Results
        depend on whose boxes these are, so none are made up: for the boxes around the
        true landmarks pass ``skwing.geometry.boxes_of(y_true)``.

    Returns
    -------
    lengths : ndarray of shape (n_samples,)
        In pixels. NaN for a sample that lacks any landmark (or the box) it is measured by.

    Raises
    ------
    ValueError
        If what the normaliser needs is not given, or a length is not above 0.

    Examples
    --------
    >>> from skwing.metrics import normalizing_lengths
    >>> normalizing_lengths([[0, 0, 1, 1]], "box", boxes=[[10, 10, 40, 90]])
    array([60.])
    """
    true = as_points(y_true, name="y_true")
    if not isinstance(normalizer, str):
        lengths = _given_lengths(normalizer, len(true))
    elif normalizer == "box":
        lengths = _box_lengths(boxes, len(true))
    else:
        left, right = _normalizing_groups(normalizer, schema, true.shape[1])
        # The mean of NaN is NaN: with part of an eye missing its centre is not known.
        span = true[:, list(left)].mean(1) - true[:, list(right)].mean(1)
        lengths = np.hypot(span[:, 0], span[:, 1])
    wrong = ~(np.isnan(lengths) | (np.isfinite(lengths) & (lengths > 0)))
    if wrong.any():
        sample = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"The normalising length of sample {sample} is {lengths[sample]}; it must be a "
            f"finite number of pixels > 0 (normalizer={_short(normalizer)})."
        )
    return lengths


def _short(normalizer: str | ArrayLike) -> str:
    return repr(normalizer) if np.ndim(normalizer) == 0 else "given lengths"


def _given_lengths(lengths: ArrayLike, n_samples: int) -> Floats:
    try:
        lengths = np.asarray(lengths, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"normalizer must be a name, a length or one length per sample, got {told(lengths)}"
        ) from None
    if lengths.ndim == 0:
        return np.full(n_samples, lengths)
    if lengths.shape != (n_samples,):
        raise ValueError(
            f"normalizer has shape {lengths.shape}; expected one length per sample, ({n_samples},)."
        )
    return lengths


def _box_lengths(boxes: ArrayLike | None, n_samples: int) -> Floats:
    if boxes is None:
        raise ValueError(
            "normalizer='box' needs boxes of shape (n_samples, 4); for the boxes around the "
            "true landmarks pass boxes=skwing.geometry.boxes_of(y_true)."
        )
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.shape != (n_samples, 4):
        raise ValueError(f"boxes has shape {boxes.shape}; expected ({n_samples}, 4).")
    sides = boxes[:, 2:]
    if (sides <= 0).any():
        sample = int(np.flatnonzero((sides <= 0).any(1))[0])
        raise ValueError(
            f"The box of sample {sample} is {boxes[sample].tolist()}; expected (x, y, width, "
            f"height) with width and height > 0."
        )
    return np.sqrt(sides[:, 0] * sides[:, 1])


def _normalizing_groups(
    normalizer: str, schema: str | LandmarkSchema | None, n_landmarks: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    schema = check_schema(schema, n_landmarks)
    if schema is None:
        fitting = [name for name, s in SCHEMAS.items() if s.n_landmarks == n_landmarks]
        hint = f" With {n_landmarks} landmarks that may be one of {fitting}." if fitting else ""
        raise ValueError(
            f"normalizer={normalizer!r} needs a schema to know which landmarks to measure "
            f"between: pass schema=, or lengths as normalizer.{hint}"
        )
    if normalizer not in schema.normalizers:
        choices = sorted({*schema.normalizers, "box"})
        raise ValueError(
            f"Unknown normalizer {normalizer!r} for schema {schema.name!r}; choose from "
            f"{choices} or pass lengths."
        )
    return schema.normalizers[normalizer]


@overload
def nme(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalizer: str | ArrayLike = "inter_ocular",
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    per_sample: Literal[False] = False,
) -> float: ...


@overload
def nme(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalizer: str | ArrayLike = "inter_ocular",
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    per_sample: Literal[True],
) -> Floats: ...


def nme(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    normalizer: str | ArrayLike = "inter_ocular",
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    per_sample: bool = False,
) -> float | Floats:
    """Normalised mean error: the mean distance over a length of the face.

    For each sample the distances of its known landmarks are averaged and divided by its
    normalising length; the mean over samples follows.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks)
        In image pixels; NaN in `y_true` marks missing landmarks.
    normalizer, schema, boxes
        See :func:`normalizing_lengths`.
    per_sample : bool, default=False
        Whether to return the error of each sample instead of their mean.

    Returns
    -------
    error : float or ndarray of shape (n_samples,)
        A fraction, not percent. A sample with no landmark, or without those (or the box)
        that its length is measured by, has NaN and is left out of the mean.

    Raises
    ------
    ValueError
        If no sample can be measured, or for the reasons of :func:`point_errors` and
        :func:`normalizing_lengths`.

    References
    ----------
    Feng et al. (2018), tables 1 and 3 (AFLW, by face size) and table 4 (300-W, by the
    distance of the pupils).

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
        raise ValueError(
            f"None of the {len(relative)} samples has both a known landmark and a normalising "
            f"length (normalizer={_short(normalizer)})."
        )
    return float(measured.mean())


def default_nme(true: Floats, predicted: Floats, schema: LandmarkSchema | None) -> Floats:
    """Normalised error of each sample.

    Parameters
    ----------
    true, predicted : array of shape (n, L, 2)
        In image pixels; NaN in `true` = missing.
    schema : LandmarkSchema or None

    Returns
    -------
    errors : float64 array of shape (n,)
        As a fraction of the inter-ocular distance where the schema has one, else of the
        size of the box around the known landmarks (1 px for a mark-up of one landmark); NaN
        where there is no such length.
    """
    if schema is not None and "inter_ocular" in schema.normalizers:
        return nme(true, predicted, normalizer="inter_ocular", schema=schema, per_sample=True)
    boxes = np.full((len(true), 4), np.nan)
    # A lone landmark has no size to measure by; where there is but one at all, its box has
    # a side of 1 and the error is in pixels.
    seen = (~np.isnan(true).any(-1)).sum(-1) > min(1, true.shape[1] - 1)
    boxes[seen] = boxes_of(true[seen])
    return nme(true, predicted, normalizer="box", boxes=boxes, per_sample=True)


def _known_errors(errors: ArrayLike) -> Floats:
    """Errors that are numbers, sorted."""
    errors = np.asarray(errors, dtype=np.float64).ravel()
    if (errors < 0).any():
        sample = int(np.flatnonzero(errors < 0)[0])
        raise ValueError(f"errors[{sample}] is {errors[sample]}; errors cannot be negative.")
    known = np.sort(errors[~np.isnan(errors)])
    if not len(known):
        raise ValueError(f"None of the {len(errors)} errors is a number.")
    return known


def ced_curve(errors: ArrayLike) -> tuple[Floats, Floats]:
    """Cumulative error distribution: the fraction of samples within each error.

    Parameters
    ----------
    errors : array-like of shape (n_samples,)
        Error of each sample, as from ``nme(..., per_sample=True)``. NaN is left out;
        infinity stands for a sample on which the method failed.

    Returns
    -------
    thresholds : ndarray of shape (n_thresholds,)
        0 and every error that occurs, ascending; finite.
    fractions : ndarray of shape (n_thresholds,)
        Fraction of samples with an error of at most the threshold. Between two
        thresholds it stays what it was at the lower one.

    Raises
    ------
    ValueError
        If no error is a number, or one is negative.

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
    """Area under the cumulative error distribution up to a threshold, over the threshold.

    The curve is a staircase, so its area is known exactly: the mean of
    ``max(0, 1 - error / threshold)``.

    Parameters
    ----------
    errors : array-like of shape (n_samples,)
        As for :func:`ced_curve`.
    threshold : float
        In the unit of `errors`; 0.1 is usual for errors over the inter-ocular distance.
        There is no default: an area means nothing without its threshold.

    Returns
    -------
    auc : float
        From 0 (every error at or above the threshold) to 1 (no errors).

    Raises
    ------
    ValueError
        If no error is a number, one is negative, or `threshold` is not above 0.

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
        If no error is a number, one is negative, or `threshold` is not above 0.

    Examples
    --------
    >>> from skwing.metrics import failure_rate
    >>> failure_rate([0.02, 0.1, 0.2, 0.03], threshold=0.1)
    0.25
    """
    threshold = check_number(threshold, "threshold", 0, ends="(]")
    return float((_known_errors(errors) > threshold).mean())


def make_nme_scorer(
    normalizer: str | float = "auto", schema: str | LandmarkSchema | None = None
) -> Callable[[object, object, ArrayLike], float]:
    """Scorer for scikit-learn's model selection: minus the NME, so that higher is better.

    Parameters
    ----------
    normalizer : str or float, default="auto"
        "auto" measures as ``CascadeLandmarkRegressor.score`` and the displays do: by the
        inter-ocular distance where the schema has one, else by the size of the box around
        the true landmarks. Others as for :func:`normalizing_lengths`; with "box" the boxes
        come from X: its `boxes`, or its columns x, y, width and height.
    schema : str or LandmarkSchema, default=None
        None asks, at each call, first the estimator (in a pipeline or a search, the last
        step) for the schema that it was given or fitted with, then X.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)``; goes wherever scikit-learn takes ``scoring=``, and
        pickles.

    Raises
    ------
    ValueError
        If `schema` is unknown or does not have that normaliser.
    TypeError
        If `normalizer` is neither a name nor a number: lengths of single samples cannot
        follow them into folds.

    Examples
    --------
    >>> from skwing.metrics import make_nme_scorer
    >>> make_nme_scorer("inter_pupil", schema="ibug68")
    make_nme_scorer(normalizer='inter_pupil', schema='ibug68')
    """
    if not isinstance(normalizer, str | numbers.Real):
        raise TypeError(
            f"normalizer of a scorer must be a name or a number; got "
            f"{type(normalizer).__name__}. Lengths cannot follow their samples into folds."
        )
    given = check_schema(schema)
    if given is not None and isinstance(normalizer, str) and normalizer not in ("auto", "box"):
        _normalizing_groups(normalizer, given, given.n_landmarks)
    return _NMEScorer(normalizer, given)


class _NMEScorer:
    def __init__(self, normalizer: str | float, schema: LandmarkSchema | None) -> None:
        self.normalizer = normalizer
        self.schema = schema

    def __call__(self, estimator: Any, X: Any, y: ArrayLike) -> float:
        X, y = with_boxes_only(X, y)
        schema = schema_of(estimator, X) if self.schema is None else self.schema
        predicted = estimator.predict(X)
        if isinstance(self.normalizer, str) and self.normalizer == "auto":
            return -_own_mean(y, predicted, schema)
        boxes = _boxes_of_data(X) if self.normalizer == "box" else None
        return -nme(y, predicted, normalizer=self.normalizer, schema=schema, boxes=boxes)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle by the public function that makes it."""
        return make_nme_scorer, (self.normalizer, self.schema)

    def __repr__(self) -> str:
        schema = None if self.schema is None else self.schema.name
        return f"make_nme_scorer(normalizer={self.normalizer!r}, schema={schema!r})"


def _own_mean(y_true: ArrayLike, y_pred: ArrayLike, schema: str | LandmarkSchema | None) -> float:
    true = as_points(y_true, name="y_true")
    errors = default_nme(
        true, as_points(y_pred, name="y_pred"), check_schema(schema, true.shape[1])
    )
    known = ~np.isnan(errors)
    if not known.any():
        raise ValueError(
            f"None of the {len(errors)} samples has both a known landmark and a normalising "
            "length (normalizer='auto')."
        )
    return float(errors[known].mean())


def with_boxes_only(X: Any, y: ArrayLike) -> tuple[Any, ArrayLike]:
    """Samples that can be predicted: without those whose box is missing, with a warning."""
    missing = getattr(X, "missing_boxes", None)
    if hasattr(X, "columns") or missing is None or not missing.any() or missing.all():
        return X, y
    warn_of_data(
        f"{missing.sum()} of {len(X)} samples, the first is "
        f"{X.describe(int(np.flatnonzero(missing)[0]))}, have no box (NaN): they have no "
        "prediction and are left out of the error"
    )
    keep = np.flatnonzero(~missing)
    return X[keep], _safe_indexing(y, keep)


def _boxes_of_data(X: Any) -> ArrayLike | None:
    columns = ["x", "y", "width", "height"]
    if hasattr(X, "columns"):
        return X[columns].to_numpy() if set(columns) <= set(X.columns) else None
    return getattr(X, "boxes", None)


def check_measurable(errors: Floats, what: str) -> Flags:
    """Which errors are known, at least one."""
    known = ~np.isnan(errors)
    if not known.any():
        raise ValueError(
            f"the error of none of the {what} can be measured: each lacks the landmarks, or those "
            "that its size is told by"
        )
    return known
