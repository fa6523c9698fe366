"""Reader of TPS files of geometric morphometrics."""

from __future__ import annotations

from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.warnings import warn_caller
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.image_size import image_sizes
from skwing.datasets._formats.tps_text import parse_specimens
from skwing.datasets._paths import image_finder
from skwing.datasets._text import read_text
from skwing.images import BoxedImages
from skwing.schema import LandmarkSchema, check_schema

if TYPE_CHECKING:
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset

    class Specimens(Dataset):
        scale: Floats
        comments: NDArray[Any]
        variables: NDArray[Any]
        curves: tuple[int, ...]
        unread: tuple[str, ...]


_DECIMALS = 9  # of coordinates that are decimal numbers

_DESCR = """Specimens of a TPS file

{n_samples} specimens in {n_photos} images, from {path}.
data: the images, decoded when needed, without boxes.
target: {n_landmarks} landmarks in image pixels counted from 0, y pointing down; NaN for
missing. {curves}.
scale: what a pixel measures in the units of the file; the landmarks are not multiplied by it.
"""


@overload
def read_tps(
    path: FilePath,
    images: FilePath | None = None,
    *,
    y_up: bool = True,
    image_height: int | ArrayLike | None = None,
    curves: bool = True,
    negative_missing: bool = True,
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[False] = False,
) -> Specimens: ...


@overload
def read_tps(
    path: FilePath,
    images: FilePath | None = None,
    *,
    y_up: bool = True,
    image_height: int | ArrayLike | None = None,
    curves: bool = True,
    negative_missing: bool = True,
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def read_tps(
    path: FilePath,
    images: FilePath | None = None,
    *,
    y_up: bool = True,
    image_height: int | ArrayLike | None = None,
    curves: bool = True,
    negative_missing: bool = True,
    schema: str | LandmarkSchema | None = None,
    return_X_y: bool = False,
) -> Specimens | tuple[BoxedImages, Floats]:
    """Read landmarks of specimens from a TPS file, as written by tpsDig, geomorph and others.

    The y axis of TPS points up from the lower left corner of the image, while that of image
    pixels points down. The height of each image is therefore required, and is read from the
    header of the image file. Integers are pixel centres, and (0, 0) is the lower left pixel:
    ``y = height - 1 - y_tps``. Programs differ by up to one pixel in this convention.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file.
    images : str or os.PathLike, default=None
        Folder that the names of images are relative to and that must contain them. None is
        the folder of `path`, and permits any absolute path. Absolute paths of another
        computer are looked up by their longest end that exists there.
    y_up : bool, default=True
        Whether y points up in the file. With False, coordinates are not changed, and images
        are not accessed.
    image_height : int or array-like of shape (n,), default=None
        Height in pixels of all images, or of each one; None reads the image files. For
        photographs, it is the height after rotation according to the EXIF orientation.
    curves : bool, default=True
        Whether to append the points of curves to the landmarks. All specimens must then have
        the same numbers of them. Outlines are ignored.
    negative_missing : bool, default=True
        Whether landmarks with two negative coordinates are missing, as in tpsDig. NA, as
        written by geomorph, is always missing.
    schema : str or LandmarkSchema, default=None
        None creates a schema with names such as ``lm_1`` and ``curve_1_1``, curves as
        contours, and no mirror pairs, which are not part of the format.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    bunch : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Images, without boxes.
        target : ndarray of shape (n, n_landmarks, 2)
            In pixels, not multiplied by the scale; y points down. NaN for specimens that are
            not digitised (``LM=0``). If no specimen is digitised, there are no landmarks
            (``n_landmarks`` is 0), or those of `schema`, all NaN.
        schema : LandmarkSchema or None
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Path of the image.
        names : ndarray of str of shape (n,)
            ID of the specimen, or the name of its image if there is no ID.
        scale : ndarray of shape (n,)
            Units per pixel, NaN if not stated.
        comments, variables : ndarray of str of shape (n,)
            Comments and variables; several comments are joined by line breaks.
        curves : tuple of int
            Number of points of each curve.
        unread : tuple of str
            Names of entries that are not read, such as OUTLINES.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If the file, or an image whose height is required, does not exist.
    ValueError
        If the format is invalid, a specimen has no IMAGE, the numbers of points differ, or
        landmarks have three dimensions; the message names the line.

    Warns
    -----
    UserWarning
        If landmarks are above or below their image: their unit may not be pixels, the image
        may have been resized, or y may point down.

    References
    ----------
    Rohlf, The tps series of software. Hystrix 26 (2015), 9-12.

    Examples
    --------
    >>> from skwing.datasets import read_tps
    >>> wings = read_tps("wings.tps", "photos")  # doctest: +SKIP
    >>> wings.target.shape  # doctest: +SKIP
    (120, 15, 2)
    """
    specimens = parse_specimens(read_text(path), path)
    schema = check_schema(schema)
    layout: tuple[int, ...] = _check_layout(specimens, curves, path)
    if not sum(layout) and schema is not None:
        layout = (schema.n_landmarks,)
    if schema is None:
        schema = _make_schema(layout) if sum(layout) else None
    check_schema(schema, sum(layout))
    find = image_finder(path, images)
    files = [_image_of(specimen, find, path) for specimen in specimens]

    def describe(i):
        return f"{path}, line {specimens[i].line}: image {files[i]}"

    # Without landmarks, the heights of images are not required.
    heights = heights_of(files, image_height, describe) if y_up and any(layout) else None
    target = _points(specimens, layout, curves, heights, negative_missing)
    if heights is not None:
        _warn_of_outliers(target, heights, describe)
    return as_bunch(
        BoxedImages(files, schema=schema),
        target,
        names=[_name_of(specimen) for specimen in specimens],
        descr=_DESCR.format(
            n_samples=len(files),
            n_photos=len(set(files)),
            path=path,
            n_landmarks=sum(layout),
            curves=f"The last {sum(layout[1:])} are points of {len(layout) - 1} curves"
            if layout[1:]
            else "There are no curves",
        ),
        return_X_y=return_X_y,
        scale=np.array([np.nan if s.scale is None else s.scale for s in specimens]),
        comments=np.array(["\n".join(s.comments) for s in specimens], dtype=object),
        variables=np.array([s.variables or "" for s in specimens], dtype=object),
        curves=layout[1:],
        unread=tuple(dict.fromkeys(key for s in specimens for key in s.unread)),
    )


def _check_layout(specimens, curves, path):
    """Numbers of landmarks and curve points, which must be equal for all digitised specimens."""
    if not specimens:
        raise ValueError(f"{path}: no line begins a specimen with LM=.")
    for s in specimens:
        if s.n_curves is not None and s.n_curves != len(s.curves):
            raise ValueError(
                f"{path}, line {s.line}: the specimen has CURVES={s.n_curves}, but "
                f"{len(s.curves)} curves (POINTS=)."
            )
    n_parts = None if curves else 1
    digitised = [s for s in specimens if sum(s.layout())]
    layout = digitised[0].layout()[:n_parts] if digitised else (0,)
    for s in digitised:
        if s.layout()[:n_parts] != layout:
            raise ValueError(
                f"{path}, line {s.line}: the specimen has {_say(s.layout()[:n_parts])}, the "
                f"first has {_say(layout)}."
                + (" curves=False leaves the curves out." if s.layout()[0] == layout[0] else "")
            )
    if digitised and not sum(layout):
        raise ValueError(f"{path}: the specimens have no landmarks with curves=False.")
    return layout


def _say(layout):
    points = f" and curves of {', '.join(map(str, layout[1:]))[:60]} points" if layout[1:] else ""
    return f"{layout[0]} landmarks{points}"


def _make_schema(layout):
    names, contours = [f"lm_{i + 1}" for i in range(layout[0])], []
    for number, n_points in enumerate(layout[1:], 1):
        if n_points:
            indices = range(len(names), len(names) + n_points)
            contours.append((f"curve_{number}", indices, False))
            names += [f"curve_{number}_{i + 1}" for i in range(n_points)]
    return LandmarkSchema("tps", names, None, contours)


def _image_of(specimen, find, path):
    where = f"{path}, line {specimen.line}"
    if not specimen.image:
        raise ValueError(f"{where}: the specimen has no IMAGE=.")
    return find(specimen.image, where)


def _name_of(specimen):
    return specimen.own_id or PureWindowsPath(specimen.image).stem


def heights_of(files, image_height, describe):
    """Height of each image, an integer."""
    if image_height is None:
        try:
            return image_sizes(files, describe)[:, 1]
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error} Its height is required to convert y: pass the folder of the images or "
                "image_height."
            ) from None
    heights = np.asarray(image_height, dtype=np.float64)
    if heights.shape not in ((), (len(files),)):
        raise ValueError(
            f"image_height has shape {heights.shape}, expected one number or ({len(files)},)."
        )
    if not ((heights > 0) & (heights < 2**31) & (heights == np.floor(heights))).all():
        raise ValueError(
            f"image_height must be of whole numbers above 0; got {image_height!r:.60}."
        )
    return np.broadcast_to(heights, len(files))


