"""Reader of WFLW in the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing.datasets._dataset import as_bunch
from skwing.datasets._paths import inside
from skwing.datasets._published.protocols import warn_if_incomplete
from skwing.datasets._text import as_number, read_text
from skwing.images import BoxedImages
from skwing.schema import WFLW98

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath, Flags, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.schema import LandmarkSchema

    class WFLW(Dataset):
        schema: LandmarkSchema
        attributes: Flags
        attribute_names: tuple[str, ...]
        split: NDArray[np.str_]


ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
COUNTS = {"train": 7500, "test": 2500}
LIST_FOLDERS = (
    "WFLW_annotations/list_98pt_rect_attr_train_test",
    "list_98pt_rect_attr_train_test",
    "",
)

N_COORDINATES = 2 * WFLW98.n_landmarks
N_NUMBERS = N_COORDINATES + 4 + len(ATTRIBUTES)  # numbers of a line before the image

_DESCR = """WFLW: faces in the wild with 98 landmarks and six attributes each

{n_samples} faces of {n_photos} photos: {split}{attribute}.
data: the images, decoded when needed, each with its published box.
target: landmarks in image pixels counted from 0, an array of shape (n, 98, 2).
attributes: {attributes}; an array of bool of shape (n, 6).
groups: the photo of each face; keep the faces of one photo in one fold.

