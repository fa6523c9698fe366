"""Reader and writer of CSV files of DeepLabCut."""

from __future__ import annotations

import csv
import os
import re
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing._utils.files import replacing
from skwing.datasets._checks import check_one_each, check_written
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.names import check_points, landmark_names, schema_of
from skwing.datasets._formats.table import TextTable, check_names, top_rows
from skwing.datasets._paths import finder_in, relative_path
from skwing.datasets._text import number_text
from skwing.images import BoxedImages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

    class Frames(Dataset):
        individuals: NDArray[Any]
        likelihood: Floats


_LABELED = "labeled-data"
_PLACEHOLDER = re.compile(r"Unnamed: [0-9]+_level_[0-9]+")
_FRAME = re.compile(r"[0-9]{1,12}")
_DESCR = """{n_samples} frames with {n_landmarks} body parts each, from a file of DeepLabCut

data: the images, decoded when needed.
target: landmarks in image pixels counted from 0, an array of shape (n, n_landmarks, 2).
groups: the video of each frame; keep the frames of one video in one fold.
"""


# ---------------------------------------------------------------------------------------
# The header
# ---------------------------------------------------------------------------------------
def _header(rows, path):
    """Rows of the header by their names, and the number of columns before the first part."""
    header = {}
    for line, fields in rows:
        name = fields[0].strip().lower()
        if name not in ("scorer", "individuals", "bodyparts", "coords") or name in header:
            raise ValueError(
                f"{path}, line {line}: found {fields[0]!r:.60}, expected the header of "
                "DeepLabCut: rows scorer, bodyparts, coords, or scorer, individuals, bodyparts, "
                "coords."
            )
        # pandas fills blank cells of the index with placeholders.
        header[name] = ["" if _PLACEHOLDER.fullmatch(f.strip()) else f.strip() for f in fields]
        if name == "coords":
            break
    if "bodyparts" not in header or "coords" not in header:
        raise ValueError(f"{path}: found no header of DeepLabCut with bodyparts and coords.")
    # The index may contain the name of the scorer, but no coordinates.
    told = [row for name, row in header.items() if name != "scorer"]
    n_index = 3 if all(len(row) > 3 and not any(row[1:3]) for row in told) else 1
    width = len(header["coords"])
    if any(len(row) != width for row in header.values()) or width <= n_index:
        raise ValueError(
            f"{path}: the rows of the header have {[len(row) for row in header.values()]} "
            "columns, expected equal numbers and one body part at least."
        )
    return header, n_index


def _columns_of(header, n_index, path):
    """Column of each coordinate: {individual: {part: {coordinate: column}}}."""
    places = {}
    width = len(header["coords"])
    individuals = header.get("individuals", [""] * width)
    named = list(zip(individuals, header["bodyparts"], header["coords"], strict=True))
    for i, (individual, part, coordinate) in enumerate(named[n_index:], n_index):
        where = f"{path}, column {i + 1}"
        if coordinate not in ("x", "y", "likelihood"):
            raise ValueError(f"{where}: found {coordinate!r:.60}, expected x, y or likelihood.")
        if not part:
            raise ValueError(f"{where}: the body part has no name.")
        coordinates = places.setdefault(individual, {}).setdefault(part, {})
        if coordinate in coordinates:
            raise ValueError(f"{where}: {coordinate} of {part!r:.60} is there twice.")
        coordinates[coordinate] = i
    kinds = {tuple(sorted(c)) for parts in places.values() for c in parts.values()}
    if len(kinds) > 1 or not {"x", "y"} <= set(*kinds):
        raise ValueError(
            f"{path}: each body part needs x and y, and likelihood all or none; found "
            f"{sorted(kinds)}."
        )
    return places


