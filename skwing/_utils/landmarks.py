"""The two layouts of landmarks, (n, L, 2) and (n, 2L), known here and nowhere else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats

__all__ = [
    "FARTHEST",
    "as_layout",
    "as_points",
    "check_reach",
    "is_flat",
    "numbered",
    "whole_points",
]

FARTHEST = 1e9  # pixels from 0; no image reaches there


def as_points(
    y: ArrayLike, n_landmarks: int | None = None, name: str = "y", *, halves: bool = False
) -> Floats:
    """Landmarks in either layout as an array of points, checked.

    Parameters
    ----------
    y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        In image pixels; a row of the flat layout reads x0, y0, x1, y1, ... NaN marks what
        is missing, and a landmark that lacks one coordinate is missing.
    n_landmarks : int, default=None
        The number of landmarks to insist on; None accepts any.
    name : str, default="y"
        What the error messages call the array.
    halves : bool, default=False
        Whether to keep the coordinate of a landmark that lacks the other, as what writes
        files does.

    Returns
    -------
    points : ndarray of shape (n_samples, n_landmarks, 2), float64
        May share memory with `y`: do not write to it.

    Raises
    ------
    ValueError
        If the shape is neither layout, the count differs from `n_landmarks`, there is no
        sample, or a coordinate is infinite or not a number at all.

    Examples
    --------
    >>> from skwing._utils.landmarks import as_points
    >>> as_points([[1, 2, 3, 4]])
    array([[[1., 2.],
            [3., 4.]]])
    """
    array = _as_float(y, name)
    if array.ndim == 3 and array.shape[2] == 2:
        points = array
    elif array.ndim == 2 and array.shape[1] % 2 == 0:
        points = array.reshape(len(array), array.shape[1] // 2, 2)
    else:
        thirds = array.ndim > 1 and array.shape[-1] % 3 == 0
        hint = (
            " Are there three numbers for each landmark? Leave out the third, a visibility or "
            "a confidence, with NaN for what is missing."
        )
        raise ValueError(
            f"{name} has shape {array.shape}; expected (n_samples, n_landmarks, 2) or "
            f"(n_samples, 2 * n_landmarks).{hint if thirds else ''}"
        )
    if points.shape[0] == 0 or points.shape[1] == 0:
        what = "landmark" if points.shape[0] else "sample"
        raise ValueError(f"{name} has shape {array.shape}: there is no {what} in it.")
    if n_landmarks is not None and points.shape[1] != n_landmarks:
        one_sample = array.shape == (n_landmarks, 2)
        hint = f" For one sample pass shape (1, {n_landmarks}, 2)." if one_sample else ""
        raise ValueError(
            f"{name} has {points.shape[1]} landmarks per sample (shape {array.shape}); "
            f"expected {n_landmarks}.{hint}"
        )
    infinite = np.isinf(points)
    if infinite.any():
        sample, landmark, _ = np.argwhere(infinite)[0]
        raise ValueError(
            f"{name} is infinite at sample {sample}, landmark {landmark}: "
            f"{points[sample, landmark].tolist()}. Mark missing landmarks with NaN."
        )
    return points if halves else whole_points(points)


def whole_points(points: Floats) -> Floats:
    """Points of which none is known by one coordinate only: such a point is missing."""
    half = np.isnan(points[..., 0]) != np.isnan(points[..., 1])
    return np.where(half[..., None], np.nan, points) if half.any() else points


def numbered(landmarks: Iterable[int], n_most: int = 10) -> str:
    """Words for landmarks by their numbers; of more than `n_most` the first and how many.

    Examples
    --------
    >>> from skwing._utils.landmarks import numbered
    >>> numbered([3, 5])
    'landmarks [3, 5]'
    >>> numbered(range(68), n_most=2)
    '68 landmarks, [0, 1, ...],'
    """
    landmarks = [int(i) for i in landmarks]
    if len(landmarks) <= n_most:
        return f"landmarks {landmarks}"
    first = ", ".join(map(str, landmarks[:n_most]))
    return f"{len(landmarks)} landmarks, [{first}, ...],"


def check_reach(points: Floats, name: str = "y") -> None:
    """Check that points may be those of an image.

    Parameters
    ----------
    points : ndarray of shape (n_samples, n_landmarks, 2)
        NaN = missing.
    name : str, default="y"
        What the error message calls the array.

    Raises
    ------
    ValueError
        If a coordinate is beyond any image, where its squares may overflow; names the sample.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._utils.landmarks import check_reach
    >>> check_reach(np.array([[[1e30, 5.0]]]))
    Traceback (most recent call last):
    ...
    ValueError: y is [1e+30, 5.0] at sample 0, landmark 0: expected image pixels, at most ...
    """
    beyond = np.abs(points) > FARTHEST
    if beyond.any():
        sample, landmark, _ = np.argwhere(beyond)[0]
        raise ValueError(
            f"{name} is {points[sample, landmark].tolist()} at sample {sample}, landmark "
            f"{landmark}: expected image pixels, at most {FARTHEST:g} from 0"
        )


def _as_float(y, name):
    """`y` as a float64 array; what cannot become one is blamed on a sample."""
    if isinstance(y, np.ndarray) and y.dtype.kind == "c":
        raise ValueError(f"{name} holds complex numbers; expected real ones, x0, y0, x1, y1, ...")
    if np.ma.isMaskedArray(y):  # np.asarray would bring the masked values back
        y = y.astype(np.float64).filled(np.nan)
    if hasattr(y, "columns"):
        _check_columns(y, name)
    try:
        return as_numbers(y)
    except (TypeError, ValueError) as error:
        shape = None
        for i, row in enumerate(y if np.iterable(y) else ()):
            try:
                row_shape = np.asarray(row, dtype=np.float64).shape
            except (TypeError, ValueError):
                raise ValueError(f"{name}, sample {i}: not numbers: {row!r}.") from error
            shape = row_shape if shape is None else shape
            if row_shape != shape:
                raise ValueError(
                    f"{name}, sample {i} has shape {row_shape}, sample 0 has {shape}; every "
                    f"sample needs the same landmarks, with NaN for the missing ones."
                ) from error
        raise ValueError(f"{name} cannot be read as an array of numbers: {error}") from error


def as_numbers(values: Any) -> Floats:
    """float64 array of an array-like, of a table with missing values, or of any tensor.

    Parameters
    ----------
    values : array-like, DataFrame, Series or tensor
        pandas' NA becomes NaN; a tensor may require a gradient, lie on a GPU, or be of
        bfloat16.

    Returns
    -------
    numbers : float64 array
        May share memory with `values`.

    Raises
    ------
    TypeError, ValueError
        If there are other things than numbers.
    """
    if hasattr(values, "detach"):
        return values.detach().to("cpu").double().numpy()
    if hasattr(values, "to_numpy") and hasattr(values, "convert_dtypes"):  # of pandas
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(values, dtype=np.float64)


_AXIS_LAST = re.compile(r"(?P<stem>.*?)[ _.:-]?(?P<axis>[xy])(?P<number>[ _.:-]?[0-9]*)", re.I)
_AXIS_FIRST = re.compile(r"(?P<axis>[xy])[ _.:-](?P<stem>.+?)(?P<number>[0-9]*)", re.I)


def _check_columns(y, name):
    """Check that the columns of a table, where their names tell of x and y, have them in turn."""
    columns = [str(part) for part in y.columns]
    if any(isinstance(part, tuple) for part in y.columns):
        columns = ["_".join(map(str, part)) for part in y.columns]
    parts = [_AXIS_LAST.fullmatch(c) or _AXIS_FIRST.fullmatch(c) for c in columns]
    if not all(parts):
        return
    axes = [part["axis"].lower() for part in parts]
    stems = [(part["stem"], part["number"]) for part in parts]
    if sorted(axes) != ["x"] * (len(axes) // 2) + ["y"] * (len(axes) // 2):
        return
    in_turn = axes[::2] == ["x"] * (len(axes) // 2) and stems[::2] == stems[1::2]
    if not in_turn and all(stems.count(stem) == 2 for stem in stems):
        place = {(stem, axis): i for i, (stem, axis) in enumerate(zip(stems, axes, strict=True))}
        order = [place[stem, axis] for stem in dict.fromkeys(stems) for axis in "xy"]
        shown = ", ".join(repr(columns[i]) for i in order[:4])
        raise ValueError(
            f"{name} has the columns {', '.join(map(repr, columns[:4]))}, ..., and columns are "
            "read as x0, y0, x1, y1, ...: expected x and y of each landmark in turn, as in "
            f"{name}[[{shown}, ...]]."
        )


def is_flat(y: ArrayLike) -> bool:
    """Whether landmarks come as (n_samples, 2 * n_landmarks) rather than as points.

    Examples
    --------
    >>> from skwing._utils.landmarks import is_flat
    >>> is_flat([[1, 2, 3, 4]]), is_flat([[[1, 2], [3, 4]]])
    (True, False)
    """
    return (y.ndim if hasattr(y, "ndim") else np.ndim(y)) == 2


def as_layout(points: Floats, flat: bool) -> Floats:
    """Points in the layout a caller wants: the inverse of :func:`as_points`.

    Parameters
    ----------
    points : ndarray of shape (..., n_landmarks, 2)
        In image pixels.
    flat : bool
        True joins the last two axes to x0, y0, x1, y1, ...

    Returns
    -------
    y : ndarray of shape (..., n_landmarks, 2) or (..., 2 * n_landmarks)

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._utils.landmarks import as_layout
    >>> as_layout(np.array([[[1.0, 2.0], [3.0, 4.0]]]), flat=True)
    array([[1., 2., 3., 4.]])
    """
    if not flat:
        return points
    return points.reshape(*points.shape[:-2], 2 * points.shape[-2])
