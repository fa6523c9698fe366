"""Report of the errors of each landmark."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_flag, check_number
from skwing._utils.landmarks import as_points, named_numbers
from skwing._utils.warnings import warn_of_data
from skwing.metrics._errors import point_errors
from skwing.metrics._lengths import none_measured, normalizing_lengths
from skwing.schema import check_schema

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats
    from skwing.schema import LandmarkSchema

PIXELS = ("px", "pixel", "pixels")  # names of the unit that needs no scale
_COLUMNS = ("mean", "median", "95 %", "max", "n")


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
            raise none_measured(len(lengths), normalizer, boxes)
        errors, unit = 100 * errors / lengths[:, None], "%"
    else:
        errors = errors * _scales_of(scale, unit, len(errors))[:, None]
    names = [str(i) for i in range(n_landmarks)] if schema is None else schema.landmark_names
    columns = [*zip(names, errors.T, strict=True), ("all landmarks", errors)]
    rows = {name: _summary(values) for name, values in columns}
    if check_flag(output_dict, "output_dict"):
        return rows
    return _report_text(rows, unit, digits, named=schema is not None)


def _summary(errors: Floats) -> dict[str, float]:
    """Statistics of the errors that are not NaN; NaN without any."""
    known = errors[~np.isnan(errors)]
    if not len(known):
        return dict.fromkeys(_COLUMNS, np.nan) | {"n": 0}
    return {
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "95 %": float(np.quantile(known, 0.95)),
        "max": float(known.max()),
        "n": len(known),
    }


def _scales_of(scale: ArrayLike | None, unit: str, n_samples: int) -> Floats:
    """Length of a pixel of each sample in `unit`; 1 for errors in pixels."""
    if scale is None:
        if unit not in PIXELS:
            raise ValueError(f"unit={unit!r} needs scale= ({unit} per pixel)")
        return np.ones(n_samples)
    if unit in PIXELS:
        raise ValueError(
            f"scale= needs the unit of a scaled error, such as unit='mm'; got {unit!r}"
        )
    scales = named_numbers(scale, "scale")
    if scales.shape not in ((), (n_samples,)):
        raise ValueError(f"scale has shape {scales.shape}; expected one number or ({n_samples},).")
    if (scales <= 0).any() or np.isinf(scales).any():
        raise ValueError("scale must be finite and positive; NaN where it is unknown.")
    scales = np.broadcast_to(scales, n_samples)
    n_unknown = int(np.isnan(scales).sum())
    message = f"scale is NaN for {n_unknown} of {n_samples} samples"
    if n_unknown == n_samples:
        raise ValueError(
            f"{message}: it is not known, as without SCALE= in a TPS file; pass {unit} per pixel"
        )
    if n_unknown:
        warn_of_data(f"{message}: they are not included in the report")
    return scales


def _report_text(rows: dict[str, dict[str, float]], unit: str, digits: int, *, named: bool) -> str:
    """Table of the statistics of each landmark.

    Parameters
    ----------
    rows : dict
        Statistics as of `_summary`, by the name or number of the landmark.
    unit : str
    digits : int
        Number of decimals.
    named : bool
        Whether landmarks have names; otherwise, a last line states how they are numbered.
    """
    width = max(map(len, [*rows, f"error in {unit}"]))
    lines = [f"{f'error in {unit}':{width}}" + "".join(f"{k:>10}" for k in _COLUMNS)]
    for name, row in rows.items():
        numbers_ = "".join(f"{value:10.{digits}f}" for key, value in row.items() if key != "n")
        lines.append(f"{name:{width}}{numbers_}{row['n']:10.0f}")
    if not named:
        lines.append("Landmarks are numbered from 0; schema= gives their names.")
    return "\n".join(lines)
