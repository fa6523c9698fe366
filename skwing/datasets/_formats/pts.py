"""The .pts files of iBUG: landmarks as text, counted from 1."""

import math
import os
import re
from decimal import Context, Decimal
from pathlib import Path

import numpy as np

from skwing._utils.files import replacing
from skwing._utils.landmarks import as_points
from skwing.boxes import boxes_around
from skwing.datasets._common import (
    IMAGE_SUFFIXES,
    as_bunch,
    check_written,
    inside,
    natural_key,
    read_text,
)
from skwing.images import BoxedImages
from skwing.schema import check_schema

__all__ = ["read_pts", "read_pts_folder", "write_pts", "write_pts_folder"]

# 1 is added and subtracted in decimals: what a file says as 1.1 is the float 0.1, which the
# difference of the floats misses by a rounding. No float has more digits than this.
_EXACT = Context(prec=400)

# Nearly every line, and several times faster to count from 0 than by Decimal.
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
    """Number of points that the header declares, and the line of the opening brace."""
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
    """Coordinate counted from 0; inf where the text is no finite number, NaN for nan."""
    if not text.isascii() or "_" in text:  # which float() takes
        return math.inf
    number = float(text)
    if not math.isfinite(number) or len(text) > _EXACT.prec:
        return number - 1
    try:
        return float(_EXACT.subtract(Decimal(text), 1))
    except ArithmeticError:  # an exponent of very many digits
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
    return x, y


def read_pts(path):
    r"""Landmarks of a .pts file, counted from 0.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    points : ndarray of shape (n_landmarks, 2)
        float64, in pixels; an integer is the centre of a pixel. The file counts pixels
        from 1, which ends here. ``nan nan`` in the file is a missing landmark.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not as the format says; names the file and the line.

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
    """Text of a coordinate counted from 1, to the last digit."""
    return "nan" if math.isnan(number) else f"{_EXACT.add(Decimal(repr(number)), 1):f}"


def write_pts(path, points):
    """Write the landmarks of one face to a .pts file.

    Parameters
    ----------
    path : str or os.PathLike
        The file; one that is there is replaced.
    points : array-like of shape (n_landmarks, 2)
        In image pixels counted from 0; the file counts from 1. The format knows no missing
        landmarks: NaN is written as ``nan``, as menpo does, which :func:`read_pts` reads
        and other programs may not.

    Raises
    ------
    FileNotFoundError
        If there is no folder to write to.
    ValueError
        If the points have another shape, or are infinite.

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
    points = as_points([points], name="points", halves=True)[0]
    lines = [f"{_from_1(x)} {_from_1(y)}\n" for x, y in points.tolist()]
    with replacing(path) as file:
        file.write(f"version: 1\nn_points: {len(lines)}\n{{\n")
        file.writelines(lines)
        file.write("}\n")


def _walk(folder, recursive):
    """Folders and the files in each; names with a dot in front are of file managers."""
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if recursive and not name.startswith(".")]
        yield root, [name for name in files if not name.startswith(".")]


def _files_by_name(folder, recursive):
    """Files of a folder by their names, relative and without suffix, and by suffix."""
    found = {}
    for root, files in _walk(folder, recursive):
        for file in files:
            name, suffix = os.path.splitext(file)
            relative = os.path.relpath(os.path.join(root, name), folder).replace(os.sep, "/")
            found.setdefault(relative, {})[suffix.lower()] = os.path.join(root, file)
    return found


def annotated_images(folder, recursive=False, key=natural_key, images=None):
    """Names of the annotated faces of a folder, their .pts files and their images.

    Names are relative to the folder, without suffix, in the order of `key` of them. The
    images have the same names below `images`, or lie beside the files.
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


def read_pts_folder(
    folder,
    *,
    images=None,
    boxes="landmarks",
    schema=None,
    recursive=False,
    return_X_y=False,
):
    """Faces of a folder that holds a .pts file beside each image.

    Parameters
    ----------
    folder : str or os.PathLike
        An image belongs to the .pts file of the same name. Images without one are left
        out.
    images : str or os.PathLike, default=None
        Folder of the images; None is that of the files.
    boxes : {"landmarks"} or None, default="landmarks"
        The smallest boxes around the landmarks; or the whole images.
    schema : str or LandmarkSchema, default=None
        What the landmarks are, such as ``"ibug68"``.
    recursive : bool, default=False
        Read the folders below too.
    return_X_y : bool, default=False
        Return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Decoded only when needed; carries the schema.
        target : ndarray of shape (n, n_landmarks, 2)
            Landmarks in image pixels counted from 0, float64; NaN for missing.
        schema : LandmarkSchema or None
        groups : ndarray of str of shape (n,)
            Path of each image. Where several images show one photo, as in AFW, they are
            not the groups to make folds of.
        names : ndarray of str of shape (n,)
            Name of each file below `folder`, without suffix; sorted, ``face2`` before
            ``face10``.
        DESCR : str
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or an image is missing.
    ValueError
        If there is no .pts file, one is not as the format says, or they hold different
        numbers of landmarks or another than `schema`.

    See Also
    --------
    skwing.datasets.load_300w : 300-W in the folders as published, with its boxes.

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
    with np.errstate(over="ignore", invalid="ignore"):  # BoxedImages has words for it
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
    """Path of the .pts file of each sample, each another."""
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


def write_pts_folder(folder, data, target, *, names=None, overwrite=False):
    """Write the landmarks of each sample to a .pts file of its own.

    Parameters
    ----------
    folder : str or os.PathLike
        Made if missing. :func:`read_pts_folder` finds the images beside the files, or in
        the folder that its `images` names.
    data : BoxedImages of shape (n,)
        Of files, if `names` is None.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        In image pixels counted from 0; NaN is written as ``nan``, see :func:`write_pts`.
    names : sequence of str of length n, default=None
        Name of each file, without suffix; slashes make folders. None takes the names of
        the images.
    overwrite : bool, default=False
        Replace .pts files that are there, which may be annotations made by hand.

    Raises
    ------
    FileExistsError
        If one of the files is there, unless `overwrite`. None is written then.
    OSError
        If a file cannot be written, as on a full disk; says which files were.
    ValueError
        If two samples have one name, a name leaves the folder, or `target` does not fit.

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
    """Write files in turn; an error says which of them are written."""
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
