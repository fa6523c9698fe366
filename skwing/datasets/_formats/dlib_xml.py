"""Reader and writer of XML files of dlib and its annotation tool imglab."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import TYPE_CHECKING, overload
from xml.sax.saxutils import escape

import numpy as np

from skwing._utils.files import replacing
from skwing.datasets._checks import check_alike, check_written
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.dlib_parser import parse
from skwing.datasets._paths import finder_in, is_absolute, relative_path
from skwing.datasets._text import natural_key, number_text
from skwing.images import BoxedImages
from skwing.schema import LandmarkSchema, check_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

    class Boxed(Dataset):
        part_names: tuple[str, ...]
        n_images: int
        n_without_box: int
        n_ignored: int
        unread: tuple[str, ...]


_DIGITS = re.compile(r"[0-9]+")
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_QUOTES = {"'": "&#39;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}

_DESCR = """{path}: landmarks in the XML format of dlib and imglab

{n_samples} boxes in {n_images} images, {n_landmarks} landmarks.
data: the images, decoded when needed, with their boxes.
target: landmarks in image pixels counted from 0, NaN where a box lacks the part.
groups: the image of each box; keep the boxes of one image in one fold.
"""


def _locator(path, root):
    """Function from the path of an image, as written in the file, to its path."""
    folder = os.path.dirname(os.fspath(path)) or "."
    where = "file of <image>"
    if root is None:
        find = finder_in(folder, anywhere=True)
        return lambda name: find(name, where)
    folder, root = os.path.abspath(folder), os.path.abspath(root)
    below, find = os.path.join(root, ""), finder_in(root)

    def locate(name):
        if is_absolute(name):
            return find(name, where)
        full = os.path.normpath(os.path.join(folder, name.replace("\\", "/")))
        if not full.startswith(below) or name.endswith(("/", "\\")):
            raise ValueError(f"{where}: the image path {name!r} leaves the folder {root}")
        return full

    return locate


def _series(names):
    """Numbers of the names if they differ only in one number, such as p1, p2, p10; else None."""
    if len({_DIGITS.sub("0", name) for name in names}) != 1:
        return None
    places = list(zip(*map(_DIGITS.findall, names), strict=True))
    varying = [texts for texts in places if len(set(texts)) > 1] or places[:1]
    if len(varying) != 1 or max(map(len, names)) > 100:
        return None
    return [int(text) for text in varying[0]]


def _check_parts(parser, path):
    n_boxes, n_parts, n_names = len(parser.paths), len(parser.part_of), len(parser.parts)
    # If each box had a unique part name, memory would grow with the square of the file size.
    if n_boxes * n_names > max(2**24, 64 * n_parts):
        raise ValueError(
            f"{path}: found {n_names} part names in {n_boxes} boxes that have {n_parts} parts "
            "in all; expected the same names in each box."
        )
    seen = {}
    for name in parser.parts:  # 1 and 01 may denote the same part
        plain = _DIGITS.sub(lambda digits: digits[0].lstrip("0") or "0", name)
        if seen.setdefault(plain, name) != name:
            raise ValueError(
                f"{path}: the part names {seen[plain]!r:.60} and {name!r:.60} differ in leading "
                "zeros only."
            )


def _columns(names, schema, path):
    """Schema of the landmarks, and the index of the landmark for each part name."""
    order = sorted(names, key=natural_key)
    if schema is None:
        if order and not all(map(_DIGITS.fullmatch, order)):
            schema = LandmarkSchema.from_names("dlib_xml", order)
        return schema, {name: i for i, name in enumerate(order)}
    place = {name: i for i, name in enumerate(schema.landmark_names)}
    if all(name in place for name in order):
        return schema, place
    numbers = _series(order)
    if numbers and len(order) == schema.n_landmarks:
        return schema, {name: i for i, name in enumerate(order)}
    if numbers and 0 in numbers and max(numbers) < schema.n_landmarks:
        # Counted from 0, including parts that are in no box.
        return schema, dict(zip(order, numbers, strict=True))
    first = next(name for name in order if name not in place)
    raise ValueError(
        f"{path}: found {len(order)} part names such as {first!r:.60}; schema {schema.name!r} "
        f"expects its own landmark names, or {schema.n_landmarks} numbered parts."
    )


def _target(parser, columns, n_landmarks):
    target = np.full((len(parser.paths), n_landmarks, 2), np.nan)
    if len(parser.part_of):
        column = np.array([columns[name] for name in parser.parts])
        rows, parts = np.array(parser.box_of), np.array(parser.part_of)
        target[rows, column[parts]] = np.array(parser.points).reshape(-1, 2)
    return target


def _names(parser):
    """Path of each image as in the file, with the index of the box if there are several."""
    counts = Counter(parser.paths)
    seen = Counter()
    names = []
    for path, name in zip(parser.paths, parser.names, strict=True):
        names.append(f"{name}#{seen[path]}" if counts[path] > 1 else name)
        seen[path] += 1
    return names


@overload
def read_dlib_xml(
    path: FilePath,
    *,
    root: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[False] = False,
) -> Boxed: ...


@overload
def read_dlib_xml(
    path: FilePath,
    *,
    root: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def read_dlib_xml(
    path: FilePath,
    *,
    root: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    return_X_y: bool = False,
) -> Boxed | tuple[BoxedImages, Floats]:
    """Read boxes and landmarks from an XML file of dlib or imglab.

    Each box is a sample. Boxes marked ``ignore`` are skipped.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file. Paths of images in it are relative to its folder.
    root : str or os.PathLike, default=None
        Folder that must contain the images. None is the folder of the file for relative
        paths, and permits any absolute path. Absolute paths of another computer are looked
        up by their longest end that exists there.
    schema : str or LandmarkSchema, default=None
        Schema of the landmarks. Part names must be names of its landmarks, or numbers
        (``00``, ``01``, ... or ``p1``, ``p2``, ...), which are used in their order.
        None creates a schema from the part names, unless these are only numbers.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Image files, decoded on access, with the schema.
        target : ndarray of shape (n, n_landmarks, 2)
            Landmarks in image pixels counted from 0, float64. NaN if a box does not have the
            part. ``n_landmarks`` is 0 if no box has parts and `schema` is None.
        schema : LandmarkSchema or None
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Image of each box, for `GroupKFold`.
        names : ndarray of str of shape (n,)
            Path of the image as in the file, followed by ``#0``, ``#1``, ... if the image has
            several boxes.
        part_names : tuple of str
            Name of each landmark in the file, or None if no box has it.
        n_images, n_without_box, n_ignored : int
            Number of images in the file, of images without a usable box, and of ignored
            boxes.
        unread : tuple of str
            Names of attributes and elements of boxes that are not read, such as "truncated".
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the format is invalid, the file contains a document type definition, or an image
        is outside of `root`; the message names the line. Also if the parts do not fit
        `schema`.

    Warns
    -----
    UserWarning
        If a part name has a side but no partner, see
        :meth:`skwing.LandmarkSchema.from_names`.

    Notes
    -----
    Part names are sorted by number, ``p2`` before ``p10``. imglab and dlib sort them as
    text, so their order of landmarks differs, unless numbers have leading zeros.

    A box of dlib contains the pixels from ``left`` to ``left + width - 1``, and corresponds
    to the box ``(left, top, width, height)`` here.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import read_dlib_xml
    >>> text = '''<dataset><images><image file="a.jpg">
    ... <box left="10" top="20" width="30" height="40">
    ... <part name="10" x="15" y="22"/><part name="2" x="12" y="30.5"/>
    ... </box></image></images></dataset>'''
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "labels.xml")
    ...     _ = path.write_text(text)
    ...     faces = read_dlib_xml(path)
    >>> faces.target
    array([[[12. , 30.5],
            [15. , 22. ]]])
    >>> faces.names, faces.part_names
    (array(['a.jpg'], dtype='<U5'), ('2', '10'))
    """
    schema = check_schema(schema)
    parser = parse(path, _locator(path, root))
    if not parser.paths:
        raise ValueError(
            f"{path}: found no box in {parser.n_images} images ({parser.n_ignored} boxes are "
            "marked ignore), expected one at least."
        )
    _check_parts(parser, path)
    schema, columns = _columns(parser.parts, schema, path)
    n_landmarks = len(columns) if schema is None else schema.n_landmarks
    target = _target(parser, columns, n_landmarks)
    check_alike(list(parser.parts), target[:, [columns[name] for name in parser.parts]], path)
    boxes = np.array(parser.boxes).reshape(-1, 4)
    in_file = {columns[name]: name for name in parser.parts}
    return as_bunch(
        BoxedImages(parser.paths, boxes=boxes, schema=schema).with_stated_sizes(parser.sizes, path),
        target,
        names=[] if return_X_y else _names(parser),
        descr=_DESCR.format(
            path=path,
            n_samples=len(target),
            n_images=parser.n_images,
            n_landmarks=n_landmarks,
        ),
        return_X_y=return_X_y,
        part_names=tuple(map(in_file.get, range(n_landmarks))),
        n_images=parser.n_images,
        n_without_box=parser.n_without_box,
        n_ignored=parser.n_ignored,
        unread=tuple(parser.unread),
    )


def _quoted(text, what):
    if found := _NO_XML.search(text):
        raise ValueError(f"{what} {text!r:.200} holds {found[0]!r}, which XML cannot.")
    return f"'{escape(text, _QUOTES)}'"


def _part_names(part_names, data, points):
    """Name in quotes for each landmark; `points` are those of the samples with a box."""
    n_landmarks = points.shape[1]
    if part_names is None and data.schema is not None:
        part_names = data.schema.landmark_names
    elif part_names is None:
        lost = np.flatnonzero(np.isnan(points).any(axis=2).all(axis=0))
        if len(points) and len(lost):
            raise ValueError(
                f"landmark {lost[0]} is missing in all samples, so the file would not define "
                "its number. Pass names of the landmarks: part_names, or data with a schema."
            )
        # Leading zeros keep the order in tools that sort names as text.
        width = max(2, len(str(n_landmarks - 1)))
        part_names = [f"{i:0{width}}" for i in range(n_landmarks)]
    part_names = [str(name) for name in part_names]
    if len(set(part_names)) != n_landmarks or len(part_names) != n_landmarks:
        raise ValueError(
            f"part_names must be {n_landmarks} different names, one per landmark; got "
            f"{len(part_names)}, {len(set(part_names))} of them different."
        )
    return [_quoted(name, "the part name") for name in part_names]


def _check_boxes(data, points):
    """Boxes, NaN for samples without box and landmarks, whose images are written alone."""
    boxes = data.boxes
    has_landmarks = ~np.isnan(points).any(axis=2).all(axis=1)
    absent = np.flatnonzero(np.isnan(boxes).any(axis=1) & has_landmarks)
    if len(absent):
        raise ValueError(
            f"{data.describe(int(absent[0]))} has no box, which dlib's format requires; "
            "data.with_boxes(skwing.geometry.boxes_of(points)) gives it those of the landmarks."
        )
    return boxes


def _whole(boxes, points):
    """Boxes and points rounded to whole pixels; for boxes, the edges are rounded."""
    low = np.rint(boxes[:, :2])
    size = np.maximum(np.rint(boxes[:, :2] + boxes[:, 2:]) - low, 1)
    return np.concatenate([low, size], axis=1), np.rint(points)


def _lines(box, points, quoted):
    """Lines of the file for one box; none without a box."""
    if any(number != number for number in box):
        return
    left, top, width, height = map(number_text, box)
    yield f"    <box top='{top}' left='{left}' width='{width}' height='{height}'>\n"
    for name, (x, y) in zip(quoted, points, strict=True):
        if x == x and y == y:
            yield f"      <part name={name} x='{number_text(x)}' y='{number_text(y)}'/>\n"
    yield "    </box>\n"


def write_dlib_xml(
    path: FilePath,
    data: ImagesLike,
    target: ArrayLike,
    *,
    part_names: Sequence[str] | None = None,
    whole_pixels: bool = False,
) -> None:
    """Write boxes and landmarks to an XML file of dlib and imglab.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file; an existing file is replaced.
    data : BoxedImages of shape (n,)
        Image files with boxes. Paths below the folder of `path` are written as relative
        paths, others as absolute ones. Consecutive samples of the same image are written as
        boxes of one ``<image>``. Images of samples without box and landmarks are written
        without a box, as imglab does for images that are not annotated.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        In image pixels counted from 0. Landmarks with NaN are not written.
    part_names : sequence of str, default=None
        Name of each landmark. None uses the names of the schema of `data`, or ``00``,
        ``01``, ... without a schema.
    whole_pixels : bool, default=False
        Whether to round boxes and landmarks to integers. dlib and imglab accept only
        integers and reject files with ``x='12.5'``. With False, :func:`read_dlib_xml` reads
        back the same numbers.

    Raises
    ------
    FileNotFoundError
        If the folder of `path` does not exist.
    ValueError
        If `data` contains pixels in memory, a sample with landmarks has no box, `data` does
        not fit `target`, or a name contains characters that XML does not allow.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing import BoxedImages
    >>> from skwing.datasets import read_dlib_xml, write_dlib_xml
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     images = BoxedImages([Path(folder, "a.jpg")], boxes=[[10, 20, 30, 40]])
    ...     write_dlib_xml(Path(folder, "labels.xml"), images, [[[12, 30.5], [15, 22]]])
    ...     read_dlib_xml(Path(folder, "labels.xml")).target
    array([[[12. , 30.5],
            [15. , 22. ]]])
    """
    data, points = check_written(data, target)
    boxes = _check_boxes(data, points)
    quoted = _part_names(part_names, data, points[~np.isnan(boxes).any(axis=1)])
    if whole_pixels:
        boxes, points = _whole(boxes, points)
    check_alike([name[1:-1] for name in quoted], points, "target")
    folder = os.path.dirname(os.path.abspath(path))
    image = None
    with replacing(path) as file:
        file.write("<?xml version='1.0' encoding='UTF-8'?>\n<dataset>\n<images>\n")
        for i, name in enumerate(data.paths):  # type: ignore[arg-type]
            if name != image:
                file.write("" if image is None else "  </image>\n")
                written = _quoted(relative_path(name, folder), f"{data.describe(i)}: the path")
                file.write(f"  <image file={written}>\n")
            image = name
            file.writelines(_lines(boxes[i].tolist(), points[i].tolist(), quoted))
        file.write("  </image>\n</images>\n</dataset>\n")
