"""Images and landmarks from a pandas DataFrame of one row per sample."""

import os

import numpy as np

from skwing.datasets._common import as_bunch, as_number, inside, without_missing
from skwing.datasets._formats.columns import (
    check_box_rows,
    check_one_row_each,
    check_points,
    find_columns,
    schema_of,
)
from skwing.datasets._formats.pixels import Pixels, is_pixels
from skwing.datasets._formats.rows import is_missing
from skwing.images import BoxedImages

__all__ = ["add_columns", "describe_table", "from_dataframe"]

_DESCR = """{n_samples} images with {n_landmarks} landmarks each, from a table

data: the images, decoded when needed.
target: landmarks in image pixels counted from 0, an array of shape (n, n_landmarks, 2).
"""


def describe_table(n_samples, n_landmarks):
    """Text for DESCR."""
    return _DESCR.format(n_samples=n_samples, n_landmarks=n_landmarks)


def add_columns(bunch, columns):
    """Keep further columns as attributes; one whose name is taken gets a `_` at its end."""
    for name, values in columns.items():
        while name in bunch:
            name += "_"
        bunch[name] = values
    return bunch


def _flat_names(columns):
    """Names of the columns; those of several levels, as DeepLabCut's, by the last two."""
    return [
        "_".join(str(part) for part in name[-2:]) if isinstance(name, tuple) else str(name).strip()
        for name in columns
    ]


class _Frame:
    """What is needed of a DataFrame, pandas' or polars': columns as arrays, labels of rows."""

    def __init__(self, df):
        if not hasattr(df, "columns") or not hasattr(df, "__getitem__"):
            raise TypeError(f"df is of type {type(df).__name__}, expected a pandas DataFrame.")
        if not len(df):
            raise ValueError("the DataFrame has no rows.")
        self.names = _flat_names(df.columns)
        self.labels = getattr(df, "index", range(len(df)))
        is_pandas = hasattr(df, "iloc")  # by place, as names may come twice
        keys = range(len(self.names)) if is_pandas else list(df.columns)
        self._columns = [df.iloc[:, key] if is_pandas else df[key] for key in keys]
        index = np.asarray(self.labels)
        if index.dtype.kind in "OUT" and all(isinstance(label, str) for label in index[:1]):
            # Rows labelled by image: one more column, taken if no other is the path.
            self.names.append("")
            self._columns.append(self.labels)

    def values(self, i):
        return np.asarray(self._columns[i])

    def sample(self):
        return [np.asarray(column[:1])[0] for column in self._columns]

    def where(self, row):
        return f"row {self.labels[row]!r}"

    def numbers(self, places):
        """Numbers of some columns, an array of shape (n_rows, n_columns)."""
        columns = [self._column_of_numbers(i) for i in places]
        return np.stack(columns, axis=1) if columns else np.empty((len(self.labels), 0))

    def _column_of_numbers(self, i):
        values = self.values(i)
        if values.dtype.kind in "iuf":
            numbers = values.astype(np.float64)
        else:
            numbers = np.array(
                [_as_float(value, self, row, i) for row, value in enumerate(values.tolist())]
            )
        if np.isinf(numbers).any():
            row = int(np.flatnonzero(np.isinf(numbers))[0])
            raise ValueError(
                f"{self.where(row)}, column {self.names[i]!r}: found {numbers[row]}, expected a "
                "finite number."
            )
        return numbers


def _as_float(value, frame, row, column):
    # The texts of None, NaN, pandas' NA and NaT all say that there is none.
    if value is None or is_missing(str(value)):
        return np.nan
    return as_number(value, f"{frame.where(row)}, column {frame.names[column]!r}")


def _images_of(frame, column, folder):
    """Paths, pixels or image arrays of a column, and the names of the samples."""
    values = frame.values(column).tolist()
    numbers = [str(label) for label in frame.labels]
    if is_pixels(values[0]):
        pixels = Pixels()
        for row, value in enumerate(values):
            pixels.add(str(value), f"{frame.where(row)}, column {frame.names[column]!r}")
        return pixels.finish(), numbers
    if isinstance(values[0], np.ndarray):
        return values, numbers
    names = [_path(value, frame, row, column) for row, value in enumerate(values)]
    if folder is None:
        return names, names
    return [inside(folder, name, frame.where(row)) for row, name in enumerate(names)], names


