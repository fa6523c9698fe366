"""File formats of the command line, with their readers and writers."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from skwing import datasets
from skwing._cli.further import Further, of_coco, of_csv, of_deeplabcut, of_dlib, of_tps
from skwing._cli.names import are_named
from skwing._cli.words import count
from skwing._utils.warnings import warn_caller
from skwing.datasets._formats.csv_write import readable_columns
from skwing.datasets._paths import IMAGE_SUFFIXES
from skwing.geometry import boxes_of

BOXES, NAMES = "boxes", "names of the landmarks"


@dataclass(frozen=True)
class Format:
    """Reader and writer of a file format.

    Attributes
    ----------
    suffix : str
        Suffix of the files; "" for a folder.
    read : callable
        Function of the path, the image folder and the schema; the last two may be None. The
        reader of COCO files also takes the category.
    write : callable
        Function of the path, the images, the landmarks, the :class:`Further` content and the
        :class:`Writing` options. Returns the names of the further content that it wrote, with
        "boxes" and "names of landmarks", and messages.
    further : callable
        Function of a data set that returns its :class:`Further` content.
    one_per_image : bool, default=False
        Whether the format has one sample for each image.
    """

    suffix: str
    read: Callable
    write: Callable
    further: Callable
    one_per_image: bool = False


@dataclass(frozen=True)
class Writing:
    """Options of written files.

    Attributes
    ----------
    decimals : int or None
        Decimals of the coordinates; None for all.
    whole_pixels : bool
        Whether to round to integers, for dlib.
    overwrite : bool
        Whether to replace the files of a folder.
    """

    decimals: int | None = None
    whole_pixels: bool = False
    overwrite: bool = False


def _write_csv(path, data, target, further, writing):
    """Write further columns too, except for those that look like landmarks or boxes."""
    names = None if data.schema is None else list(data.schema.landmark_names)
    marks = list(map(str, range(target.shape[1]))) if names is None else names
    kept = readable_columns(marks, data.has_boxes, further.columns)
    columns = {name: further.columns[name] for name in kept}
    datasets.write_csv(path, data, target, names=names, further=columns)
    return {*kept, BOXES, NAMES}, []


def _write_tps(path, data, target, further, writing):
    """Write IDs, scales, comments and variables."""
    (ids, own_id), (scale, own_scale) = further.column("id"), further.column("scale")
    if scale is not None and not _are_lengths(scale):
        scale = own_scale = None
    texts = {"comments": further.column("comment"), "variables": further.column("variables")}
    datasets.write_tps(
        path,
        data,
        target,
        names=further.names if ids is None else list(map(_as_text, ids)),
        scale=scale,
        curves=further.curves if sum(further.curves) <= target.shape[1] else (),
        decimals=writing.decimals,
        **{
            key: None if values is None else list(map(_as_text, values))
            for key, (values, _) in texts.items()
        },
    )
    return {own_id, own_scale, "curves", *(name for _, name in texts.values())}, []


def _write_coco(path, data, target, further, writing):
    """Write ids, visibilities and sizes of images."""
    kept = {BOXES, NAMES, *further.of_landmarks.keys() & {"visibility"}}
    ids, own_id = further.column("id")
    if ids is None or not _are_ids(ids) or len(set(ids.tolist())) < len(ids):
        ids = own_id = None
    image_ids, own_image_id = further.column("image_id")
    if image_ids is None or not _are_ids(image_ids) or not _belong(image_ids, data.paths):
        image_ids = own_image_id = None
    datasets.write_coco(
        path,
        data,
        target,
        visibility=further.of_landmarks.get("visibility"),
        ids=ids,
        image_ids=image_ids,
        image_sizes=further.image_sizes,
    )
    return {*kept, own_id, own_image_id}, []


def _write_dlib(path, data, target, further, writing):
    """Write samples without landmarks as images without a box; others get one if they have none."""
    messages, has_landmarks = [], ~np.isnan(target).all(axis=(1, 2))
    boxes = data.boxes.copy()
    absent = has_landmarks & np.isnan(boxes).any(axis=1)
    if absent.any():
        boxes[absent] = boxes_of(target[absent])
        data = data.with_boxes(boxes)
        messages.append(
            f"{path}: {count(absent.sum(), 'samples')} without a box, which the format requires, "
            "got the box around the landmarks"
        )
    fractions = [values[~np.isnan(values)] % 1 for values in (boxes, target)]
    if not writing.whole_pixels and np.concatenate(fractions).any():
        messages.append(
            f"{path} has fractions of pixels, which dlib does not read: --whole-pixels rounds them"
        )
    names = None
    if data.schema is None and not has_landmarks.any():
        names = [str(i) for i in range(target.shape[1])]
    datasets.write_dlib_xml(path, data, target, part_names=names, whole_pixels=writing.whole_pixels)
    return {BOXES, NAMES}, messages


def _write_pts(path, data, target, further, writing):
    datasets.write_pts_folder(path, data, target, overwrite=writing.overwrite)
    return set(), []


def _write_deeplabcut(path, data, target, further, writing):
    datasets.write_deeplabcut(path, data, target)
    return {NAMES}, []


def _as_text(value):
    """Text of a cell: empty if it is missing, without the decimals of a whole number."""
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _are_lengths(values):
    known = values[~np.isnan(values)] if values.dtype.kind in "iuf" else np.zeros(1)
    return bool((known > 0).all() and np.isfinite(known).all())


def _are_ids(values):
    return all(isinstance(own, (int, str)) and own != "" for own in values.tolist())


def _belong(ids, paths):
    """Whether there is one id for each image."""
    links = set(zip(ids.tolist(), paths, strict=True))
    return len(links) == len(set(ids.tolist())) == len(set(paths))


FORMATS = {
    "csv": Format(
        ".csv",
        lambda path, images, schema: datasets.read_csv(path, images=images, schema=schema),
        _write_csv,
        of_csv,
    ),
    "tps": Format(
        ".tps",
        lambda path, images, schema: datasets.read_tps(path, images, schema=schema),
        _write_tps,
        of_tps,
    ),
    "coco": Format(
        ".json",
        lambda path, images, schema, **category: datasets.read_coco(
            path, images, schema=schema, **category
        ),
        _write_coco,
        of_coco,
    ),
    "dlib": Format(
        ".xml",
        lambda path, images, schema: datasets.read_dlib_xml(path, root=images, schema=schema),
        _write_dlib,
        of_dlib,
    ),
    "pts": Format(
        "",
        lambda path, images, schema: datasets.read_pts_folder(
            path, images=images, schema=schema, recursive=True
        ),
        _write_pts,
        lambda dataset: Further(),
        one_per_image=True,
    ),
    "deeplabcut": Format(
        ".csv",
        lambda path, images, schema: datasets.read_deeplabcut(path, images=images, schema=schema),
        _write_deeplabcut,
        of_deeplabcut,
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


def read_landmarks(path, name=None, images=None, schema=None, category=None):
    """Read images and landmarks from a file or a folder.

    `category` is a list of names or ids of categories, for COCO files.

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
    form = find_format(path, name)
    if category is None:
        return form.read(path, images, schema)
    if form is not FORMATS["coco"]:
        raise ValueError(f"--category is for COCO files; {path} is in another format")
    category = [int(text) if text.isdecimal() else text for text in category]
    return form.read(path, images, schema, category=category)


