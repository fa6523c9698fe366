"""Reader of CSV files with images and landmarks, in wide or long layout."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, overload

from skwing._utils.box_columns import BOX_COLUMNS
from skwing._utils.checks import check_choice
from skwing.datasets._formats.columns import find_columns
from skwing.datasets._formats.csv_long import long_columns, read_long
from skwing.datasets._formats.dataframe import WideTable, table_bunch
from skwing.datasets._formats.table import TextTable, as_column
from skwing.datasets._paths import image_finder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.images import BoxedImages
    from skwing.schema import LandmarkSchema

LAYOUTS = ("auto", "wide", "long")


def _read_wide(text, column, landmarks, boxes):
    where = str(text.path)
    columns = find_columns(
        text.names, text.sample, where, image=column, landmarks=landmarks, boxes=boxes
    )
    text.check_unnamed(columns.image, columns.rest)
    table = text.read([columns.image, *columns.rest])
    wide = WideTable.of(table, columns, range(len(table)))
    if landmarks is None:
        wide.check_one_row_each(where)
    return wide


def _key_of(name):
    """Text that is equal for different spellings of a path."""
    return os.path.normpath(name.replace("\\", "/"))


def _join_boxes(text, names, path):
    """Boxes and further columns of another CSV file, in the order of the images.

    A photo with several faces must have the same number of rows in both files, in the same
    order.
    """
    wide = _read_wide(text, None, (), None)
    if wide.boxes is None or wide.images is not None:
        raise ValueError(
            f"{text.path}: expected a column of images and columns {', '.join(BOX_COLUMNS)}; found "
            f"{text.names!r:.200}."
        )
    keys = list(map(_key_of, names))
    rows_of = {}
    for row, name in enumerate(wide.names):
        rows_of.setdefault(_key_of(name), []).append(row)
    counts = Counter(keys)
    for key, name in zip(keys, names, strict=True):
        rows = rows_of.get(key, ())
        if len(rows) != counts[key]:
            raise ValueError(
                f"{text.path}: found {len(rows)} rows for {name!r:.60} "
                f"({'; '.join(map(wide.table.where, rows[:10]))}), expected {counts[key]} as in "
                f"{path}."
            )
    take = {key: iter(rows) for key, rows in rows_of.items()}
    order = [next(take[key]) for key in keys]
    return wide.boxes[order], {k: v[order] for k, v in wide.further(as_column).items()}


def _check_options(layout, decimal, encoding, boxes):
    check_choice(layout, "layout", LAYOUTS)
    if decimal not in (".", ","):
        raise ValueError(f"decimal must be '.' or ','; got {decimal!r}.")
    if encoding is not None and not isinstance(encoding, str):
        raise ValueError(f"encoding must be a name such as 'cp1252'; got {encoding!r}.")
    return boxes if isinstance(boxes, (str, os.PathLike)) else None


@overload
def read_csv(
    path: FilePath,
    *,
    images: FilePath | None = None,
    layout: Literal["auto", "wide", "long"] = "auto",
    column: str | None = None,
    landmarks: Sequence[str | tuple[str, str]] | None = None,
    boxes: FilePath | Sequence[str] | None = None,
    schema: str | LandmarkSchema | None = None,
    groups: str | None = None,
    header: bool | None = None,
    sep: str | None = None,
    decimal: Literal[".", ","] = ".",
    encoding: str | None = None,
    missing: ArrayLike | None = None,
    return_X_y: Literal[False] = False,
) -> Dataset: ...


@overload
def read_csv(
    path: FilePath,
    *,
    images: FilePath | None = None,
    layout: Literal["auto", "wide", "long"] = "auto",
    column: str | None = None,
    landmarks: Sequence[str | tuple[str, str]] | None = None,
    boxes: FilePath | Sequence[str] | None = None,
    schema: str | LandmarkSchema | None = None,
    groups: str | None = None,
    header: bool | None = None,
    sep: str | None = None,
    decimal: Literal[".", ","] = ".",
    encoding: str | None = None,
    missing: ArrayLike | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def read_csv(
    path: FilePath,
    *,
    images: FilePath | None = None,
    layout: Literal["auto", "wide", "long"] = "auto",
    column: str | None = None,
    landmarks: Sequence[str | tuple[str, str]] | None = None,
    boxes: FilePath | Sequence[str] | None = None,
    schema: str | LandmarkSchema | None = None,
    groups: str | None = None,
    header: bool | None = None,
    sep: str | None = None,
    decimal: Literal[".", ","] = ".",
    encoding: str | None = None,
    missing: ArrayLike | None = None,
    return_X_y: bool = False,
) -> Dataset | tuple[BoxedImages, Floats]:
    r"""Read images, boxes and landmarks from a CSV file.

    The wide layout has one row per sample, with columns such as ``image, nose_x, nose_y`` or
    ``image, x0, y0, x1, y1``, or without names: the image, then alternately x and y. The
    detection of columns is described in :func:`from_dataframe`. The long layout has one row
    per image and landmark, with the columns ``image, landmark, x, y`` and optionally
    ``visible``; landmarks without a row are missing.

    Parameters
    ----------
    path : str or os.PathLike
    images : str or os.PathLike, default=None
        Folder that the names of images are relative to and that must contain them. None is
        the folder of the file, and permits any absolute path. Absolute paths of another
        computer are looked up by their longest end that exists there.
    layout : {"auto", "wide", "long"}, default="auto"
        "auto" selects the long layout if there are columns for image, landmark, x and y.
    column : str, default=None
        Name of the column of images; None detects it. Cells are paths or, in the wide layout,
        the grey levels of square images separated by spaces, as in Kaggle's file.
    landmarks : sequence of str or of (str, str), default=None
        Landmarks to read, in this order: names or, in the wide layout, the names of the
        columns of x and y. None reads all: numbered ones sorted by number, others in the
        order of the file. ``()`` reads a wide table without landmarks.
    boxes : sequence of 4 str, str or os.PathLike, default=None
        Columns of x, y, width and height of the boxes. None detects them; ``()`` means no
        boxes. Alternatively, the path of another CSV file with a column of images and columns
        of boxes, which are empty for missing boxes; its further columns are read too. It may
        contain more images. An image with several rows in `path` must have as many rows in
        this file, in the same order.
    schema : str or LandmarkSchema, default=None
        None creates a schema if the names of the landmarks are not only numbers. If the
        names are those of the schema, landmarks are brought into its order.
    groups : str, default=None
        Column of either file with the group of each sample, such as a person; None uses the
        path of the image.
    header : bool, default=None
        Whether the first row of `path` contains names of columns; None detects it.
    sep : str, default=None
        Separator of columns; None is that of a first line such as ``sep=;``, as in files for
        Excel, or detects comma, semicolon, tab or space.
    decimal : {".", ","}, default="."
        Decimal point of numbers.
    encoding : str, default=None
        Encoding such as ``"cp1252"``; None is UTF-8.
    missing : (float, float), default=None
        Coordinates that mark missing landmarks, such as ``(0, 0)``.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    table : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Images, decoded on access.
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels counted from 0, float64. NaN if cells are empty or contain
            ``nan``, ``NA`` or ``null``, or if the visibility is 0.
        schema : LandmarkSchema or None
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Group of each sample.
        names : ndarray of str of shape (n,)
            Names of images as in the file, or numbers for images in memory.
        unread : tuple of str
            Names of the columns of a long table that are not read.
        DESCR : str
            Description of the data.

        and, for wide tables, all other columns by their names (with a trailing ``_`` if the
        name exists already).
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the table is invalid; the message names the line. Landmarks with only one
        coordinate, duplicate landmarks, and paths that leave the folder are errors.

    Notes
    -----
    Names are not changed. In Kaggle's ``training.csv``, "left" is the person's left, while it
    is the left side of the image in the predefined schemas. The schema created for this file
    has the correct mirror pairs and normalising lengths.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import read_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels.csv")
    ...     _ = path.write_text("image,nose_x,nose_y\na.jpg,12.5,7\nb.jpg,,\n")
    ...     read_csv(path).target
    array([[[12.5,  7. ]],
    <BLANKLINE>
           [[ nan,  nan]]])
    """
    path = os.fspath(path)
    box_file = _check_options(layout, decimal, encoding, boxes)
    text = TextTable.of_file(path, sep, encoding, header, decimal)
    places = None if layout == "wide" else long_columns(text.names, path, column, layout)
    if layout == "long" and places is None:
        raise ValueError(
            f"{path}: the long layout needs columns image, landmark, x and y; found "
            f"{text.names!r:.200}."
        )
    find = image_finder(path, images)
    if places is None:
        wide = _read_wide(text, column, landmarks, () if box_file else boxes)
        names, marks, points, rows = wide.names, wide.columns.names, wide.points, wide.boxes
        further, sources, unread = wide.further(as_column), wide.sources(find), ()
    else:
        text.check_unnamed(places[0], ())
        names, marks, points = read_long(text, places, landmarks)
        rows, further = None, {}
        unread = tuple(n for i, n in enumerate(text.names) if n and i not in places)
        sources = [find(name, path) for name in names]
    if box_file is not None:
        other = TextTable.of_file(box_file, sep, encoding, None, decimal)
        rows, more = _join_boxes(other, names, path)
        further |= {k + "_" if k in further else k: v for k, v in more.items()}
    if groups is not None and groups not in further:
        raise ValueError(
            f"{path}: there is no column {groups!r} for the groups; found {list(further)}."
        )
    return table_bunch(
        path,
        sources,
        names,
        marks,
        points,
        boxes=rows,
        further=further,
        schema=schema,
        missing=missing,
        groups=None if groups is None else further[groups],
        unread=unread,
        return_X_y=return_X_y,
    )
