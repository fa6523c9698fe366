"""Images and landmarks from CSV files, wide and long."""

import os
from collections import Counter
from operator import itemgetter

from skwing._utils.checks import check_choice
from skwing.datasets._common import as_bunch, inside, without_missing
from skwing.datasets._formats.columns import (
    check_box_rows,
    check_one_row_each,
    check_points,
    find_columns,
    schema_of,
)
from skwing.datasets._formats.csv_long import long_columns, read_long
from skwing.datasets._formats.dataframe import add_columns, describe_table
from skwing.datasets._formats.pixels import Pixels, is_pixels
from skwing.datasets._formats.rows import Numbers, as_column, check_name, read_table
from skwing.images import BoxedImages
from skwing.images._convert import BOX_COLUMNS

__all__ = ["read_csv"]

LAYOUTS = ("auto", "wide", "long")


# ---------------------------------------------------------------------------------------
# One row per image
# ---------------------------------------------------------------------------------------
def _picker(places):
    """Function that picks fields as a tuple, of one or none as well."""
    if len(places) > 1:
        return itemgetter(*places)
    return lambda fields: tuple(fields[i] for i in places)


class _Wide:
    """What the rows of a wide table hold."""

    def __init__(self, path, header, columns, decimal):
        named = [header[i] for i in columns.points]
        self.columns = columns
        self.points = Numbers(path, named, decimal)
        self.boxes = columns.boxes and Numbers(path, [header[i] for i in columns.boxes], decimal)
        self.rest = {header[i]: [] for i in columns.rest}
        self.names, self.pixels = [], None
        self.path = path

    def read(self, rows, sample):
        """Take all rows."""
        columns = self.columns
        points, boxes = _picker(columns.points), columns.boxes and _picker(columns.boxes)
        if is_pixels(sample[columns.image]):
            self.pixels = Pixels()
        rest = list(zip(self.rest.values(), columns.rest, strict=True))
        for line, fields in rows:
            self.points.add(line, points(fields))
            if boxes:
                self.boxes.add(line, boxes(fields))
            self._add_image(line, fields[columns.image])
            for values, i in rest:
                values.append(fields[i])
        return self

    def _add_image(self, line, text):
        where = f"{self.path}, line {line}"
        if self.pixels is None:
            self.names.append(check_name(text, where))
        else:
            self.names.append(str(len(self.names)))
            self.pixels.add(text, where)

    @property
    def where(self):
        return self.points.where

    def checked_points(self):
        points = self.points.finish().reshape(len(self.names), -1, 2)
        return check_points(points, self.columns.names, self.where)

    def checked_boxes(self):
        return self.boxes and check_box_rows(self.boxes.finish(), self.where)

    def further(self):
        return {name: as_column(values) for name, values in self.rest.items()}


def _read_wide(path, table, options, landmarks, boxes):
    header, rows, sample = table
    columns = find_columns(
        header, sample, str(path), image=options["column"], landmarks=landmarks, boxes=boxes
    )
    wide = _Wide(path, header, columns, options["decimal"]).read(rows, sample)
    if landmarks is None and wide.pixels is None:
        check_one_row_each(columns, header, wide.names, path)
    return wide


# ---------------------------------------------------------------------------------------
# The boxes of another file
# ---------------------------------------------------------------------------------------
def _rows_by_name(names, where):
    rows = {}
    for row, name in enumerate(names):
        rows.setdefault(inside("", name, where(row), anywhere=True), []).append(row)
    return rows


def _join_boxes(file, names, path, options):
    """Boxes and further columns of another CSV, brought into the order of the images.

    A photo with several faces has as many rows in both files, in the same order.
    """
    table = read_table(file, options["sep"], options["encoding"])
    wide = _read_wide(file, table, {**options, "column": None}, (), None)
    if wide.boxes is None or wide.pixels is not None:
        raise ValueError(
            f"{file}: expected a column of images and columns {', '.join(BOX_COLUMNS)}; found "
            f"{table[0]!r:.200}."
        )
    rows_of = _rows_by_name(wide.names, wide.where)
    taken = dict.fromkeys(rows_of, 0)
    counts = Counter(inside("", name, path, anywhere=True) for name in names)
    rows = []
    for name in names:
        key = inside("", name, path, anywhere=True)
        if len(rows_of.get(key, ())) != counts[key]:
            lines = [wide.points.lines[row] for row in rows_of.get(key, ())]
            raise ValueError(
                f"{file}: found {len(lines)} rows for {name!r:.60} (lines {lines[:10]}), expected "
                f"{counts[key]} as in {path}."
            )
        rows.append(rows_of[key][taken[key]])
        taken[key] += 1
    return wide.checked_boxes()[rows], {k: v[rows] for k, v in wide.further().items()}


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
    options = {"column": column, "sep": sep, "decimal": decimal, "encoding": encoding}
    table = read_table(path, sep, encoding, header)
    places = None if layout == "wide" else long_columns(table[0], path, column, layout)
    if layout == "long" and places is None:
        raise ValueError(
            f"{path}: the long layout needs columns image, landmark, x and y; found "
            f"{table[0]!r:.200}."
        )
    pixels, rows, further = None, None, {}
    if places is not None:
        names, marks, points = read_long(path, table[1], places, decimal, landmarks)
        lines = None
    else:
        wide = _read_wide(path, table, options, landmarks, () if box_file else boxes)
        names, marks, pixels = wide.names, wide.columns.names, wide.pixels
        points, rows, further = wide.checked_points(), wide.checked_boxes(), wide.further()
        lines = wide.points.lines
    if box_file is not None:
        rows, more = _join_boxes(box_file, names, path, options)
        further |= {k + "_" if k in further else k: v for k, v in more.items()}
    points = without_missing(points, missing)
    schema, order = schema_of(marks, schema, path)
    if pixels is None:
        folder = os.path.dirname(path) if images is None else os.fspath(images)
        wheres = (path,) * len(names) if lines is None else (f"{path}, line {n}" for n in lines)
        sources = [
            inside(folder, *pair, anywhere=images is None)
            for pair in zip(names, wheres, strict=True)
        ]
    else:
        sources = pixels.finish()
    answer = as_bunch(
        BoxedImages(sources, boxes=rows, schema=schema),
        points[:, order],
        names=names,
        descr=describe_table(len(names), len(order)),
        groups=_groups(groups, further, path, names if pixels else None),
        return_X_y=return_X_y,
    )
    return answer if return_X_y else add_columns(answer, further)


def _groups(groups, further, path, default):
    if groups is None:
        return default
    if groups not in further:
        raise ValueError(
            f"{path}: there is no column {groups!r} for the groups; found {list(further)}."
        )
    return further[groups]
