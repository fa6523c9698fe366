"""Writer of CSV files with images and landmarks, in wide or long layout."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.box_columns import BOX_COLUMNS
from skwing._utils.files import replacing
from skwing.datasets._checks import check_alike, check_one_each, check_written
from skwing.datasets._formats.columns import find_columns
from skwing.datasets._formats.csv_long import long_columns
from skwing.datasets._formats.names import in_order, landmark_names
from skwing.datasets._paths import written_paths
from skwing.datasets._text import number_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath
    from skwing.images._types import ImagesLike

LAYOUTS = ("wide", "long")


def _cells(numbers):
    return ["" if number != number else number_text(number) for number in numbers]


def _checked_paths(data, path, images):
    paths = written_paths(data, path, images)
    for i, path in enumerate(paths):
        if not path.isprintable() or not path.strip():
            raise ValueError(f"{data.describe(i)}: this path cannot be written to a CSV file.")
    return paths


def _check_readable(readable, names):
    if not readable:
        raise ValueError(
            f"these names of landmarks cannot be read back from a table: {names!r:.200}; numbers "
            "in names must be ascending. Pass other names=."
        )


def _wide_header(names, has_boxes, further):
    """Names of the columns: image, further ones, box, landmarks."""
    numbered = names == [str(i) for i in range(len(names))]
    pattern = "{axis}{name}" if numbered else "{name}_{axis}"
    header = [pattern.format(name=name, axis=axis) for name in names for axis in "xy"]
    return ["image", *further, *(BOX_COLUMNS if has_boxes else ()), *header]


def _is_found(names, has_boxes, further):
    """Whether the reader finds the same columns; names are arbitrary, so it is asked."""
    header = _wide_header(names, has_boxes, further)
    found = find_columns(header, ["a.png"] * len(header), "names")
    return (
        long_columns(header, "names", None, "auto") is None
        and found.image == 0
        and list(found.names) == names
        and (found.boxes is not None) == has_boxes
        and [header[i] for i in found.rest] == list(further)
    )


def readable_columns(names, has_boxes, further):
    """Names of further columns that do not look like an image, a box or a landmark.

    Parameters
    ----------
    names : list of str
        Names of the landmarks.
    has_boxes : bool
    further : iterable of str

    Returns
    -------
    readable : list of str

    Examples
    --------
    >>> from skwing.datasets._formats.csv_write import readable_columns
    >>> readable_columns(["nose"], False, ["sex", "tail_x", "path", "tail_y"])
    ['sex', 'tail_x']
    """
    readable = []
    for name in further:
        if _can_be_further(names, has_boxes, [*readable, name]):
            readable.append(name)
    return readable


def _can_be_further(names, has_boxes, further):
    if any(not name.isprintable() or name != name.strip() or not name for name in further):
        return False
    try:
        return _is_found(names, has_boxes, further)
    except ValueError:
        return False


def _column_cells(name, values, n_samples):
    """Cells of a further column; missing values are empty."""
    values = np.asarray(values)
    if values.shape != (n_samples,):
        raise ValueError(
            f"further[{name!r}] has shape {values.shape}, expected ({n_samples},): a value for "
            "each sample."
        )
    return [_cell(value) for value in values.tolist()]


def _cell(value):
    if value is None or value != value:
        return ""
    return number_text(value) if isinstance(value, float) else str(value)


def _write_wide(write, paths, data, points, names, further):
    has_boxes, further = data.has_boxes, {str(key): value for key, value in further.items()}
    _check_readable(_is_found(names, has_boxes, ()), names)
    if not _can_be_further(names, has_boxes, further):
        readable = readable_columns(names, has_boxes, further)
        odd = next(name for name in further if name not in readable)
        raise ValueError(
            f"further: a column {odd!r:.60} cannot be read back beside the others: it looks like "
            "an image, a box or a landmark, or its name is not plain text. Give it another name."
        )
    columns = [_column_cells(name, values, len(data)) for name, values in further.items()]
    write(_wide_header(names, has_boxes, further))
    for i, (path, box, row) in enumerate(zip(paths, data.boxes.tolist(), points, strict=True)):
        own = [column[i] for column in columns]
        write([path, *own, *(_cells(box) if has_boxes else ()), *_cells(row.ravel().tolist())])


def _write_long(write, paths, data, points, names, further):
    if further:
        raise ValueError(
            f"the long layout has no further columns such as {next(iter(further))!r:.60}; "
            "layout='wide' has."
        )
    _check_readable(in_order(names) == names, names)
    check_alike(names, points, "target")
    check_one_each(paths, data, "which the long layout cannot tell apart; write it wide")
    write(["image", "landmark", "x", "y"])
    for path, row in zip(paths, points.tolist(), strict=True):
        for name, point in zip(names, row, strict=True):
            write([path, name, *_cells(point)])


def write_csv(
    path: FilePath,
    data: ImagesLike,
    target: ArrayLike,
    *,
    layout: Literal["wide", "long"] = "wide",
    names: Sequence[str] | None = None,
    images: FilePath | None = None,
    further: Mapping[str, Any] | None = None,
) -> None:
    """Write images, boxes and landmarks to a CSV file that :func:`read_csv` reads.

    Parameters
    ----------
    path : str or os.PathLike
    data : BoxedImages of shape (n,)
        Image files; also other forms such as a list of paths.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        Landmarks in image pixels counted from 0; cells of missing ones are empty.
    layout : {"wide", "long"}, default="wide"
        "wide" has one row per sample, with its box if there are boxes. "long" has one row
        per image and landmark, and no boxes.
    names : sequence of str of length n_landmarks, default=None
        Names of the landmarks; None uses those of the schema of `data`, or numbers.
    images : str or os.PathLike, default=None
        Folder that paths are relative to and that must contain the images. None is the
        folder of the file; images elsewhere get absolute paths.
    further : dict of str to array-like of shape (n,), default=None
        Further columns of the wide layout by their names, such as IDs, which `read_csv`
        returns as attributes. Cells of None and NaN are empty.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    ValueError
        If lengths differ, a landmark has only one coordinate, `data` contains pixels, or the
        names of landmarks or of further columns cannot be read back.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import write_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "predicted.csv")
    ...     write_csv(path, [Path(folder, "a.jpg")], [[12.5, 7, 20, 9]], names=["nose", "chin"])
    ...     print(path.read_text(), end="")
    image,nose_x,nose_y,chin_x,chin_y
    a.jpg,12.5,7,20,9
    """
    if layout not in LAYOUTS:
        raise ValueError(f"layout must be 'wide' or 'long'; got {layout!r}.")
    data, points = check_written(data, target)
    names = landmark_names(data.schema, names, points.shape[1])
    if odd := [n for n in names if not n.isprintable() or not n or n != n.strip() or ";" in n]:
        raise ValueError(f"the name {odd[0]!r:.60} of a landmark cannot be written to a CSV file.")
    paths = _checked_paths(data, path, images)
    further = {} if further is None else dict(further)
    with replacing(path) as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write_rows = _write_wide if layout == "wide" else _write_long
        write_rows(write, paths, data, points, names, further)