def _path(value, frame, row, column):
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(
            f"{frame.where(row)}, column {frame.names[column]!r}: found {value!r:.60}, expected "
            "the path of an image."
        )
    return value


def _groups_of(frame, groups, n_samples):
    if groups is None:
        return None
    if not isinstance(groups, str):
        groups = np.asarray(groups)
        if groups.shape != (n_samples,):
            raise ValueError(f"groups have shape {groups.shape}, expected ({n_samples},).")
        return groups
    if groups not in frame.names:
        raise ValueError(f"there is no column {groups!r} for the groups; found {frame.names}.")
    return frame.values(frame.names.index(groups))


def from_dataframe(
    df,
    *,
    path=None,
    landmarks=None,
    boxes=None,
    images=None,
    schema=None,
    groups=None,
    missing=None,
    return_X_y=False,
):
    """Images, boxes and landmarks from a DataFrame of one row per sample.

    Columns are told apart by their names. Landmarks are pairs of columns that differ by x
    and y only: ``nose_x, nose_y``, ``nose.x``, ``noseX``, ``x_nose``, ``x0, y0``,
    ``lm_x_0``; or, where names are mere numbers, x and y in turn. Numbered landmarks are
    sorted by number, others keep the order of the columns.

    Parameters
    ----------
    df : pandas.DataFrame of n rows
        Or one of polars.
    path : str, default=None
        Column of the images: paths, arrays, or the grey levels of square images as text.
        None takes ``path``, ``image``, ``file`` or ``filename`` in any case, else the only
        column of texts or of names of image files, which may be the index.
    landmarks : sequence of str or of (str, str), default=None
        Which landmarks, in which order: each by its name, as ``"nose"``, or by the names
        of its columns of x and y. None takes all; ``()`` reads a table without.
    boxes : sequence of 4 str, default=None
        Columns of the boxes' x, y, width and height in pixels. None takes columns of these
        names (``w``, ``h`` and prefixes such as ``bbox_`` will do) if there are any; ``()``
        takes none. Empty cells, all four, are for no box.
    images : str or os.PathLike, default=None
        Folder that the paths are relative to. None leaves the paths as they are.
    schema : str or LandmarkSchema, default=None
        None makes one of the landmarks' names if they are more than numbers. Landmarks of
        the same names as the schema's are brought into its order.
    groups : str or array-like of shape (n,), default=None
        Column that tells which samples belong together, such as a person; None takes the
        path of the image.
    missing : (float, float), default=None
        Coordinates that stand for a missing landmark, such as ``(0, 0)``.
    return_X_y : bool, default=False
        Return only ``(data, target)``.

    Returns
    -------
    table : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels counted from 0, float64. NaN where cells are empty.
        schema : LandmarkSchema or None
        groups : ndarray of str of shape (n,)
        names : ndarray of str of shape (n,)
            The paths as in `df`; labels of the rows for images in memory.
        DESCR : str

        and each other column by its name.
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    TypeError
        If `df` is no DataFrame.
    ValueError
        If a column is not found or may be one of several, or a cell is wrong: names the row
        and column. A landmark with only one coordinate is an error.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwing.datasets import from_dataframe
    >>> df = pd.DataFrame({"path": ["a.jpg"], "nose_x": [12.5], "nose_y": [7.0]})
    >>> from_dataframe(df).target
    array([[[12.5,  7. ]]])
    """
    frame = _Frame(df)
    columns = find_columns(
        frame.names, frame.sample(), "the DataFrame", image=path, landmarks=landmarks, boxes=boxes
    )
    schema, order = schema_of(columns.names, schema, "the DataFrame")
    points = frame.numbers(columns.points).reshape(len(df), -1, 2)
    points = without_missing(check_points(points, columns.names, frame.where), missing)
    rows = columns.boxes and check_box_rows(frame.numbers(columns.boxes), frame.where)
    sources, names = _images_of(frame, columns.image, images)
    data = BoxedImages(sources, boxes=rows, schema=schema)
    if landmarks is None and data.paths is not None:
        check_one_row_each(columns, frame.names, names, "the DataFrame")
    if groups is None and data.paths is None:
        groups = names
    answer = as_bunch(
        data,
        points[:, order],
        names=names,
        descr=describe_table(len(df), len(order)),
        groups=_groups_of(frame, groups, len(df)),
        return_X_y=return_X_y,
    )
    if return_X_y:
        return answer
    return add_columns(answer, {frame.names[i]: frame.values(i) for i in columns.rest})
