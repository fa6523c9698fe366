"""Images and landmarks from CSV files, wide and long."""

import os
from collections import Counter

from skwing._utils.checks import check_choice
from skwing.datasets._common import image_finder, inside
from skwing.datasets._formats.columns import find_columns
from skwing.datasets._formats.csv_long import long_columns, read_long
from skwing.datasets._formats.dataframe import WideTable, table_bunch
from skwing.datasets._formats.table import TextTable, as_column
from skwing.images._convert import BOX_COLUMNS

__all__ = ["read_csv"]

LAYOUTS = ("auto", "wide", "long")


def _read_wide(text, column, landmarks, boxes):
    where = str(text.path)
    columns = find_columns(
        text.names, text.sample, where, image=column, landmarks=landmarks, boxes=boxes
    )
    table = text.read([columns.image, *columns.rest])
    wide = WideTable.of(table, columns, range(len(table)))
    if landmarks is None:
        wide.check_one_row_each(where)
    return wide


def _join_boxes(text, names, path):
    """Boxes and further columns of another CSV, brought into the order of the images.

    A photo with several faces has as many rows in both files, in the same order.
    """
    wide = _read_wide(text, None, (), None)
    if wide.boxes is None or wide.images is not None:
        raise ValueError(
            f"{text.path}: expected a column of images and columns {', '.join(BOX_COLUMNS)}; found "
            f"{text.names!r:.200}."
        )
    keys = [inside("", name, path, anywhere=True) for name in names]
    rows_of = {}
    for row, name in enumerate(wide.names):
        key = inside("", name, wide.table.where(row), anywhere=True)
        rows_of.setdefault(key, []).append(row)
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


def read_csv(
    path,
    *,
    images=None,
    layout="auto",
    column=None,
    landmarks=None,
    boxes=None,
    schema=None,
    groups=None,
    header=None,
    sep=None,
    decimal=".",
    encoding=None,
    missing=None,
    return_X_y=False,
):
    r"""Images, boxes and landmarks from a CSV file.

    The wide layout has a row per image, with columns such as ``image, nose_x, nose_y``;
    ``image, x0, y0, x1, y1``; or no names at all: the image, then x and y in turn. How
    columns are told apart is described at :func:`from_dataframe`. The long layout has a row
    per image and landmark, with the columns ``image, landmark, x, y`` and perhaps
    ``visible``; what has no row is missing.

    Parameters
    ----------
    path : str or os.PathLike
    images : str or os.PathLike, default=None
        Folder that the names of images are relative to, and below which they must be;
        None is the folder of the file, and lets absolute paths lead elsewhere.
    layout : {"auto", "wide", "long"}, default="auto"
        "auto" takes a table as long if it has columns for image, landmark, x and y.
    column : str, default=None
        Name of the column of the images; None finds it. Its cells are paths, or, in the
        wide layout, grey levels of square images parted by blanks, as Kaggle's.
    landmarks : sequence of str or of (str, str), default=None
        Which landmarks, in which order: each by its name or, in a wide table, by the names
        of its columns of x and y. None takes all, numbered ones sorted by number, others as
        they come in the file; ``()`` reads a wide table without.
    boxes : sequence of 4 str, str or os.PathLike, default=None
        Columns of the boxes' x, y, width and height, None to find them, ``()`` for none. Or
        another CSV file, with a column of images and columns for the boxes, empty where
        there is none; its further columns are kept like those of `path`. It may hold more
        images; one that has several rows in `path` needs as many, in the same order.
    schema : str or LandmarkSchema, default=None
        None makes one of the landmarks' names if they are more than numbers. Landmarks of
        the same names as the schema's are brought into its order.
    groups : str, default=None
        Column of either file that tells which samples belong together, such as a person;
        None takes the path of the image.
    header : bool, default=None
        Whether the first row of `path` names the columns; None finds out.
    sep : str, default=None
        What parts the columns; None finds out among comma, semicolon, tab and blank.
    decimal : {".", ","}, default="."
    encoding : str, default=None
        Such as ``"cp1252"``; None is UTF-8.
    missing : (float, float), default=None
        Coordinates that stand for a missing landmark, such as ``(0, 0)``.
    return_X_y : bool, default=False
        Return only ``(data, target)``.

    Returns
    -------
    table : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Decoded only when needed.
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels counted from 0, float64. NaN where cells are empty or hold
            ``nan``, ``NA`` or ``null``, or where the visibility is 0.
        schema : LandmarkSchema or None
        groups : ndarray of str of shape (n,)
        names : ndarray of str of shape (n,)
            As in the file; numbers for images in memory.
        DESCR : str

        and, of wide tables, each other column by its name (with ``_`` at its end where
        that is taken).
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no such table: names the line. A landmark with only one coordinate,
        one that is given twice, and paths that leave the folder are errors.

    Notes
    -----
    Names are kept as they stand. In Kaggle's ``training.csv`` left is the person's left, in
    the schemas that ship it is the left of the image; its own schema pairs and normalises
    the landmarks rightly.

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
        further, sources = wide.further(as_column), wide.sources(find)
    else:
        names, marks, points = read_long(text, places, landmarks)
        rows, further = None, {}
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
        return_X_y=return_X_y,
    )
