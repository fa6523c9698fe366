"""File formats of the command line, with their readers and writers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skwing import datasets
from skwing._cli.words import count, say
from skwing.geometry import boxes_of

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class Format:
    """Reader and writer of a file format.

    Attributes
    ----------
    suffix : str
        Suffix of the files; "" for a folder.
    read : callable
        Function of the path, the image folder and the schema; the last two may be None.
    write : callable
        Function of the path, the images, the landmarks, the data set of the images or {}, and
        the :class:`Rounding`.
    one_per_image : bool, default=False
        Whether the format has one sample for each image.
    """

    suffix: str
    read: Callable
    write: Callable
    one_per_image: bool = False


@dataclass(frozen=True)
class Rounding:
    """Decimals of the written coordinates, None for all; whole pixels for dlib."""

    decimals: int | None = None
    whole_pixels: bool = False


def _write_csv(path, data, target, source, rounding):
    """Write columns that are named after the landmarks of the schema, if there is one."""
    schema = source.get("schema") if data.schema is None else data.schema
    names = None if schema is None else list(schema.landmark_names)
    datasets.write_csv(path, data, target, names=names)


def _write_tps(path, data, target, source, rounding):
    datasets.write_tps(
        path,
        data,
        target,
        names=source.get("names"),
        scale=source.get("scale"),
        decimals=rounding.decimals,
    )


def _write_dlib(path, data, target, source, rounding):
    """Write samples without landmarks as images without a box; others get one if they have none."""
    has_landmarks = ~np.isnan(target).all(axis=(1, 2))
    boxes = data.boxes.copy()
    absent = has_landmarks & np.isnan(boxes).any(axis=1)
    if absent.any():
        boxes[absent] = boxes_of(target[absent])
        data = data.with_boxes(boxes)
        say(
            f"{path}: {count(absent.sum(), 'samples')} without a box, which the format requires, "
            "got the box around the landmarks"
        )
    fractions = [values[~np.isnan(values)] % 1 for values in (boxes, target)]
    if not rounding.whole_pixels and np.concatenate(fractions).any():
        say(f"{path} has fractions of pixels, which dlib does not read: --whole-pixels rounds them")
    names = None
    if data.schema is None and not has_landmarks.any():
        names = [str(i) for i in range(target.shape[1])]
    datasets.write_dlib_xml(
        path, data, target, part_names=names, whole_pixels=rounding.whole_pixels
    )


FORMATS = {
    "csv": Format(
        ".csv",
        lambda path, images, schema: datasets.read_csv(path, images=images, schema=schema),
        _write_csv,
    ),
    "tps": Format(
        ".tps",
        lambda path, images, schema: datasets.read_tps(path, images, schema=schema),
        _write_tps,
    ),
    "coco": Format(
        ".json",
        lambda path, images, schema: datasets.read_coco(path, images, schema=schema),
        lambda path, data, target, *_: datasets.write_coco(path, data, target),
    ),
    "dlib": Format(
        ".xml",
        lambda path, images, schema: datasets.read_dlib_xml(path, root=images, schema=schema),
        _write_dlib,
    ),
    "pts": Format(
        "",
        lambda path, images, schema: datasets.read_pts_folder(
            path, images=images, schema=schema, recursive=True
        ),
        lambda path, data, target, *_: datasets.write_pts_folder(path, data, target),
        one_per_image=True,
    ),
    "deeplabcut": Format(
        ".csv",
        lambda path, images, schema: datasets.read_deeplabcut(path, images=images, schema=schema),
        lambda path, data, target, *_: datasets.write_deeplabcut(path, data, target),
        one_per_image=True,
    ),
}
# If two formats have the same suffix, the first one is used.
_BY_SUFFIX = {form.suffix: name for name, form in reversed(FORMATS.items())}


def find_format(path, name=None):
    """Format with the given name, or inferred from the suffix of the path.

    Parameters
    ----------
    path : str or Path
    name : str, default=None
        A key of `FORMATS`.

    Returns
    -------
    format : Format

    Raises
    ------
    ValueError
        If the suffix is unknown.
    """
    if name is not None:
        return FORMATS[name]
    suffix = Path(path).suffix.lower()
    if suffix not in _BY_SUFFIX:
        known = ", ".join(f"{form.suffix or 'a folder'} ({key})" for key, form in FORMATS.items())
        raise ValueError(f"{path}: unknown format {suffix!r}; expected {known}")
    return FORMATS[_BY_SUFFIX[suffix]]


def read_landmarks(path, name=None, images=None, schema=None):
    """Read images and landmarks from a file or a folder.

    Returns
    -------
    dataset : Bunch
        Data set as returned by the readers of :mod:`skwing.datasets`.

    Raises
    ------
    ValueError, FileNotFoundError
        If the format is unknown, or the file is missing or invalid.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no such file or folder: {path}")
    return find_format(path, name).read(path, images, schema)


def check_writing(path, name, rounding):
    """Find the format of a file to write, and check that it suits the options.

    Raises
    ------
    ValueError
        If the suffix is unknown, or whole pixels are wanted in another format than dlib's.
    """
    form = find_format(path, name)
    if rounding.whole_pixels and form is not FORMATS["dlib"]:
        raise ValueError(f"--whole-pixels is for dlib's files; {path} is another format")
    return form


def write_landmarks(path, data, target, source, form=None, rounding=None):
    """Write landmarks in the given format, or in that of the suffix.

    `source` is the data set of the images, or an empty dict. Its IDs and scales are written
    if the format supports them. `rounding` is a :class:`Rounding`; None does not round.
    """
    rounding = Rounding() if rounding is None else rounding
    if rounding.decimals is not None:
        target = np.round(target, rounding.decimals)
    find_format(path, form).write(path, data, target, source, rounding)


def find_images(paths):
    """List image files; those of a folder are sorted by name.

    Raises
    ------
    FileNotFoundError
        If a path does not exist, or a folder contains no images.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise FileNotFoundError(f"no images in the folder {path}")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"no such image: {path}")
    return [str(path) for path in found]
