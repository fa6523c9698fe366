"""Reader and writer of .pts files of iBUG, whose coordinates are counted from 1."""

from __future__ import annotations

import math
import os
import re
from decimal import Context, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.files import replacing
from skwing._utils.landmarks import as_points
from skwing.boxes._boxes import boxes_around
from skwing.datasets._checks import check_written
from skwing.datasets._dataset import as_bunch
from skwing.datasets._paths import IMAGE_SUFFIXES, inside
from skwing.datasets._text import natural_key, read_text
from skwing.images import BoxedImages
from skwing.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

# 1 is added and subtracted in decimal arithmetic: 1.1 in a file is 0.1 counted from 0, but the
# difference of floats has a rounding error. No float has more digits than this.
_EXACT = Context(prec=400)

# Matches nearly all lines; converting these is several times faster than with Decimal.
_NUMBER = r"([1-9][0-9]{0,15})(\.[0-9]{0,30}|)"
_PLAIN = re.compile(rf"[ \t]*{_NUMBER}[ \t]+{_NUMBER}[ \t]*")

_DESCR = """{folder}: landmarks in .pts files

{n_samples} files with {n_landmarks} landmarks each, the image of each beside it.
data: the images, decoded when needed{boxes}.
target: landmarks in image pixels counted from 0, NaN for missing.
groups: the image of each face. Where several files are cut from one photo, make groups of
your own: the files do not tell.
"""


def _header_count(lines, path):
    """Number of points stated in the header, and the line of the opening brace."""
    declared = None
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if line.strip() == "{":
            return declared, number
        if key.strip().lower() == "n_points":
            try:
                declared = int(value)
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: n_points is {value.strip()!r:.60}, not a whole number."
                ) from None
        elif line.strip() and not colon:
            raise ValueError(f"{path}, line {number}: found {line.strip()!r:.60}, expected '{{'.")
    raise ValueError(f"{path}: no line opens the points with '{{'.")


def _from_0(text):
    """Coordinate counted from 0; NaN for nan, inf if the text is not a finite number."""
    if not text.isascii() or "_" in text:  # accepted by float()
        return math.inf
    number = float(text)
    if not math.isfinite(number) or len(text) > _EXACT.prec:
        return number - 1
    try:
        return float(_EXACT.subtract(Decimal(text), 1))
    except ArithmeticError:  # an exponent with too many digits
        return number - 1


def _point(line, path, line_number):
    if match := _PLAIN.fullmatch(line):
        x, x_fraction, y, y_fraction = match.groups()
        return float(f"{int(x) - 1}{x_fraction}"), float(f"{int(y) - 1}{y_fraction}")
    where = f"{path}, line {line_number}"
    try:
        x, y = map(_from_0, line.split())
    except ValueError:
        raise ValueError(f"{where}: found {line.strip()!r:.60}, expected two numbers.") from None
    if math.isinf(x) or math.isinf(y):
        raise ValueError(f"{where}: found {line.strip()!r:.60}, expected finite coordinates.")
    if math.isnan(x) != math.isnan(y):
        raise ValueError(
            f"{where}: found {line.strip()!r:.60}, expected two numbers, or 'nan nan' where the "
            "landmark is missing."
        )
    return x, y


def read_pts(path: FilePath) -> Floats:
    r"""Read the landmarks of a .pts file.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file.

    Returns
    -------
    points : ndarray of shape (n_landmarks, 2)
        In image pixels counted from 0 (the file counts from 1), float64. ``nan nan`` in the
        file is a missing landmark.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the format is invalid; the message names the file and the line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import read_pts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.pts")
    ...     _ = path.write_text("version: 1\nn_points: 2\n{\n1 1\n30.5 41.25\n}\n")
    ...     read_pts(path)
    array([[ 0.  ,  0.  ],
           [29.5 , 40.25]])
    """
    lines = read_text(path).split("\n")
    declared, start = _header_count(lines, path)
    points = []
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() == "}":
            break
        if line.strip():
            points.append(_point(line, path, number))
    else:
        raise ValueError(f"{path}: no line closes the points with '}}': the file is cut short.")
    if declared is not None and declared != len(points):
        raise ValueError(f"{path}: n_points says {declared}, but there are {len(points)} points.")
    return np.array(points, dtype=np.float64).reshape(-1, 2)


def _from_1(number):
    """Text of a coordinate counted from 1, with all digits."""
    return "nan" if math.isnan(number) else f"{_EXACT.add(Decimal(repr(number)), 1):f}"