def _chosen(places, individuals, path):
    """Individuals to read, which must have the same body parts."""
    if individuals is None:
        # "single" contains unique parts, such as corners of the cage.
        chosen = [name for name in places if name != "single"] or list(places)
    else:
        chosen = [individuals] if isinstance(individuals, str) else list(individuals)
        if not chosen or not set(chosen) <= set(places):
            raise ValueError(f"{path}: individuals {chosen} are not all among {list(places)}.")
    parts = list(places[chosen[0]])
    for name in chosen:
        if set(places[name]) != set(parts):
            raise ValueError(
                f"{path}: the individuals {chosen[0]!r} and {name!r} have different body parts; "
                "say with individuals= which to read."
            )
    return chosen, parts


# ---------------------------------------------------------------------------------------
# The frames
# ---------------------------------------------------------------------------------------
def _folders(path):
    """Folder of the file, and folder of its project."""
    folder = os.path.dirname(path)
    parts = os.path.abspath(folder).split(os.sep)
    for name in (_LABELED, "training-datasets"):
        if name in parts:
            place = len(parts) - 1 - parts[::-1].index(name)
            return folder, os.sep.join(parts[:place]) or os.sep
    return folder, folder


def _files(names, path, images, wheres):
    """Paths of the images: in the folder of the project, or in that of the file."""
    if images is not None and not isinstance(images, (str, os.PathLike)):
        raise ValueError(f"{path}: the file names image files: images must be their folder.")
    folder, project = _folders(path) if images is None else (images, images)
    below, beside = (finder_in(root, anywhere=images is None) for root in (project, folder))
    return [
        (below if name.startswith(_LABELED + "/") else beside)(name, where)
        for name, where in zip(names, wheres, strict=True)
    ]


def _frames(names, path, images, wheres):
    """Images of frames that are numbered in the file."""
    if images is None or isinstance(images, (str, os.PathLike)):
        raise ValueError(
            f"{path}: the file numbers the frames of a video and names no image files; pass "
            "images=, a sequence with the image, or the path of the image, of each frame."
        )
    if isinstance(images, BoxedImages):
        raise ValueError("images is a BoxedImages, expected a sequence of paths or of images.")
    frames = []
    for name, where in zip(names, wheres, strict=True):
        if not _FRAME.fullmatch(name) or int(name) >= len(images):
            raise ValueError(
                f"{where}: found frame {name!r:.60}, expected a number below {len(images)}, of "
                "which there are images."
            )
        frames.append(int(name))
    return images[frames] if isinstance(images, np.ndarray) else [images[i] for i in frames]


def _read(path, decimal):
    """Columns by name, names of the frames, and the table."""
    text, sep, rows = top_rows(path)
    header, n_index = _header(rows, path)
    places = _columns_of(header, n_index, path)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: the file has a header and no frame.")
    names = [f"{p} {c}" for p, c in zip(header["bodyparts"], header["coords"], strict=True)]
    index = list(range(n_index))
    table = TextTable(path, text, sep, names, first, decimal).read(index)
    frames = ["/".join(cells) for cells in zip(*map(table.values, index), strict=True)]
    frames = [frame.replace("\\", "/") for frame in frames]
    if n_index > 1:
        frames = [frame.strip("/") for frame in frames]
    return places, check_names(frames, table.where), table


@overload
def read_deeplabcut(
    path: FilePath,
    *,
    images: FilePath | Sequence[Any] | None = None,
    individuals: str | Sequence[str] | None = None,
    min_likelihood: float | None = None,
    schema: str | LandmarkSchema | None = None,
    decimal: Literal[".", ","] = ".",
    return_X_y: Literal[False] = False,
) -> Frames: ...