def flip_y(y, heights):
    """Coordinates counted from the other edge of images; 90.38 does not become 90.37999999999997.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.datasets._formats.tps import flip_y
    >>> flip_y(np.array([[338.62, 1 / 3]]), np.array([430])).tolist()
    [[90.38, 428.6666666666667]]
    """
    heights = np.asarray(heights, dtype=np.float64)[:, None]
    flipped = heights - 1 - y
    decimal = flipped.round(_DECIMALS)
    error = 2 * np.finfo(float).eps * np.maximum(heights, abs(y))
    return np.where(abs(decimal - flipped) <= error, decimal, flipped)


def _points(specimens, layout, curves, heights, negative_missing):
    """Points in pixels, with y pointing down; NaN for specimens without landmarks."""
    points = np.full((len(specimens), sum(layout), 2), np.nan)
    for row, specimen in zip(points, specimens, strict=True):
        own = [specimen.landmarks, *(specimen.curves if curves else ())]
        if sum(specimen.layout()):
            row[:] = [point for part in own for point in part]
    lost = np.isnan(points).any(axis=2)
    if negative_missing:
        lost |= (points < 0).all(axis=2)
    if heights is not None:
        points[..., 1] = flip_y(points[..., 1], heights)
    points[lost] = np.nan
    return points


def _warn_of_outliers(target, heights, describe):
    y = target[..., 1]
    outside = ((y < -1) | (y > heights[:, None])).any(axis=1)
    if outside.any():
        warn_caller(
            f"{outside.sum()} of {len(target)} specimens have landmarks above or below their "
            f"image; the first is {describe(int(outside.argmax()))}. Are they in pixels, was the "
            "image resized, or does y point down (y_up=False)?",
        )
