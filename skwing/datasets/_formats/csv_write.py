"""Writer of CSV files with images and landmarks, in wide or long layout."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from skwing._utils.files import replacing
from skwing.datasets._common import (
    check_alike,
    check_one_each,
    check_written,
    number_text,
    written_paths,
)
from skwing.datasets._formats.columns import find_columns
from skwing.datasets._formats.names import check_points, in_order, landmark_names
from skwing.images._convert import BOX_COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath
    from skwing.images._types import ImagesLike

__all__ = ["write_csv"]

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


def _write_wide(write, paths, data, points, names):
    numbered = names == [str(i) for i in range(len(names))]
    pattern = "{axis}{name}" if numbered else "{name}_{axis}"
    header = [pattern.format(name=name, axis=axis) for name in names for axis in "xy"]
    has_boxes = data.has_boxes
    header = ["image", *(BOX_COLUMNS if has_boxes else ()), *header]
    # Names are arbitrary, so use the reader to check whether they can be read back.
    found = find_columns(header, ["a.png"] * len(header), "names")
    _check_readable(
        list(found.names) == names and (found.boxes is not None) == has_boxes and not found.rest,
        names,
    )
    write(header)
    for path, box, row in zip(paths, data.boxes.tolist(), points, strict=True):
        write([path, *(_cells(box) if has_boxes else ()), *_cells(row.ravel().tolist())])


def _write_long(write, paths, data, points, names):
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

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    ValueError
        If lengths differ, a landmark has only one coordinate, `data` contains pixels, or the
        names cannot be read back.

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
    check_points(points, names, data.describe)
    paths = _checked_paths(data, path, images)
    with replacing(path) as file:
        write = csv.writer(file, lineterminator="\n").writerow
        (_write_wide if layout == "wide" else _write_long)(write, paths, data, points, names)
