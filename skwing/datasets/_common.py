"""Common functions of readers and writers: paths, text, numbers, and the returned Bunch."""

from __future__ import annotations

import math
import os
import re
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

from skwing._utils.checks import check_flag
from skwing._utils.landmarks import as_points
from skwing.images import as_boxed_images

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Sequence
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import FilePath, Floats
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

__all__ = [
    "IMAGE_SUFFIXES",
    "Dataset",
    "as_bunch",
    "as_number",
    "check_alike",
    "check_one_each",
    "check_written",
    "image_finder",
    "inside",
    "natural_key",
    "number_text",
    "read_text",
    "relative_path",
    "without_missing",
    "written_paths",
]

# In the order in which one is taken where a name has several.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")

_DRIVE = re.compile(r"[A-Za-z]:")
_DIGITS = re.compile(r"([0-9]+)")


class Dataset(Bunch):
    """Result of a reader: a :class:`sklearn.utils.Bunch` with at least these attributes.

    Attributes
    ----------
    data : BoxedImages of shape (n,)
    target : ndarray of shape (n, n_landmarks, 2)
        In image pixels, NaN for missing.
    schema : LandmarkSchema or None
    groups : ndarray of str of shape (n,)
        Photo of each sample, for cross-validation by photo.
    names : ndarray of str of shape (n,)
        Unique name of each sample.
    DESCR : str
        Description of the data.

    Examples
    --------
    >>> from skwing.datasets import make_faces
    >>> faces = make_faces(8, random_state=0)
    >>> faces.target.shape, faces.schema.name
    ((8, 68, 2), 'ibug68')
    """

    data: BoxedImages
    target: Floats
    schema: LandmarkSchema | None
    groups: NDArray[Any]
    names: NDArray[Any]
    DESCR: str


def as_bunch(
    data: BoxedImages,
    target: ArrayLike,
    *,
    names: Iterable[object],
    descr: str,
    groups: Any = None,
    return_X_y: bool = False,
    **more: Any,
) -> Any:
    """Create the result of a reader.

    Parameters
    ----------
    data : BoxedImages of shape (n,)
    target : array-like of shape (n, n_landmarks, 2)
        In image pixels, NaN for missing.
    names : sequence of str of length n
    descr : str
    groups : sequence of str of length n, default=None
        Photo of each sample; None uses the paths of the images.
    return_X_y : bool, default=False
    **more
        Further attributes.

    Returns
    -------
    bunch : Bunch or (data, target)
    """
    target = np.asarray(target, dtype=np.float64)
    if check_flag(return_X_y, "return_X_y"):
        return data, target
    groups = data.paths if groups is None else groups
    return Dataset(
        data=data,
        target=target,
        schema=data.schema,
        groups=_as_texts(groups),
        names=_as_texts(names),
        DESCR=descr,
        **more,
    )


def _as_texts(texts: Any) -> NDArray[Any]:
    """Array of str, or of objects if a very long text would make the str array too large."""
    texts = [str(text) for text in texts]
    room = len(texts) * max(map(len, texts), default=0)
    return np.array(texts, dtype=str if room < 2**26 else object)


def inside(root: FilePath, name: Any, where: str, *, anywhere: bool = False) -> str:
    r"""Path of a file named in an annotation, which must be below a folder.

    Only the text of the path is used: files are not accessed and links are not followed.

    Parameters
    ----------
    root : str or os.PathLike
    name : str
        Both slashes and backslashes separate folders.
    where : str
        Location such as ``"labels.csv, line 3"``, for error messages.
    anywhere : bool, default=False
        Whether absolute paths may point anywhere. Writers use absolute paths for images that
        are not below the folder of the file. Readers accept them if the user did not pass the
        folder of the images.

    Returns
    -------
    path : str

    Raises
    ------
    ValueError
        If `name` is absolute and not below `root`, has a drive letter of another system,
        leaves `root` by ``..``, or names no file.

    Examples
    --------
    >>> from skwing.datasets._common import inside
    >>> inside("photos", "a/../b.jpg", "labels.csv, line 3").replace("\\", "/")
    'photos/b.jpg'
    """
    if not isinstance(name, str):
        raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
    plain = name.replace("\\", "/")
    if os.path.isabs(name) and (anywhere or _is_below(name, root)):
        if plain.endswith("/") or "\0" in name:
            raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
        return os.path.normpath(name)
    leaves = plain.startswith("/") or _DRIVE.match(plain)
    parts: list[str] = []
    for part in plain.split("/"):
        if part == ".." and not parts:
            leaves = True
        elif part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if leaves:
        raise ValueError(f"{where}: the image path {name!r} leaves the folder {root}")
    if not parts or plain.endswith("/") or "\0" in name:
        raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
    return os.path.join(os.fspath(root), *parts)