def write_pts(path: FilePath, points: ArrayLike) -> None:
    """Write the landmarks of one face to a .pts file.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file; an existing file is replaced.
    points : array-like of shape (n_landmarks, 2)
        In image pixels counted from 0; the file counts from 1. The format does not define
        missing landmarks. NaN is written as ``nan``, as in menpo; :func:`read_pts` reads it,
        but other programs may not.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If the shape is invalid, points are infinite, or a point has only one coordinate.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import write_pts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.pts")
    ...     write_pts(path, [[0, 0], [29.5, 40.25]])
    ...     print(path.read_text())
    version: 1
    n_points: 2
    {
    1.0 1.0
    30.5 41.25
    }
    """
    shape = np.shape(points)
    if len(shape) != 2 or shape[1] != 2:
        raise ValueError(f"points have shape {shape}, expected (n_landmarks, 2).")
    points = as_points([points], name="points")[0]  # type: ignore[arg-type]
    lines = [f"{_from_1(x)} {_from_1(y)}\n" for x, y in points.tolist()]
    with replacing(path) as file:
        file.write(f"version: 1\nn_points: {len(lines)}\n{{\n")
        file.writelines(lines)
        file.write("}\n")


def _walk(folder, recursive):
    """Folders and their files, without hidden ones (names that begin with a dot)."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield root, [name for name in files if not name.startswith(".")]


def _files_by_name(folder, recursive):
    """Files of a folder by relative name without suffix, and by suffix."""
    found = {}
    for root, files in _walk(folder, recursive):
        for file in files:
            name, suffix = os.path.splitext(file)
            relative = os.path.relpath(os.path.join(root, name), folder).replace(os.sep, "/")
            found.setdefault(relative, {})[suffix.lower()] = os.path.join(root, file)
    return found


def annotated_images(folder, recursive=False, key=natural_key, images=None):
    """Names of the annotated faces of a folder, with their .pts files and images.

    Names are relative to the folder, without suffix, sorted by `key`. The images have the
    same names in `images`, or are in the same folder as the files.
    """
    files = _files_by_name(folder, recursive)
    others = files if images is None else _files_by_name(images, recursive)
    faces = [
        (name, own[".pts"], next(filter(None, map(others.get(name, {}).get, IMAGE_SUFFIXES)), None))
        for name, own in files.items()
        if ".pts" in own
    ]
    if not faces:
        raise ValueError(f"{folder} holds no .pts files.")
    missing = [path for _, path, image in faces if image is None]
    if missing:
        where = "beside them" if images is None else f"of their names in {images}"
        hint = "; images= names the folder that they are in" if images is None else ""
        raise FileNotFoundError(
            f"{folder}: {len(missing)} of {len(faces)} .pts files have no image {where} "
            f"({', '.join(IMAGE_SUFFIXES)}), the first is {min(missing)}{hint}."
        )
    faces.sort(key=lambda face: key(face[0]))
    return tuple(map(list, zip(*faces, strict=True)))


def _read_all(files):
    first = read_pts(files[0])
    if not len(first):
        raise ValueError(f"{files[0]}: found no points, expected one at least.")
    faces = [first]
    for file in files[1:]:
        points = read_pts(file)
        if len(points) != len(first):
            raise ValueError(
                f"{file}: found {len(points)} points, expected {len(first)} as in {files[0]}."
            )
        faces.append(points)
    return np.stack(faces)


@overload
def read_pts_folder(
    folder: FilePath,
    *,
    images: FilePath | None = None,
    boxes: Literal["landmarks"] | None = "landmarks",
    schema: str | LandmarkSchema | None = None,
    recursive: bool = False,
    return_X_y: Literal[False] = False,
) -> Dataset: ...


@overload
def read_pts_folder(
    folder: FilePath,
    *,
    images: FilePath | None = None,
    boxes: Literal["landmarks"] | None = "landmarks",
    schema: str | LandmarkSchema | None = None,
    recursive: bool = False,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def read_pts_folder(
    folder: FilePath,
    *,
    images: FilePath | None = None,
    boxes: Literal["landmarks"] | None = "landmarks",
    schema: str | LandmarkSchema | None = None,
    recursive: bool = False,
    return_X_y: bool = False,
) -> Dataset | tuple[BoxedImages, Floats]:
    """Read a folder with a .pts file for each image.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder of the .pts files. Each has the same name as its image. Images without a .pts
        file are ignored.
    images : str or os.PathLike, default=None
        Folder of the images; None is that of the .pts files.
    boxes : {"landmarks"} or None, default="landmarks"
        The bounding boxes of the landmarks, or None for whole images.
    schema : str or LandmarkSchema, default=None
        Schema of the landmarks, such as ``"ibug68"``.
    recursive : bool, default=False
        Whether to read subfolders too.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Image files, decoded on access, with the schema.
        target : ndarray of shape (n, n_landmarks, 2)
            Landmarks in image pixels counted from 0, float64; NaN for missing.
        schema : LandmarkSchema or None
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Path of each image. If several images are copies of the same photo, as in AFW,
            use other groups for cross-validation.
        names : ndarray of str of shape (n,)
            Name of each file relative to `folder`, without suffix, in natural order:
            ``face2`` before ``face10``.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist, or an image is missing.
    ValueError
        If there are no .pts files, the format is invalid, or the number of landmarks differs
        between files or from `schema`.

    See Also
    --------
    skwing.datasets.load_300w : Load 300-W from the published folders, with its boxes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import read_pts_folder, write_pts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pts(Path(folder, "a.pts"), [[2, 3], [6, 4]])
    ...     Path(folder, "a.jpg").touch()
    ...     faces = read_pts_folder(folder)
    >>> faces.names, faces.data.boxes
    (array(['a'], dtype='<U1'), array([[2., 3., 5., 2.]]))
    """
    if boxes is not None and (not isinstance(boxes, str) or boxes != "landmarks"):
        raise ValueError(f"boxes must be 'landmarks' or None for the whole image; got {boxes!r}.")
    schema = check_schema(schema)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}.")
    if images is not None and not os.path.isdir(images):
        raise FileNotFoundError(f"there is no folder {images}.")
    images = None if images is None else os.fspath(images)
    names, files, images = annotated_images(os.fspath(folder), recursive, images=images)
    target = _read_all(files)
    try:
        check_schema(schema, target.shape[1])
    except ValueError as error:
        raise ValueError(f"{files[0]}: {error}") from None
    with np.errstate(over="ignore", invalid="ignore"):  # BoxedImages raises the error
        rows = None if boxes is None else boxes_around(target)
    return as_bunch(
        BoxedImages(images, boxes=rows, schema=schema),
        target,
        names=names,
        descr=_DESCR.format(
            folder=folder,
            n_samples=len(names),
            n_landmarks=target.shape[1],
            boxes="" if boxes is None else ", with the smallest boxes around the landmarks",
        ),
        return_X_y=return_X_y,
    )


def _files_to_write(folder, data, names):
    """Path of the .pts file of each sample; paths must be unique."""
    if names is None:
        names = [Path(path).stem for path in data.paths]
    names = [str(name) for name in names]
    if len(names) != len(data):
        raise ValueError(f"data has {len(data)} samples, names has {len(names)}.")
    files = [inside(folder, name, data.describe(i)) + ".pts" for i, name in enumerate(names)]
    first = {}
    for i, file in enumerate(files):
        if first.setdefault(os.path.normcase(file), i) != i:
            raise ValueError(
                f"{data.describe(i)} and {data.describe(first[os.path.normcase(file)])} would "
                f"both be written to {file}; give each a name, by names."
            )
    return files


def write_pts_folder(
    folder: FilePath,
    data: ImagesLike,
    target: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the landmarks of each sample to a separate .pts file.

    Parameters
    ----------
    folder : str or os.PathLike
        Folder of the files, which is created if necessary. :func:`read_pts_folder` finds
        images in the same folder, or in the folder passed as `images`.
    data : BoxedImages of shape (n,)
        Must be image files if `names` is None.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        In image pixels counted from 0; NaN is written as ``nan``, see :func:`write_pts`.
    names : sequence of str of length n, default=None
        Name of each file, without suffix; slashes separate subfolders. None uses the names
        of the images.
    overwrite : bool, default=False
        Whether to replace existing .pts files, which may be manual annotations.

    Raises
    ------
    FileExistsError
        If one of the files exists, unless `overwrite` is True. No file is written then.
    OSError
        If a file cannot be written, for example because the disk is full. The message states
        which files were written.
    ValueError
        If names are not unique, a name leaves the folder, or `target` does not fit.

    Examples
    --------
    >>> import os
    >>> import tempfile
    >>> from skwing import BoxedImages
    >>> from skwing.datasets import write_pts_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_pts_folder(folder, BoxedImages(["photos/a.jpg"]), [[[2, 3], [6, 4]]])
    ...     os.listdir(folder)
    ['a.pts']
    """
    data, points = check_written(data, target, needs_paths=names is None)
    files = _files_to_write(os.fspath(folder), data, names)
    present = [] if overwrite else list(filter(os.path.lexists, files))
    if present:
        raise FileExistsError(
            f"{len(present)} of {len(files)} files are there already, the first is {present[0]}; "
            "overwrite=True replaces them."
        )
    for parent in dict.fromkeys(map(os.path.dirname, files)):
        os.makedirs(parent or ".", exist_ok=True)
    _write_all(files, points)


def _write_all(files, points):
    """Write files one after the other; an error states which ones were written."""
    for n_written, (file, face) in enumerate(zip(files, points, strict=True)):
        try:
            write_pts(file, face)
        except BaseException as error:
            n_files = len(files)
            told = f"{n_written} of {n_files} files were written"
            if n_written:
                told += f", the last is {files[n_written - 1]}"
            told += (
                f"; {file} and what comes after it in the order of the samples were not, and "
                "what was there of them is as before."
            )
            if isinstance(error, OSError):
                raise OSError(error.errno, f"{error.strerror or error}. {told}", file) from error
            error.add_note(told)
            raise
