"""Metrics of the distance between predicted and true landmarks.

Errors are fractions of a normalising length, not percent. Missing landmarks (NaN in
`y_true`) are ignored in all means. A prediction must not be NaN where `y_true` is known.
"""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, overload

import numpy as np
from sklearn.utils import _safe_indexing

from skwing._utils.checks import check_flag, check_number, told
from skwing._utils.landmarks import as_points
from skwing._utils.report import report_text, scales_of, summary
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
    "landmark_report",
    "make_nme_scorer",
    "nme",
    "normalizing_lengths",
    "point_errors",
]


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
            f"ignoring it would make the error too small."
        )
    return errors


def normalizing_lengths(
    y_true: ArrayLike,
    normalizer: str | ArrayLike = "auto",
    *,
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
) -> Floats:
    """Normalising length of each sample, by which its errors are divided.

    Parameters
    ----------
    y_true : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        In image pixels; NaN marks missing landmarks.
    normalizer : {"auto", "inter_ocular", "inter_pupil", "box"}, float or array-like of \
            shape (n_samples,), default="auto"
        - "auto": "inter_ocular" if the schema defines it, else the size of the box around
          the true landmarks (geometric mean of its sides). This is also the default of
          ``CascadeLandmarkRegressor.score``, :func:`make_nme_scorer` and the displays. If
          the data have a single landmark, errors are in pixels.
        - "inter_ocular": distance between the outer eye corners.
        - "inter_pupil": distance between the eye centres: the pupils if the schema has
          them, else the means of the points around each eye.
        - "box": geometric mean of the sides of `boxes`. For the square boxes of AFLW this
          is their width, the face size that Feng et al. (2018) use.
        - number or array: the lengths in pixels; ``1.0`` gives errors in pixels.

        Any other key of the schema's `normalizers` is allowed, too.
    schema : str or LandmarkSchema, default=None
        Defines the landmarks between which the named lengths are measured. It is never
        inferred from the number of landmarks.
    boxes : array-like of shape (n_samples, 4), default=None
        Rows ``(x, y, width, height)`` in image pixels, for ``normalizer="box"``. There is
        no default, because results depend on the kind of boxes. To use the boxes around
        the true landmarks, pass ``skwing.geometry.boxes_of(y_true)``.

    Returns
    -------
    lengths : ndarray of shape (n_samples,)
        In pixels. NaN if a landmark (or the box) that defines the length is missing.

    Raises
    ------
    ValueError
        If a required argument is missing, or a length is not positive.

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
    elif normalizer == "auto" and not has_inter_ocular(schema, true.shape[1]):
        lengths = _box_lengths(_landmark_boxes(true), len(true))
    else:
        normalizer = "inter_ocular" if normalizer == "auto" else normalizer
        left, right = _normalizing_groups(normalizer, schema, true.shape[1])
        # If any landmark of an eye is NaN, the mean and the length are NaN.
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


def has_inter_ocular(schema: str | LandmarkSchema | None, n_landmarks: int) -> bool:
    """Whether a schema defines the inter-ocular distance."""
    schema = check_schema(schema, n_landmarks)
    return schema is not None and "inter_ocular" in schema.normalizers


def _landmark_boxes(true: Floats) -> Floats:
    """Boxes around the known landmarks; NaN if they have no extent.

    The box around a single known landmark has no extent. If the data have only one landmark,
    its box has a side of 1 pixel.
    """
    boxes = np.full((len(true), 4), np.nan)
    seen = (~np.isnan(true).any(-1)).sum(-1) > min(1, true.shape[1] - 1)
    boxes[seen] = boxes_of(true[seen])
    return boxes


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
        known = {"auto", "box", *(key for s in SCHEMAS.values() for key in s.normalizers)}
        if normalizer not in known:
            raise ValueError(
                f"Unknown normalizer {normalizer!r}; choose from {sorted(known)} or pass lengths."
            )
        fitting = [name for name, s in SCHEMAS.items() if s.n_landmarks == n_landmarks]
        hint = f" Schemas with {n_landmarks} landmarks: {fitting}." if fitting else ""
        raise ValueError(
            f"normalizer={normalizer!r} needs a schema that defines the landmarks to measure "
            f"between: pass schema=, or lengths as normalizer.{hint}"
        )
    if normalizer not in schema.normalizers:
        choices = ["auto", *sorted({*schema.normalizers, "box"})]
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
        raise _none_measured(len(relative), normalizer, boxes)
    return float(measured.mean())


def _none_measured(
    n_samples: int, normalizer: str | ArrayLike, boxes: ArrayLike | None
) -> ValueError:
    by_box = isinstance(normalizer, str) and normalizer == "box"
    hint = ""
    if by_box and np.isnan(np.asarray(boxes, dtype=np.float64)).any(-1).all():
        hint = (
            " There are no boxes, all are NaN: pass boxes=skwing.geometry.boxes_of(y_true), or "
            "leave normalizer out."
        )
    return ValueError(
        f"None of the {n_samples} samples has both a known landmark and a normalising "
        f"length (normalizer={_short(normalizer)}).{hint}"
    )


def _known_errors(errors: ArrayLike) -> Floats:
    """Sorted errors without NaN."""
    errors = np.asarray(errors, dtype=np.float64).ravel()
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


@overload
def landmark_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    unit: str = "px",
    scale: ArrayLike | None = None,
    normalizer: str | ArrayLike | None = None,
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    digits: int = 2,
    output_dict: Literal[False] = False,
) -> str: ...
@overload
def landmark_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    unit: str = "px",
    scale: ArrayLike | None = None,
    normalizer: str | ArrayLike | None = None,
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    digits: int = 2,
    output_dict: Literal[True],
) -> dict[str, dict[str, float]]: ...
def landmark_report(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    *,
    unit: str = "px",
    scale: ArrayLike | None = None,
    normalizer: str | ArrayLike | None = None,
    schema: str | LandmarkSchema | None = None,
    boxes: ArrayLike | None = None,
    digits: int = 2,
    output_dict: bool = False,
) -> str | dict[str, dict[str, float]]:
    """Build a text report of the errors of each landmark.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks)
        In image pixels; NaN in `y_true` marks missing landmarks.
    unit : str, default="px"
        Name of the unit of the errors. Any other unit than pixels, such as "mm", requires
        `scale`. With `normalizer` it is "%".
    scale : float or array-like of shape (n_samples,), default=None
        Length of a pixel in `unit`, such as the scale that :func:`skwing.datasets.read_tps`
        returns. Samples whose scale is NaN are not included.
    normalizer : str, float or array-like of shape (n_samples,), default=None
        Normalising length, see :func:`normalizing_lengths`; errors are then in percent of it.
    schema : str or LandmarkSchema, default=None
        Names of the landmarks, and the points that define `normalizer`; readers return it as
        `schema`. None numbers the landmarks from 0, which a line below the table states.
    boxes : array-like of shape (n_samples, 4), default=None
        Boxes for ``normalizer="box"``.
    digits : int, default=2
        Number of decimals in the text.
    output_dict : bool, default=False
        Whether to return a dict instead of a text.

    Returns
    -------
    report : str or dict
        A row for each landmark and one for all of them, "all landmarks": the mean, the median
        and the 95th percentile of the distance between the predicted and the true landmark,
        its maximum, and the number of samples. The dict has the keys "mean", "median", "95 %",
        "max" and "n" for each row.

    Raises
    ------
    ValueError
        If both `scale` and `normalizer` are given, `unit` requires a scale or a scale requires
        a unit, a scale is not positive, no sample has a scale or a normalising length, or as
        for :func:`point_errors` and :func:`normalizing_lengths`.

    Warns
    -----
    DataWarning
        If the scale of some samples is NaN.

    Examples
    --------
    >>> from skwing.metrics import landmark_report
    >>> from skwing.schema import LandmarkSchema
    >>> wing = LandmarkSchema("wing", ("root", "tip"))
    >>> y_true = [[[0, 0], [50, 0]], [[0, 0], [60, 0]]]
    >>> y_pred = [[[0, 2], [53, 4]], [[0, 2], [60, 1]]]
    >>> print(landmark_report(y_true, y_pred, unit="mm", scale=0.1, schema=wing))
    error in mm       mean    median      95 %       max         n
    root              0.20      0.20      0.20      0.20         2
    tip               0.30      0.30      0.48      0.50         2
    all landmarks     0.25      0.20      0.45      0.50         4
    """
    digits = int(check_number(digits, "digits", 0, 15, integer=True))
    if scale is not None and normalizer is not None:
        raise ValueError("scale and normalizer exclude each other: pass one of them")
    errors, n_landmarks = point_errors(y_true, y_pred), as_points(y_true).shape[1]
    schema = check_schema(schema, n_landmarks)
    if normalizer is not None:
        lengths = normalizing_lengths(y_true, normalizer, schema=schema, boxes=boxes)
        if np.isnan(lengths).all():
            raise _none_measured(len(lengths), normalizer, boxes)
        errors, unit = 100 * errors / lengths[:, None], "%"
    else:
        errors = errors * scales_of(scale, unit, len(errors))[:, None]
    names = [str(i) for i in range(n_landmarks)] if schema is None else schema.landmark_names
    columns = [*zip(names, errors.T, strict=True), ("all landmarks", errors)]
    rows = {name: summary(values) for name, values in columns}
    if check_flag(output_dict, "output_dict"):
        return rows
    return report_text(rows, unit, digits, named=schema is not None)


def make_nme_scorer(
    normalizer: str | float = "auto", schema: str | LandmarkSchema | None = None
) -> Callable[[object, object, ArrayLike], float]:
    """Make a scorer for model selection: the negative NME, so that higher is better.

    Parameters
    ----------
    normalizer : str or float, default="auto"
        "auto" uses the same length as ``CascadeLandmarkRegressor.score`` and the displays:
        the inter-ocular distance if the schema defines it, else the size of the box around
        the true landmarks. Other values as for :func:`normalizing_lengths`. With "box", the
        boxes are taken from X: its `boxes`, or its columns x, y, width and height.
    schema : str or LandmarkSchema, default=None
        None uses, at each call, the schema of the estimator (for a pipeline or a search, of
        its last step), or else the schema of X.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)``, for the parameter ``scoring`` of scikit-learn. It can
        be pickled.

    Raises
    ------
    ValueError
        If `schema` is unknown or does not define the normaliser.
    TypeError
        If `normalizer` is neither a name nor a number. Arrays of lengths are not supported,
        because cross-validation does not split them.

    Examples
    --------
    >>> from skwing.metrics import make_nme_scorer
    >>> make_nme_scorer("inter_pupil", schema="ibug68")
    make_nme_scorer(normalizer='inter_pupil', schema='ibug68')
    """
    if not isinstance(normalizer, str | numbers.Real):
        raise TypeError(
            f"normalizer of a scorer must be a name or a number; got "
            f"{type(normalizer).__name__}. Cross-validation does not split arrays of lengths."
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
        boxes = _boxes_of_data(X) if self.normalizer == "box" else None
        return -nme(y, predicted, normalizer=self.normalizer, schema=schema, boxes=boxes)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a call of the public function."""
        return make_nme_scorer, (self.normalizer, self.schema)

    def __repr__(self) -> str:
        schema = None if self.schema is None else self.schema.name
        return f"make_nme_scorer(normalizer={self.normalizer!r}, schema={schema!r})"


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


def _boxes_of_data(X: Any) -> ArrayLike | None:
    columns = ["x", "y", "width", "height"]
    if hasattr(X, "columns"):
        return X[columns].to_numpy() if set(columns) <= set(X.columns) else None
    return getattr(X, "boxes", None)


def check_measurable(errors: Floats, what: str) -> Flags:
    """Mask of the errors that are not NaN; raise if there are none."""
    known = ~np.isnan(errors)
    if not known.any():
        raise ValueError(
            f"no error can be computed for the {what}: landmarks are missing, or the normalising "
            "length is undefined for every sample"
        )
    return known
