"""Lengths that errors are divided by."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.boxes import check_boxes
from skwing._utils.checks import told
from skwing._utils.landmarks import as_numbers, as_points, one_sample_hint
from skwing._utils.warnings import warn_of_data
from skwing.geometry import boxes_of
from skwing.schema import SCHEMAS, check_schema

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats
    from skwing.schema import LandmarkSchema


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
        In image pixels; NaN marks missing landmarks. An array of shape (k, 2) is k samples of one
        landmark, so one sample needs shape (1, n_landmarks, 2).
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

    Warns
    -----
    DataWarning
        If `normalizer` is "auto" for an array of shape (k, 2) without a schema, which may be
        meant as one sample of k landmarks.

    Examples
    --------
    >>> from skwing.metrics import normalizing_lengths
    >>> normalizing_lengths([[0, 0, 1, 1]], "box", boxes=[[10, 10, 40, 90]])
    array([60.])
    """
    true, schema = as_points(y_true, name="y_true"), check_schema(schema)
    hint = one_sample_hint(y_true)
    if hint and schema is not None and schema.n_landmarks == len(true):
        as_points(y_true, schema.n_landmarks, "y_true")  # raises an error with the hint
    schema = check_schema(schema, true.shape[1])
    if hint and schema is None and isinstance(normalizer, str) and normalizer == "auto":
        warn_of_data(
            f"y_true of shape {(len(true), 2)} is read as {len(true)} samples of one landmark, "
            f"with errors in pixels.{hint} If there is one landmark, pass shape "
            f"({len(true)}, 1, 2) or normalizer=1.0."
        )
    if not isinstance(normalizer, str):
        lengths = _given_lengths(normalizer, len(true), hint)
    elif normalizer == "box":
        lengths = _box_lengths(boxes, len(true), hint)
    elif normalizer == "auto" and not has_inter_ocular(schema, true.shape[1]):
        lengths = _box_lengths(_landmark_boxes(true), len(true))
    else:
        normalizer = "inter_ocular" if normalizer == "auto" else normalizer
        left, right = normalizing_groups(normalizer, schema, true.shape[1])
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


def _given_lengths(lengths: ArrayLike, n_samples: int, hint: str = "") -> Floats:
    try:
        if lengths is None or isinstance(lengths, bool | np.bool_):
            raise TypeError
        lengths = as_numbers(lengths)
    except (TypeError, ValueError, OverflowError):
        raise ValueError(
            f"normalizer must be a name, a length or one length per sample, got {told(lengths)}"
        ) from None
    if lengths.ndim == 0:
        return np.full(n_samples, lengths)
    if lengths.shape != (n_samples,):
        raise ValueError(
            f"normalizer has shape {lengths.shape}; expected one length per sample, "
            f"({n_samples},).{hint}"
        )
    return lengths


def _box_lengths(boxes: ArrayLike | None, n_samples: int, hint: str = "") -> Floats:
    if boxes is None:
        raise ValueError(
            "normalizer='box' needs boxes of shape (n_samples, 4); for the boxes around the "
            "true landmarks pass boxes=skwing.geometry.boxes_of(y_true)."
        )
    if hint and np.shape(boxes) == (1, 4):
        raise ValueError(f"There is one box for {n_samples} samples of y_true.{hint}")
    sides = check_boxes(boxes, n_samples)[:, 2:]
    return np.sqrt(sides[:, 0] * sides[:, 1])


def normalizing_groups(
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


def none_measured(
    n_samples: int, normalizer: str | ArrayLike, boxes: ArrayLike | None
) -> ValueError:
    by_box = isinstance(normalizer, str) and normalizer == "box"
    hint = ""
    if by_box and np.isnan(as_numbers(boxes)).any(-1).all():
        hint = (
            " There are no boxes, all are NaN: pass boxes=skwing.geometry.boxes_of(y_true), or "
            "leave normalizer out."
        )
    return ValueError(
        f"None of the {n_samples} samples has both a known landmark and a normalising "
        f"length (normalizer={_short(normalizer)}).{hint}"
    )