Wu, Qian, Yang, Wang, Cai, Zhou: Look at Boundary: A Boundary-Aware Face Alignment
Algorithm. CVPR 2018. For research; the photographs belong to their owners.
"""


def _list_file(root, split):
    name = f"list_98pt_rect_attr_{split}.txt"
    for folder in LIST_FOLDERS:
        if (path := root / folder / name).is_file():
            return path
    raise FileNotFoundError(f"there is no file {root / LIST_FOLDERS[0] / name}.")


def _parse_line(line, where):
    """Numbers and image of a line."""
    parts = line.split(None, N_NUMBERS)
    if len(parts) <= N_NUMBERS:
        raise ValueError(
            f"{where}: found {len(parts)} fields, expected {N_NUMBERS + 1}: {N_COORDINATES} "
            "coordinates, 4 of the box, 6 attributes and the image."
        )
    name = parts.pop().rstrip()
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = [np.nan]
    # float() accepts further notations; find the invalid number, if any.
    if not np.isfinite(numbers).all() or not (text := "".join(parts)).isascii() or "_" in text:
        numbers = [as_number(part, where) for part in parts]
    left, top, right, bottom = numbers[N_COORDINATES : N_COORDINATES + 4]
    if left > right or top > bottom:
        raise ValueError(
            f"{where}: the box is {left:g} {top:g} {right:g} {bottom:g}, expected left, top, "
            "right, bottom."
        )
    if not set(numbers[N_COORDINATES + 4 :]) <= {0, 1}:
        raise ValueError(
            f"{where}: the attributes are {' '.join(parts[-6:])}, expected 0 or 1 for each."
        )
    return numbers, name


def _read_list(path):
    """Numbers of all faces, an array of shape (n, 206), their images, and their lines."""
    numbers, names, lines = [], [], []
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if line.strip():
            face, name = _parse_line(line, f"{path}, line {number}")
            numbers.append(np.array(face))
            names.append(name)
            lines.append(number)
    if not names:
        raise ValueError(f"{path} holds no faces.")
    return np.array(numbers), names, lines


def _boxes(corners):
    """Boxes from the corner pixels, which are part of the box."""
    low, high = corners[:, :2], corners[:, 2:]
    return np.concatenate([low, high - low + 1], axis=1)


@overload
def load_wflw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    attribute: Literal["pose", "expression", "illumination", "make-up", "occlusion", "blur"]
    | None = None,
    return_X_y: Literal[False] = False,
) -> WFLW: ...


@overload
def load_wflw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    attribute: Literal["pose", "expression", "illumination", "make-up", "occlusion", "blur"]
    | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def load_wflw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    attribute: Literal["pose", "expression", "illumination", "make-up", "occlusion", "blur"]
    | None = None,
    return_X_y: bool = False,
) -> WFLW | tuple[BoxedImages, Floats]:
    """Load WFLW with 98 landmarks, boxes and attributes.

    Parameters
    ----------
    root : str or os.PathLike
        Folder with ``WFLW_annotations`` and ``WFLW_images``, as published.
    split : {"train", "test"} or None, default="train"
        The 7500 training or the 2500 test faces; None loads both.
    attribute : {"pose", "expression", "illumination", "make-up", "occlusion", "blur"}, \
            default=None
        Load only the faces with this attribute: a large pose, an exaggerated expression,
        extreme illumination, make-up, occlusion, or blur.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Image files, decoded on access, with the schema and the published boxes.
        target : ndarray of shape (n, 98, 2)
            Landmarks in image pixels counted from 0, float64.
        schema : LandmarkSchema
            :data:`skwing.schema.WFLW98`.
        groups : ndarray of str of shape (n,)
            Photo of each face; many photos have several faces.
        names : ndarray of str of shape (n,)
            Image and line of the list, such as ``"0--Parade/0_Parade_marchingband.jpg:12"``.
        attributes : ndarray of bool of shape (n, 6)
            Attributes of each face.
        attribute_names : tuple of str
            Names of the columns of `attributes`.
        split : ndarray of str of shape (n,)
            ``"train"`` or ``"test"``.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If a list is missing.
    ValueError
        If a line is not as published, or no face has `attribute`.

    Warns
    -----
    UserWarning
        If the number of faces in a list differs from the published one.

    Notes
    -----
    **Protocol** (Wu et al. 2018). There are 7500 faces for training and 2500 for testing.
    The error of a face is the mean distance of its 98 landmarks divided by the distance
    between the outer eye corners: ``nme(..., normalizer="inter_ocular")``. Failure rate and
    area under the cumulative error distribution are reported as well, both at 0.1. The same
    metrics are reported for the test faces with each attribute: pose 326, expression 314,
    illumination 698, make-up 206, occlusion 736 and blur 773. These are the faces in the
    files ``list_98pt_test_*.txt``, which are not read.

    Hidden landmarks are annotated, but not marked as hidden.

    The list contains the left, top, right and bottom pixel of a box, counted from 0. The box
    includes both corners, so it is one pixel wider than their distance. Feng et al. enlarged
    the boxes by a quarter for training, because some do not contain the whole face.

    Examples
    --------
    >>> from skwing.datasets import load_wflw
    >>> faces = load_wflw("path/to/wflw", split="test", attribute="pose")  # doctest: +SKIP
    >>> faces.data  # doctest: +SKIP
    BoxedImages(326 paths, boxes, schema='wflw98')
    """
    check_choice(split, "split", ("train", "test", None))
    check_choice(attribute, "attribute", (None, *ATTRIBUTES))
    root = Path(root)
    numbers, paths, names, split_of = [], [], [], []
    for part in ("train", "test") if split is None else (split,):
        path = _list_file(root, part)
        face_numbers, images, lines = _read_list(path)
        numbers.append(face_numbers)
        names += [f"{image}:{line}" for image, line in zip(images, lines, strict=True)]
        paths += [
            inside(root / "WFLW_images", image, f"{path}, line {line}")
            for image, line in zip(images, lines, strict=True)
        ]
        split_of += [part] * len(images)
    warn_if_incomplete(root, {part: split_of.count(part) for part in set(split_of)}, COUNTS)
    numbers, split_of = np.concatenate(numbers), np.array(split_of)
    attributes = numbers[:, N_COORDINATES + 4 :] == 1
    rows = np.arange(len(numbers))
    if attribute is not None:
        rows = np.flatnonzero(attributes[:, ATTRIBUTES.index(attribute)])
    if not len(rows):
        raise ValueError(f"{path}: no face has the attribute {attribute!r}.")
    return as_bunch(
        BoxedImages(
            [paths[i] for i in rows],
            boxes=_boxes(numbers[rows, N_COORDINATES : N_COORDINATES + 4]),
            schema=WFLW98,
        ),
        numbers[rows, :N_COORDINATES].reshape(len(rows), -1, 2),
        names=[names[i] for i in rows],
        descr=_DESCR.format(
            n_samples=len(rows),
            n_photos=len({paths[i] for i in rows}),
            split="training and test set" if split is None else f"{split} set",
            attribute="" if attribute is None else f", only those with {attribute}",
            attributes=", ".join(ATTRIBUTES),
        ),
        return_X_y=return_X_y,
        attributes=attributes[rows],
        attribute_names=ATTRIBUTES,
        split=split_of[rows],
    )