def image_finder(path: FilePath, images: FilePath | None) -> Callable[[Any, str], str]:
    """Return a function of (name, where) that returns the path of an image named in a file.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    images : str, os.PathLike or None
        Folder of the images; None is that of the file, and permits any absolute path.

    Returns
    -------
    find : callable
        :func:`inside` with this folder.
    """
    folder = os.path.dirname(os.fspath(path)) if images is None else images
    return partial(inside, folder, anywhere=images is None)


def _is_below(path: str, folder: FilePath) -> bool:
    return os.path.normpath(path).startswith(os.path.join(os.path.abspath(folder), ""))


def read_text(path: FilePath) -> str:
    r"""Read a UTF-8 file, with or without byte order mark; line ends are converted to ``\n``.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the path is a folder, or the file has another encoding or contains NUL bytes.
    """
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {path}.") from None
    except (IsADirectoryError, PermissionError, ValueError) as error:
        what = "this is a folder" if os.path.isdir(path) else f"the file cannot be read: {error}"
        raise ValueError(f"{path}: {what}, expected a text file.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(raw, error.start)
        raise ValueError(
            f"{path}, line {line}: not UTF-8 text (byte 0x{raw[error.start]:02x}); save the file "
            "as UTF-8."
        ) from None
    if "\0" in text:
        line = _line_of(raw, raw.index(b"\0"))
        raise ValueError(f"{path}, line {line}: not UTF-8 text: it contains NUL bytes.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of(raw: bytes, position: int) -> int:
    before = raw[:position].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1


def as_number(text: Any, where: str, *, missing: Container[str] = ()) -> float:
    """Convert text, or a number from a JSON parser, to a finite number.

    Parameters
    ----------
    text : str, int or float
    where : str
        Location such as ``"labels.csv, line 3"``, for error messages.
    missing : container of str, default=()
        Texts that mark a missing value.

    Returns
    -------
    number : float
        NaN for a missing value.

    Raises
    ------
    ValueError
        If the text is not a finite number. "nan" is accepted only if it is in `missing`.

    Examples
    --------
    >>> from skwing.datasets._common import as_number
    >>> as_number("12.5", "line 3"), as_number("-", "line 3", missing=("-", ""))
    (12.5, nan)
    """
    if isinstance(text, str):
        text = text.strip()
    if text in missing:
        return math.nan
    # float() accepts 1_000 and digits of all scripts, which annotation tools do not write.
    plain = text.isascii() and "_" not in text if isinstance(text, str) else _is_real(text)
    try:
        number = float(text) if plain else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: found {text!r:.60}, expected a number")
    return number


def _is_real(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def number_text(number: float) -> str:
    """Shortest text that reads back as the same number, without decimal point for integers.

    Examples
    --------
    >>> from skwing.datasets._common import number_text
    >>> number_text(12.0), number_text(0.1), number_text(-0.0)
    ('12', '0.1', '-0.0')
    """
    number = float(number)
    negative_zero = number == 0 and math.copysign(1, number) < 0
    if number.is_integer() and abs(number) < 2**53 and not negative_zero:
        return str(int(number))
    return repr(number)


def natural_key(name: str) -> tuple[tuple[Any, ...], str]:
    """Key for natural sorting of names, in which numbers are compared by value.

    Examples
    --------
    >>> from skwing.datasets._common import natural_key
    >>> sorted(["p10", "p2", "p1"], key=natural_key)
    ['p1', 'p2', 'p10']
    """
    # Compare numbers by length, then by digits, because int() rejects very long numbers. Texts
    # and numbers alternate, so that compared parts always have the same type.
    parts = [
        (len(part.lstrip("0")), part.lstrip("0")) if i % 2 else part
        for i, part in enumerate(_DIGITS.split(name))
    ]
    return tuple(parts), name


def relative_path(path: FilePath, folder: FilePath, *, must: str = "", describe: str = "") -> str:
    """Path for a file in `folder`: relative if it is below the folder, else absolute.

    Folders are separated by slashes, which all systems accept.

    Raises
    ------
    ValueError
        If the path must be below the folder, but is not. `must` is the name of the parameter
        for the folder, `describe` the description of the sample.
    """
    path, folder = os.path.abspath(path), os.path.join(os.path.abspath(folder), "")
    if path.startswith(folder):
        path = path[len(folder) :]
    elif must:
        raise ValueError(
            f"{describe}: the image lies outside of the folder {must}={folder!r}, expected it "
            f"below: readers would reject it. {must}=None writes absolute paths of images that "
            "are elsewhere."
        )
    return path.replace(os.sep, "/")


def written_paths(data: BoxedImages, path: FilePath, images: FilePath | None) -> list[str]:
    """Paths of images for a file to write.

    Parameters
    ----------
    data : BoxedImages
        Image files.
    path : str or path-like
        The file to write.
    images : str, path-like or None
        Folder that the paths are relative to and that must contain all images. None is the
        folder of the file; images elsewhere get absolute paths. Readers have the same
        parameter.

    Returns
    -------
    paths : list of str
    """
    folder = os.path.dirname(os.path.abspath(path)) if images is None else images
    must = "" if images is None else "images"
    return [
        relative_path(own, folder, must=must, describe=data.describe(i))
        for i, own in enumerate(data.paths)  # type: ignore[arg-type]
    ]


def without_missing(points: Floats, missing: ArrayLike | None) -> Floats:
    """Replace the pair of coordinates that marks missing points by NaN."""
    if missing is None:
        return points
    pair = np.array(missing, dtype=np.float64)
    if pair.shape != (2,) or not np.isfinite(pair).all():
        raise ValueError(f"missing must be a pair of numbers such as (0, 0); got {missing!r:.60}.")
    return np.where((points == pair).all(axis=-1, keepdims=True), np.nan, points)


def check_alike(names: Sequence[str], points: Floats, where: FilePath) -> None:
    """Reject two landmarks whose names differ only in case, if no sample has both.

    This detects inconsistent spellings, which would otherwise give two landmarks, each of
    which is missing in some samples.
    """
    known = ~np.any(np.isnan(points), axis=-1)
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        j = first.setdefault(name.casefold(), i)
        if j != i and not (known[:, i] & known[:, j]).any():
            raise ValueError(
                f"{where}: the landmarks {names[j]!r:.60} and {name!r:.60} differ in case only, "
                "and no sample has both; expected one spelling."
            )


def check_one_each(paths: Iterable[str], data: BoxedImages, why: str) -> None:
    """Check that each image has one sample, for formats that cannot distinguish several."""
    seen: dict[str, int] = {}
    for i, path in enumerate(paths):
        if seen.setdefault(path, i) != i:
            raise ValueError(
                f"{data.describe(seen[path])} and {data.describe(i)} are of one image, {why}."
            )


def check_written(
    data: ImagesLike, target: ArrayLike, *, needs_paths: bool = True
) -> tuple[BoxedImages, Floats]:
    """Validate images and landmarks passed to a writer.

    Parameters
    ----------
    data : BoxedImages, or anything :func:`skwing.images.as_boxed_images` takes
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
    needs_paths : bool, default=True
        Whether pixels in memory are an error.

    Returns
    -------
    data : BoxedImages
    points : ndarray of shape (n, n_landmarks, 2)

    Raises
    ------
    ValueError
        If the lengths differ, the data do not fit their schema, or paths are missing.
    """
    data = as_boxed_images(data)
    schema = data.schema
    n_landmarks = None if schema is None else schema.n_landmarks
    points = as_points(target, n_landmarks, "target", halves=True)
    if len(points) != len(data):
        raise ValueError(f"data has {len(data)} samples, target has {len(points)}.")
    if needs_paths and data.paths is None:
        raise ValueError(
            "data contains pixels in memory, but the file refers to images by path. Save them "
            "to files and pass BoxedImages of these paths."
        )
    return data, points
