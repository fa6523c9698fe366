"""File formats of the command line, with their readers and writers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skwing import datasets

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
        Function of the path, the images, the landmarks, and the data set of the images or {}.
    """

    suffix: str
    read: Callable
    write: Callable


FORMATS = {
    "csv": Format(
        ".csv",
        lambda path, images, schema: datasets.read_csv(path, images=images, schema=schema),
        lambda path, data, target, source: datasets.write_csv(path, data, target),
    ),
    "tps": Format(
        ".tps",
        lambda path, images, schema: datasets.read_tps(path, images, schema=schema),
        lambda path, data, target, source: datasets.write_tps(
            path, data, target, names=source.get("names"), scale=source.get("scale")
        ),
    ),
    "coco": Format(
        ".json",
        lambda path, images, schema: datasets.read_coco(path, images, schema=schema),
        lambda path, data, target, source: datasets.write_coco(path, data, target),
    ),
    "dlib": Format(
        ".xml",
        lambda path, images, schema: datasets.read_dlib_xml(path, root=images, schema=schema),
        lambda path, data, target, source: datasets.write_dlib_xml(path, data, target),
    ),
    "pts": Format(
        "",
        lambda path, images, schema: datasets.read_pts_folder(
            path, images=images, schema=schema, recursive=True
        ),
        lambda path, data, target, source: datasets.write_pts_folder(path, data, target),
    ),
    "deeplabcut": Format(
        ".csv",
        lambda path, images, schema: datasets.read_deeplabcut(path, images=images, schema=schema),
        lambda path, data, target, source: datasets.write_deeplabcut(path, data, target),
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


def write_landmarks(path, data, target, source, form=None):
    """Write landmarks in the given format, or in that of the suffix.

    `source` is the data set of the images, or an empty dict. Its IDs and scales are written
    if the format supports them.
    """
    find_format(path, form).write(path, data, target, source)


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
