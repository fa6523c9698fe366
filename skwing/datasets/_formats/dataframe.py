"""Reader of DataFrames with images and landmarks, with one row per sample."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing.datasets._checks import without_missing
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.columns import Columns, find_columns
from skwing.datasets._formats.names import (
    check_box_rows,
    check_points,
    schema_of,
)
from skwing.datasets._formats.pixels import is_pixels, read_pixels
from skwing.datasets._formats.table import Table
from skwing.datasets._formats.visibility import hidden_rows
from skwing.datasets._paths import finder_in
from skwing.images import BoxedImages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath, Floats
    from skwing._utils.types import Table as TableLike
    from skwing.datasets._dataset import Dataset
    from skwing.images import BoxedImages
    from skwing.schema import LandmarkSchema

_DESCR = """{n_samples} images with {n_landmarks} landmarks each, from a table

data: the images, decoded when needed.
target: landmarks in image pixels counted from 0, an array of shape (n, n_landmarks, 2).
"""


@dataclass
class WideTable:
    """Content of a table with one row per sample; `images` is None if `names` are paths."""

    table: Table
    columns: Columns
    points: np.ndarray
    boxes: np.ndarray | None
    names: list
    images: np.ndarray | list | None

    @classmethod
    def of(cls, table, columns, labels):
        """Read the columns; `labels` are the names of samples without paths."""
        points = table.numbers(columns.points).reshape(len(table), -1, 2)
        for k, column in enumerate(columns.visible):
            if column is not None:
                points[hidden_rows(table, column), k] = np.nan
        check_points(points, columns.names, table.where)
        boxes = columns.boxes and check_box_rows(table.numbers(columns.boxes), table.where)
        first, images, names = table.values(columns.image)[0], None, list(map(str, labels))
        if is_pixels(first):
            images = read_pixels(table, columns.image)
        elif isinstance(first, np.ndarray):
            images = table.values(columns.image).tolist()
        else:
            names = table.image_names(columns.image)
        return cls(table, columns, points, boxes, names, images)

    def check_one_row_each(self, where):
        """Reject tables with one point per row and several rows for the same image.

        Some programs write lists of points in this layout, without naming the landmarks. Reading
        each point as a sample would be silently wrong.
        """
        is_list = self.columns.names == ("",) and self.columns.boxes is None and self.images is None
        if not is_list or len(set(self.names)) == len(self.names):
            return
        x, y = (self.table.names[i] for i in self.columns.points)
        ((image, _),) = Counter(self.names).most_common(1)
        raise ValueError(
            f"{where}: found several rows of one image, {image!r:.60}, with one point each ({x}, "
            f"{y}) and no column that names the landmark. Add a column 'landmark', or pass "
            f"landmarks=[({x!r}, {y!r})] to read each row as a separate sample."
        )

    def further(self, convert=np.asarray):
        """All other columns by their names."""
        return {self.table.names[i]: convert(self.table.values(i)) for i in self.columns.rest}

    def sources(self, find):
        """Images, or their paths converted by `find`; None keeps the paths."""
        if self.images is not None or find is None:
            return self.names if self.images is None else self.images
        return [find(name, self.table.where(row)) for row, name in enumerate(self.names)]


def table_bunch(
    where,
    sources,
    names,
    marks,
    points,
    *,
    boxes,
    further,
    schema,
    missing,
    groups,
    return_X_y,
    unread=None,
):
    """Create the result of a reader of tables, with further columns as attributes.

    If the name of a column exists already, ``_`` is appended.
    """
    schema, order = schema_of(marks, schema, where)
    data = BoxedImages(sources, boxes=boxes, schema=schema)
    answer = as_bunch(
        data,
        without_missing(points, missing)[:, order],
        names=names,
        descr=_DESCR.format(n_samples=len(names), n_landmarks=len(order)),
        groups=names if groups is None and data.paths is None else groups,
        return_X_y=return_X_y,
        **({} if unread is None else {"unread": unread}),
    )
    if not return_X_y:
        for name, values in further.items():
            while name in answer:
                name += "_"
            answer[name] = values
    return answer


def _flat_names(columns):
    """Names of the columns; of multi-level names, as in DeepLabCut, the last two levels."""
    return [
        "_".join(str(part) for part in name[-2:]) if isinstance(name, tuple) else str(name).strip()
        for name in columns
    ]


def _table_of(df):
    """Columns of a DataFrame, pandas' or polars', and labels of its rows."""
    if not hasattr(df, "columns") or not hasattr(df, "__getitem__"):
        raise TypeError(f"df is of type {type(df).__name__}, expected a pandas DataFrame.")
    if not len(df):
        raise ValueError("the DataFrame has no rows.")
    names, labels = _flat_names(df.columns), getattr(df, "index", range(len(df)))
    by_place = hasattr(df, "iloc")  # pandas, which permits duplicate names
    columns = [df.iloc[:, i] if by_place else df[key] for i, key in enumerate(df.columns)]
    index = np.asarray(labels)
    if index.dtype.kind in "OUT" and isinstance(index[0], str):
        # If the index contains images, it is a further column, used if no other column is the path.
        names.append("")
        columns.append(index)
    return Table(names, columns, lambda row: f"row {labels[row]!r}"), labels


def _groups_of(table, groups):
    if not isinstance(groups, str):
        groups = None if groups is None else np.asarray(groups)
        if groups is not None and groups.shape != (len(table),):
            raise ValueError(f"groups have shape {groups.shape}, expected ({len(table)},).")
        return groups
    if groups not in table.names:
        raise ValueError(f"there is no column {groups!r} for the groups; found {table.names}.")
    return table.values(table.names.index(groups))


@overload
def from_dataframe(
    df: TableLike,
    *,
    path: str | None = None,
    landmarks: Sequence[str | tuple[str, str]] | None = None,
    boxes: Sequence[str] | None = None,
    images: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    groups: str | ArrayLike | None = None,
    missing: ArrayLike | None = None,
    return_X_y: Literal[False] = False,
) -> Dataset: ...


@overload
def from_dataframe(
    df: TableLike,
    *,
    path: str | None = None,
    landmarks: Sequence[str | tuple[str, str]] | None = None,
    boxes: Sequence[str] | None = None,
    images: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    groups: str | ArrayLike | None = None,
    missing: ArrayLike | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def from_dataframe(
    df: TableLike,
    *,
    path: str | None = None,
    landmarks: Sequence[str | tuple[str, str]] | None = None,
    boxes: Sequence[str] | None = None,
    images: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    groups: str | ArrayLike | None = None,
    missing: ArrayLike | None = None,
    return_X_y: bool = False,
) -> Dataset | tuple[BoxedImages, Floats]:
    """Read images, boxes and landmarks from a DataFrame with one row per sample.

    Columns are detected by their names. Landmarks are pairs of columns whose names differ
    only in x and y: ``nose_x, nose_y``, ``nose.x``, ``noseX``, ``x_nose``, ``x0, y0``,
    ``lm_x_0``; or, if names are only numbers, alternating columns of x and y. Numbered
    landmarks are sorted by number, others have the order of the columns. If there is a column of
    the visibility, such as ``nose_v``, ``nose_visible`` or ``v0``, landmarks with 0 are missing.

    Parameters
    ----------
    df : pandas.DataFrame of n rows
        Or a DataFrame of polars.
    path : str, default=None
        Column of the images: paths, arrays, or the grey levels of square images as text.
        None uses ``path``, ``image``, ``file`` or ``filename`` in upper or lower case, else
        the only column with text or with names of image files, which may be the index.
    landmarks : sequence of str or of (str, str), default=None
        Landmarks to read, in this order: names such as ``"nose"``, or the names of the
        columns of x and y. None reads all; ``()`` reads a table without landmarks.
    boxes : sequence of 4 str, default=None
        Columns of x, y, width and height of the boxes, in pixels. None uses columns with
        these names (also ``w``, ``h`` and prefixes such as ``bbox_``), if any; ``()`` means
        no boxes. Missing boxes have four empty cells.
    images : str or os.PathLike, default=None
        Folder that the paths are relative to. None does not change the paths.
    schema : str or LandmarkSchema, default=None
        None creates a schema if the names of the landmarks are not only numbers. If the
        names are those of the schema, landmarks are brought into its order.
    groups : str or array-like of shape (n,), default=None
        Column with the group of each sample, such as a person; None uses the path of the
        image.
    missing : (float, float), default=None
        Coordinates that mark missing landmarks, such as ``(0, 0)``.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    table : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Images, with their boxes if the table has any.
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels counted from 0, float64. NaN if cells are empty or the visibility is 0.
        schema : LandmarkSchema or None
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Group of each sample.
        names : ndarray of str of shape (n,)
            Paths as in `df`, or labels of the rows for images in memory.
        DESCR : str
            Description of the data.

        and all other columns by their names.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    TypeError
        If `df` is not a DataFrame.
    ValueError
        If a column is missing or ambiguous, or a cell is invalid; the message names row and
        column. Landmarks with only one coordinate are errors.

    Examples
    --------
    >>> import pandas as pd
    >>> from skwing.datasets import from_dataframe
    >>> df = pd.DataFrame({"path": ["a.jpg"], "nose_x": [12.5], "nose_y": [7.0]})
    >>> from_dataframe(df).target
    array([[[12.5,  7. ]]])
    """
    table, labels = _table_of(df)
    where = "the DataFrame"
    columns = find_columns(
        table.names, table.sample(), where, image=path, landmarks=landmarks, boxes=boxes
    )
    wide = WideTable.of(table, columns, labels)
    if landmarks is None:
        wide.check_one_row_each(where)
    return table_bunch(
        where,
        wide.sources(None if images is None else finder_in(images)),
        wide.names,
        columns.names,
        wide.points,
        boxes=wide.boxes,
        further=wide.further(),
        schema=schema,
        missing=missing,
        groups=_groups_of(table, groups),
        return_X_y=return_X_y,
    )