@overload
def read_deeplabcut(
    path: FilePath,
    *,
    images: FilePath | Sequence[Any] | None = None,
    individuals: str | Sequence[str] | None = None,
    min_likelihood: float | None = None,
    schema: str | LandmarkSchema | None = None,
    decimal: Literal[".", ","] = ".",
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def read_deeplabcut(
    path: FilePath,
    *,
    images: FilePath | Sequence[Any] | None = None,
    individuals: str | Sequence[str] | None = None,
    min_likelihood: float | None = None,
    schema: str | LandmarkSchema | None = None,
    decimal: Literal[".", ","] = ".",
    return_X_y: bool = False,
) -> Frames | tuple[BoxedImages, Floats]:
    """Read frames and body parts from a CSV file of DeepLabCut.

    Both annotations (``CollectedData_*.csv``) of projects with one or several animals, and
    results of the analysis of a video are supported.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file.
    images : str, os.PathLike or sequence, default=None
        Folder that the paths of frames are relative to. For paths ``labeled-data/...``, None
        is the folder of the project (the one above ``labeled-data`` or ``training-datasets``
        in the path of the file), otherwise the folder of the file. For results of a video,
        whose frames are numbered: a sequence with the image, or its path, of each frame.
    individuals : str or sequence of str, default=None
        Animals to read from a file with several; None reads all except ``"single"``, which
        has body parts that exist only once.
    min_likelihood : float, default=None
        Minimum likelihood of results; others are missing. None keeps all.
    schema : str or LandmarkSchema, default=None
        None creates a schema from the names of the body parts.
    decimal : {".", ","}, default="."
        Decimal point of numbers. Spreadsheets of many countries write a comma.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    frames : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            One sample for each animal in a frame that has a known body part. There are no
            boxes.
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels counted from 0, float64; NaN if cells are empty.
        schema : LandmarkSchema or None
            Schema of the body parts.
        groups : ndarray of str of shape (n,)
            Video of each frame: the folder of its image, or the file of results.
        names : ndarray of str of shape (n,)
            Frame as in the file, with the individual if there are several.
        individuals : ndarray of str of shape (n,)
            Name of each animal; empty for files with one animal.
        likelihood : ndarray of shape (n, n_landmarks)
            Likelihood of each landmark. Only if the file contains it.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the format is invalid; the message names the line. Body parts with only one
        coordinate, and paths that leave the folder, are errors.

    Examples
    --------
    >>> from skwing.datasets import read_deeplabcut
    >>> path = "mice/labeled-data/trial1/CollectedData_Ann.csv"
    >>> mice = read_deeplabcut(path)  # doctest: +SKIP
    """
    check_choice(decimal, "decimal", (".", ","))
    path = os.fspath(path)
    places, frames, table = _read(path, decimal)
    chosen, parts = _chosen(places, individuals, path)
    of_parts = [places[name][part] for name in chosen for part in parts]
    shape = len(frames) * len(chosen), len(parts)  # frame by frame
    points = table.numbers([part[axis] for part in of_parts for axis in "xy"]).reshape(*shape, 2)
    likelihood = None
    if "likelihood" in of_parts[0]:
        likelihood = table.numbers([part["likelihood"] for part in of_parts]).reshape(shape)
    rows, who = np.repeat(range(len(frames)), len(chosen)), np.tile(chosen, len(frames))
    check_points(points, parts, lambda i: table.where(rows[i]))
    points = _without_unlikely(points, likelihood, min_likelihood, path)
    order = np.arange(len(points))
    if len(chosen) > 1:
        order = order[np.isfinite(points).any(axis=(1, 2))]
    if not len(order):
        raise ValueError(f"{path}: no frame has a body part of any individual in it.")
    return _answer(
        path,
        images,
        schema,
        return_X_y,
        names=[frames[row] for row in rows[order]],
        wheres=[table.where(row) for row in rows[order]],
        individuals=who[order],
        parts=parts,
        points=points[order],
        likelihood=None if likelihood is None else likelihood[order],
    )


def _without_unlikely(points, likelihood, min_likelihood, path):
    if min_likelihood is None:
        return points
    if likelihood is None:
        raise ValueError(f"{path}: min_likelihood is given, but the file has no likelihood.")
    return np.where((likelihood >= min_likelihood)[..., None], points, np.nan)


def _answer(
    path, images, schema, return_X_y, *, names, wheres, individuals, parts, points, likelihood
):
    by_number = _FRAME.fullmatch(names[0])
    sources = (_frames if by_number else _files)(names, path, images, wheres)
    schema, order = schema_of(parts, schema, path)
    video = os.path.splitext(os.path.basename(path))[0]
    return as_bunch(
        BoxedImages(sources, schema=schema),
        points[:, order],
        names=[f"{n} {i}" if i else n for n, i in zip(names, individuals, strict=True)],
        descr=_DESCR.format(n_samples=len(names), n_landmarks=len(parts)),
        groups=[video if by_number else os.path.dirname(name) or video for name in names],
        return_X_y=return_X_y,
        individuals=individuals,
        **({} if likelihood is None else {"likelihood": likelihood[:, order]}),
    )


def write_deeplabcut(
    path: FilePath,
    data: ImagesLike,
    target: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    scorer: str = "skwing",
    images: FilePath | None = None,
) -> None:
    """Write frames and body parts as annotations of DeepLabCut, for one animal.

    In the folder of a video in a project, the name of the file must be
    ``CollectedData_SCORER.csv``.

    Parameters
    ----------
    path : str or os.PathLike
    data : BoxedImages of shape (n,)
        Image files; also other forms such as a list of paths.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        Landmarks in image pixels counted from 0; cells of missing ones are empty.
    names : sequence of str of length n_landmarks, default=None
        Body parts; None uses the names of the schema of `data`, or numbers.
    scorer : str, default="skwing"
        Name of the annotator.
    images : str or os.PathLike, default=None
        See :func:`read_deeplabcut`.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    ValueError
        If lengths differ, a landmark has only one coordinate, or `data` contains pixels.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import write_deeplabcut
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "CollectedData_Ann.csv")
    ...     write_deeplabcut(path, [Path(folder, "a.png")], [[1, 2]], names=["nose"], scorer="Ann")
    ...     print(path.read_text(), end="")
    scorer,Ann,Ann
    bodyparts,nose,nose
    coords,x,y
    a.png,1,2
    """
    path = os.fspath(path)
    data, points = check_written(data, target)
    parts = landmark_names(data.schema, names, points.shape[1])
    for name in (*parts, scorer):
        if not name.isprintable() or not name or name != name.strip() or ";" in name:
            raise ValueError(f"the name {name!r:.60} cannot be written for DeepLabCut.")
    files: Any = data.paths
    frames = [_written(file, path, images, data.describe(i)) for i, file in enumerate(files)]
    check_one_each(frames, data, "and DeepLabCut's file of one animal has a row a frame")
    index = [frame.split("/") for frame in frames]
    # As in newer versions: three columns for labeled-data/video/frame.
    if not all(len(parts) == 3 and parts[0] == _LABELED for parts in index):
        index = [[frame] for frame in frames]
    blank = [""] * (len(index[0]) - 1)
    n_columns = 2 * len(parts)
    with replacing(path) as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write(["scorer", *blank, *[scorer] * n_columns])
        write(["bodyparts", *blank, *(part for part in parts for _ in "xy")])
        write(["coords", *blank, *["x", "y"] * len(parts)])
        for frame, row in zip(index, points.reshape(len(points), -1).tolist(), strict=True):
            write([*frame, *("" if v != v else number_text(v) for v in row)])


def _written(file, path, images, describe):
    """Path of an image in the file: relative to the project (labelled data) or the folder."""
    folder, project = _folders(path) if images is None else (images, images)
    name = relative_path(file, project)
    if not name.startswith(_LABELED + "/"):
        must = "" if images is None else "images"
        name = relative_path(file, folder, must=must, describe=describe)
    if not name.isprintable() or not name.strip() or _FRAME.fullmatch(name):
        raise ValueError(f"{describe}: this path cannot be written for DeepLabCut.")
    return name