def write_landmarks(path, data, target, further, name=None, writing=None):
    """Write landmarks in the given format, or in that of the suffix.

    Parameters
    ----------
    path : str or Path
    data : BoxedImages
    target : ndarray of shape (n_samples, n_landmarks, 2)
    further : Further
    name : str, default=None
        A key of `FORMATS`.
    writing : Writing, default=None

    Returns
    -------
    kept : set of str
        Names of the further content that was written.
    messages : list of str
        What the user should know about the file.
    """
    writing = Writing() if writing is None else writing
    if writing.decimals is not None:
        target = np.round(target, writing.decimals)
    return find_format(path, name).write(path, data, target, further, writing)


def warn_of_lost(path, data, further, kept, *, boxes=True, names=True):
    """Warn of content that was not written to a file.

    Parameters
    ----------
    path : str or Path
    data : BoxedImages
    further : Further
    kept : set of str
        Result of :func:`write_landmarks`.
    boxes, names : bool, default=True
        Whether boxes and names of landmarks are content to keep.
    """
    lost = [name for name in (*further.columns, *further.of_landmarks) if name not in kept]
    if further.curves and "curves" not in kept:
        lost.append("curves")
    if boxes and data.has_boxes and BOXES not in kept:
        lost.append(BOXES)
    if names and are_named(data.schema) and NAMES not in kept:
        lost.append(NAMES)
    lost += further.left_out
    if lost:
        warn_caller(f"{path} does not contain: {'; '.join(lost)}")


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
