"""Reader of the 300-W data set in the published layout."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing.boxes._boxes import boxes_around
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.pts import annotated_images, read_pts
from skwing.datasets._paths import IMAGE_SUFFIXES
from skwing.datasets._published.mat import read_mat
from skwing.datasets._published.protocols import warn_if_incomplete
from skwing.images import BoxedImages
from skwing.schema import IBUG68

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Literal

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.schema import LandmarkSchema

    class IBUG(Dataset):
        schema: LandmarkSchema
        subset: NDArray[np.str_]


SUBSETS = (
    "lfpw/trainset",
    "lfpw/testset",
    "helen/trainset",
    "helen/testset",
    "afw",
    "ibug",
    "01_Indoor",
    "02_Outdoor",
)
# Published number of faces of each part of a protocol.
_COMMON = {"lfpw/testset": 224, "helen/testset": 330}
_CHALLENGING = {"ibug": 135}
PROTOCOLS = {
    "train": {"lfpw/trainset": 811, "helen/trainset": 2000, "afw": 337},
    "common": _COMMON,
    "challenging": _CHALLENGING,
    "full": _COMMON | _CHALLENGING,
    "test": {"01_Indoor": 300, "02_Outdoor": 300},
}
BOXES = ("detector", "ground_truth", "landmarks")

# In AFW, HELEN and IBUG, NAME_2.jpg is the second face of photo NAME. In LFPW and the 300-W test
# set, numbers such as image_0001 are those of photos.
_MANY_FACES = ("afw", "helen", "ibug")

_DESCR = """300-W: faces in the wild with 68 landmarks each

{n_samples} faces of {n_photos} photos, from {subsets}.
data: the images, decoded when needed, each with its {boxes} box.
target: landmarks in image pixels counted from 0, an array of shape (n, 68, 2).
groups: the photo of each face; keep the faces of one photo in one fold.

