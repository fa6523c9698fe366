"""Files of landmarks on the command line: which reader and writer serves which."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from skwing import datasets

IMAGE_SUFFIXES = frozenset(
    {".bmp", ".jpeg", ".jpg", ".png", ".pgm", ".ppm", ".tif", ".tiff", ".webp"}
)


@dataclass(frozen=True)
class Format:
    """How one kind of file is read and written.

    Attributes
    ----------
    suffix : str
        Of its files; "" for a folder.
    read : callable
        Takes the path, the folder of the images and a schema; both may be None.
    write : callable
        Takes the path, images, landmarks, and the data set that the images came with or {}.
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
# Of two formats with one suffix, the first is meant.
_BY_SUFFIX = {form.suffix: name for name, form in reversed(FORMATS.items())}


def find_format(path, name=None):
    """Format of a name, or else that of the suffix of a path.

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
        If the suffix is of no format.
    """
    if name is not None:
        return FORMATS[name]
    suffix = Path(path).suffix.lower()
    if suffix not in _BY_SUFFIX:
        known = ", ".join(f"{form.suffix or 'a folder'} ({key})" for key, form in FORMATS.items())
        raise ValueError(f"{path}: the format of {suffix!r} files is not known; expected {known}")
    return FORMATS[_BY_SUFFIX[suffix]]


def read_landmarks(path, name=None, images=None, schema=None):
    """Images and landmarks of a file or a folder.

    Returns
    -------
    dataset : Bunch
        As the readers of :mod:`skwing.datasets` return it.

    Raises
    ------
    ValueError, FileNotFoundError
        If the format is not known, or the file cannot be read as such.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"there is no file or folder {path}")
    return find_format(path, name).read(path, images, schema)


def write_landmarks(path, data, target, source, form=None):
    """Write landmarks to a file or a folder, in the format of its suffix or of a name.

    `source` is the data set that the images were read from, whose IDs and scales go along
    where the format has a place for them, or an empty dict.
    """
    find_format(path, form).write(path, data, target, source)


def find_images(paths):
    """Image files from paths of files and folders, those of a folder by name.

    Raises
    ------
    FileNotFoundError
        If a path does not exist, or a folder holds no image.
    """
    found = []
    for path in map(Path, paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise FileNotFoundError(f"the folder {path} holds no image")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"there is no image {path}")
    return [str(path) for path in found]
