"""Validation of landmarks and conversion between both layouts, (n, L, 2) and (n, 2L)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from skwing.runtime import FARTHEST

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats


def as_points(y: ArrayLike, n_landmarks: int | None = None, name: str = "y") -> Floats:
    """Validate landmarks in either layout and convert them to an array of points.

    Parameters
    ----------
    y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        In image pixels; rows of the flat layout are x0, y0, x1, y1, ... NaN marks missing
        landmarks.
    n_landmarks : int, default=None
        Required number of landmarks; None accepts any.
    name : str, default="y"
        Name of the array in error messages.

    Returns
    -------
    points : ndarray of shape (n_samples, n_landmarks, 2), float64
        May share memory with `y`, so it must not be modified.

    Raises
    ------
    ValueError
        If the shape is invalid, the number of landmarks differs from `n_landmarks`, there
        are no samples, a coordinate is infinite or not a number, or a landmark has only one
        coordinate.

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
        hint = ""
        if array.ndim == 3 and array.shape[1] == 2:
            hint = f" Transpose it: {name}.transpose(0, 2, 1)."
        elif array.ndim > 1 and array.shape[-1] % 3 == 0:
            hint = (
                " Are there three numbers for each landmark? Drop the third, a visibility or a "
                "confidence, and mark missing landmarks with NaN."
            )
        raise ValueError(
            f"{name} has shape {array.shape}; expected (n_samples, n_landmarks, 2) or "
            f"(n_samples, 2 * n_landmarks).{hint}"
        )
    if points.shape[0] == 0 or points.shape[1] == 0:
        what = "landmark" if points.shape[0] else "sample"
        raise ValueError(f"{name} has shape {array.shape}: there is no {what} in it.")
    if n_landmarks is not None and points.shape[1] != n_landmarks:
        hint = one_sample_hint(array, n_landmarks)
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
    check_whole(points, name)
    return points


def one_sample_hint(y: ArrayLike | None, n_landmarks: int | None = None) -> str:
    """Sentence for errors about an array of shape (L, 2), which is L samples of one landmark.

    Parameters
    ----------
    y : array-like
        Valid for :func:`as_points`.
    n_landmarks : int, default=None
        Expected number of landmarks, if it is known.

    Returns
    -------
    hint : str
        Begins with a space; empty if `y` cannot be one sample that lacks its first axis.

    Examples
    --------
    >>> from skwing._utils.landmarks import one_sample_hint
    >>> one_sample_hint([[0, 0], [9, 0], [0, 9]])
    ' For one sample pass shape (1, 3, 2).'
    """
    shape = np.shape(y)
    fits = len(shape) == 2 and shape[1] == 2 and shape[0] > 1
    if not fits or n_landmarks not in (None, shape[0]):
        return ""
    return f" For one sample pass shape (1, {shape[0]}, 2)."


def check_whole(points: Floats, name: str = "y") -> None:
    """Check that landmarks have both coordinates or none.

    Parameters
    ----------
    points : ndarray of shape (..., n_landmarks, 2)
        NaN = missing.
    name : str, default="y"
        Name of the array in error messages.

    Raises
    ------
    ValueError
        If one coordinate of a landmark is NaN; the message names the sample.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._utils.landmarks import check_whole
    >>> check_whole(np.array([[[2.0, 3.0], [5.0, np.nan]]]))
    Traceback (most recent call last):
    ...
    ValueError: y has x and no y at sample 0, landmark 1: [5.0, nan]. Expected both, or NaN for ...
    """
    half = np.isnan(points[..., 0]) != np.isnan(points[..., 1])
    if half.any():
        *sample, landmark = place = tuple(np.argwhere(half)[0].tolist())
        known, lost = "yx" if np.isnan(points[place][0]) else "xy"
        at = f"sample {', '.join(map(str, sample))}, " if sample else ""
        raise ValueError(
            f"{name} has {known} and no {lost} at {at}landmark {landmark}: "
            f"{points[place].tolist()}. Expected both, or NaN for both if the landmark is missing."
        )


def numbered(landmarks: Iterable[int], n_most: int = 10) -> str:
    """Description of landmarks by index; of more than `n_most`, the first and their number.

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
    """Check that coordinates are not too large for an image.

    Parameters
    ----------
    points : ndarray of shape (n_samples, n_landmarks, 2)
        NaN = missing.
    name : str, default="y"
        Name of the array in error messages.

    Raises
    ------
    ValueError
        If a coordinate is so large that squares may overflow; the message names the sample.

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
    """Convert `y` to a float64 array, with an error that names the invalid sample."""
    if isinstance(y, np.ndarray) and y.dtype.kind == "c":
        raise ValueError(f"{name} holds complex numbers; expected real ones, x0, y0, x1, y1, ...")
    if hasattr(y, "columns"):
        _check_columns(y, name)
    try:
        return as_numbers(y)
    except (TypeError, ValueError) as error:
        if odd := _columns_of_text(y):
            told = f"{name} holds columns that are not numbers: {', '.join(map(repr, odd[:4]))}"
            raise ValueError(f"{told}. Pass only those of the landmarks.") from error
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


def _columns_of_text(y):
    """Names of the columns of a DataFrame that do not hold numbers."""
    odd = []
    for column in getattr(y, "columns", ()):
        try:
            as_numbers(y[column])
        except (TypeError, ValueError):
            odd.append(column)
    return odd


def named_numbers(values: Any, name: str) -> Floats:
    """Convert values by :func:`as_numbers`, with an error that names them."""
    try:
        return as_numbers(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{name} must hold numbers: {error}") from None


def as_numbers(values: Any) -> Floats:
    """Convert an array-like, a table with missing values, or any tensor to float64.

    Parameters
    ----------
    values : array-like, DataFrame, Series or tensor
        NA of pandas and masked values are converted to NaN. Tensors may require gradients, be on a
        GPU, or have the type bfloat16.

    Returns
    -------
    numbers : float64 array
        May share memory with `values`.

    Raises
    ------
    TypeError, ValueError
        If there are values that are not numbers.
    """
    if hasattr(values, "detach"):
        return values.detach().to("cpu").double().numpy()
    if hasattr(values, "to_numpy") and hasattr(values, "convert_dtypes"):  # pandas
        return values.to_numpy(dtype=np.float64, na_value=np.nan)
    if np.ma.isMaskedArray(values):  # np.asarray would ignore the mask
        return values.astype(np.float64).filled(np.nan)
    return np.asarray(values, dtype=np.float64)


_AXIS_LAST = re.compile(r"(?P<stem>.*?)[ _.:-]?(?P<axis>[xy])(?P<number>[ _.:-]?[0-9]*)", re.I)
_AXIS_FIRST = re.compile(r"(?P<axis>[xy])[ _.:-](?P<stem>.+?)(?P<number>[0-9]*)", re.I)


def _check_columns(y, name):
    """Check that columns alternate between x and y, if their names contain the axis."""
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
    """Whether landmarks have the layout (n_samples, 2 * n_landmarks).

    Examples
    --------
    >>> from skwing._utils.landmarks import is_flat
    >>> is_flat([[1, 2, 3, 4]]), is_flat([[[1, 2], [3, 4]]])
    (True, False)
    """
    return (y.ndim if hasattr(y, "ndim") else np.ndim(y)) == 2


def as_layout(points: Floats, flat: bool) -> Floats:
    """Convert points to a layout; the inverse of :func:`as_points`.

    Parameters
    ----------
    points : ndarray of shape (..., n_landmarks, 2)
        In image pixels.
    flat : bool
        Whether to flatten the last two axes to x0, y0, x1, y1, ...

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