Sagonas, Tzimiropoulos, Zafeiriou, Pantic: 300 Faces in-the-Wild Challenge. ICCV Workshops
2013. For research; the photographs belong to their owners.
"""


def _stem(name):
    """Key of a face: the .mat files may differ from the files in case, type or blanks."""
    base, suffix = os.path.splitext(name)
    base = base if suffix.lower() in IMAGE_SUFFIXES else name
    return "".join(base.lower().split())


def _check_subsets(root, subsets):
    present = [name for name in SUBSETS if (root / name).is_dir()]
    if subsets is None:
        if not present:
            raise ValueError(
                f"{root} holds no subset of 300-W: expected one or more of the folders "
                f"{', '.join(SUBSETS)}."
            )
        return present
    subsets = [subsets] if isinstance(subsets, str) else list(subsets)
    subsets = [name.replace("\\", "/").strip("/") for name in subsets]
    for name in subsets:
        if not (root / name).is_dir():
            raise ValueError(
                f"{root} holds no subset {name!r}; those present: {', '.join(present) or 'none'}."
            )
    if not subsets or len(set(subsets)) < len(subsets):
        raise ValueError(f"subsets must name each subset once, and one at least; got {subsets}.")
    return subsets


def _read_landmarks(files):
    points = np.empty((len(files), IBUG68.n_landmarks, 2))
    for i, file in enumerate(files):
        face = read_pts(file)
        if len(face) != IBUG68.n_landmarks:
            raise ValueError(f"{file}: found {len(face)} points, expected {IBUG68.n_landmarks}.")
        points[i] = face
    return points


def _box_file(root, subset):
    """Path of the .mat file with the boxes of a subset."""
    name = f"bounding_boxes_{subset.replace('/', '_')}.mat"
    for folder in ("Bounding Boxes", "Bounding_Boxes", "bounding_boxes", ""):
        if (path := root / folder / name).is_file():
            return path
    raise FileNotFoundError(
        f"there is no {root / 'Bounding Boxes' / name}, which the boxes of {subset} come from. "
        "boxes='landmarks' needs no such file."
    )


def _read_boxes(path, field):
    """Corners x0, y0, x1, y1 as in the file, counted from 1, by the stem of the image."""
    try:
        entries = read_mat(path, ("bounding_boxes",))["bounding_boxes"].ravel()
        structs = [entry if isinstance(entry, dict) else entry.item() for entry in entries]
        return {
            _stem(entry["imgName"].item().strip()): entry[field].astype(np.float64).reshape(4)
            for entry in structs
        }
    except Exception as error:  # any other content than these structs
        raise ValueError(
            f"{path}: expected a MATLAB file with structs bounding_boxes of imgName, "
            f"bb_detector and bb_ground_truth; reading it gave {type(error).__name__}: {error}"
        ) from error


def _boxes_from_file(root, subset, names, boxes):
    path = _box_file(root, subset)
    corners = _read_boxes(path, f"bb_{boxes}")
    absent = np.full(4, np.nan)
    corners = np.array([corners.get(_stem(name), absent) for name in names])
    lost = np.flatnonzero(np.isnan(corners).any(axis=1))
    if len(lost):
        raise ValueError(
            f"{path}: {len(lost)} of the {len(names)} images of {subset} have no {boxes} box, "
            f"the first is {names[lost[0]]}. boxes='landmarks' needs no such file."
        )
    low, high = corners[:, :2], corners[:, 2:]
    return np.concatenate([low - 1, high - low + 1], axis=1)


def _photo(subset, name):
    """Name of the photo that contains the face."""
    collection = subset.split("/")[0]
    if collection.lower() in _MANY_FACES:
        return f"{collection}/{re.sub(r' *_[0-9]+$', '', name)}"
    return f"{subset}/{name}"


@overload
def load_300w(
    root: FilePath,
    *,
    subsets: str | Iterable[str] | None = None,
    protocol: Literal["train", "common", "challenging", "full", "test"] | None = None,
    boxes: Literal["detector", "ground_truth", "landmarks"] = "detector",
    return_X_y: Literal[False] = False,
) -> IBUG: ...


@overload
def load_300w(
    root: FilePath,
    *,
    subsets: str | Iterable[str] | None = None,
    protocol: Literal["train", "common", "challenging", "full", "test"] | None = None,
    boxes: Literal["detector", "ground_truth", "landmarks"] = "detector",
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def load_300w(
    root: FilePath,
    *,
    subsets: str | Iterable[str] | None = None,
    protocol: Literal["train", "common", "challenging", "full", "test"] | None = None,
    boxes: Literal["detector", "ground_truth", "landmarks"] = "detector",
    return_X_y: bool = False,
) -> IBUG | tuple[BoxedImages, Floats]:
    """Load 300-W with 68 landmarks, from the published folders.

    Parameters
    ----------
    root : str or os.PathLike
        Folder with ``lfpw``, ``helen``, ``afw``, ``ibug`` and ``Bounding Boxes``, or some of
        them.
    subsets : str or sequence of str, default=None
        Folders below `root`, such as ``"lfpw/trainset"`` or ``"afw"``, with .pts files and an
        image for each. None loads all folders of 300-W that exist.
    boxes : {"detector", "ground_truth", "landmarks"}, default="detector"
        The boxes of the face detector or of the annotators, from ``Bounding Boxes/*.mat``, or
        the bounding boxes of the landmarks, which do not need this file.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Image files, decoded on access, with the schema.
        target : ndarray of shape (n, 68, 2)
            Landmarks in image pixels counted from 0, float64.
        schema : LandmarkSchema
            :data:`skwing.schema.IBUG68`.
        groups : ndarray of str of shape (n,)
            Photo of each face, for `GroupKFold`. AFW, HELEN and IBUG have photos with several
            faces, each in a separate file.
        names : ndarray of str of shape (n,)
            Names such as ``"afw/134212_1"``.
        subset : ndarray of str of shape (n,)
            Folder of each face.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If `root`, an image, or the file of the boxes is missing.
    ValueError
        If a subset is missing, a .pts or .mat file is not as published, an image has no
        box, or both `subsets` and `protocol` are passed.

    Warns
    -----
    UserWarning
        If `protocol` is passed and the number of faces of a subset differs from the
        published one.

    Notes
    -----
    **Protocols** (Sagonas et al. 2013; split in common and challenging by Ren et al., CVPR
    2014, as in table 4 of Feng et al. 2018):

    - "train": 3148 faces: the training sets of LFPW (811) and HELEN (2000), and AFW (337).
    - "common": 554 faces: the test sets of LFPW (224) and HELEN (330).
    - "challenging": the 135 faces of IBUG.
    - "full": 689 faces, "common" and "challenging" together.
    - "test": the 600 test faces of the challenge, 300 indoors and 300 outdoors, from the
      folders ``01_Indoor`` and ``02_Outdoor``. They were published later and without boxes:
      use ``boxes="landmarks"``.

    The error of a face is the mean distance of its 68 landmarks divided by a normalising
    length. Feng et al. and earlier papers use the distance between the pupils, which are the
    means of the six points around each eye (``"inter_pupil"`` of
    :func:`skwing.metrics.nme`). The challenge and later papers use the distance between the
    outer eye corners (``"inter_ocular"``), which gives errors smaller by a factor of about
    0.71.

    Examples
    --------
    >>> from skwing.datasets import load_300w
    >>> faces = load_300w("path/to/300w", subsets="afw")  # doctest: +SKIP
    >>> faces.data  # doctest: +SKIP
    BoxedImages(337 paths, boxes, schema='ibug68')
    """
    root = Path(root)
    check_choice(boxes, "boxes", BOXES)
    check_choice(protocol, "protocol", (None, *PROTOCOLS))
    if protocol is not None:
        if subsets is not None:
            raise ValueError("subsets and protocol exclude each other: pass one of them.")
        subsets = tuple(PROTOCOLS[protocol])
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}.")
    paths, target, rows, names, groups, subset_of = [], [], [], [], [], []
    for subset in _check_subsets(root, subsets):
        faces, files, images = annotated_images(root / subset, key=str)
        points = _read_landmarks(files)
        if boxes == "landmarks":
            rows.append(boxes_around(points))
        else:
            rows.append(_boxes_from_file(root, subset, faces, boxes))
        target.append(points)
        paths += images
        names += [f"{subset}/{name}" for name in faces]
        groups += [_photo(subset, name) for name in faces]
        subset_of += [subset] * len(faces)
    if protocol is not None:
        found = {subset: subset_of.count(subset) for subset in PROTOCOLS[protocol]}
        warn_if_incomplete(root, found, PROTOCOLS[protocol])
    return as_bunch(
        BoxedImages(paths, boxes=np.concatenate(rows), schema=IBUG68),
        np.concatenate(target),
        names=names,
        groups=groups,
        descr=_DESCR.format(
            n_samples=len(paths),
            n_photos=len(set(groups)),
            subsets=", ".join(dict.fromkeys(subset_of)),
            boxes=boxes.replace("_", " "),
        ),
        return_X_y=return_X_y,
        subset=np.array(subset_of),
    )
