"""Reader of AFLW with 19 landmarks, in the published layout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing.datasets._dataset import as_bunch
from skwing.datasets._paths import inside
from skwing.datasets._published.mat import as_numbers, read_mat
from skwing.datasets._published.protocols import HIDDEN, hide
from skwing.images import BoxedImages
from skwing.schema import AFLW19

if TYPE_CHECKING:
    from typing import Literal

    from skwing._utils.types import FilePath, Flags, Floats, Ints
    from skwing.datasets._dataset import Dataset
    from skwing.schema import LandmarkSchema

    class AFLW(Dataset):
        schema: LandmarkSchema
        visible: Flags
        face_size: Floats
        index: Ints


FILE = "AFLWinfo_release.mat"
N_FACES, N_TRAIN = 24386, 20000
IMAGE_FOLDERS = ("flickr", "data/flickr", "aflw/data/flickr", "images")

_DESCR = """AFLW with 19 landmarks (AFLW-19): faces in a full range of head poses

{n_samples} faces of {n_photos} photos: {subset} {split}.
data: the images, decoded when needed, each with its published box.
target: landmarks in image pixels counted from 0, an array of shape (n, 19, 2).
visible: whether each landmark can be seen; {hidden}.
groups: the photo of each face; keep the faces of one photo in one fold.

Zhu, Li, Loy, Tang: Unconstrained Face Alignment via Cascaded Compositional Learning. CVPR
2016. Koestinger, Wohlhart, Roth, Bischof: Annotated Facial Landmarks in the Wild. ICCV
Workshops 2011. For research; the photographs belong to their owners.
"""


def _read_index(path, variables):
    """Rows, counted from 0, in the published random order."""
    order = np.asarray(variables["ra"]).reshape(-1, 1)
    order = as_numbers({"ra": order}, "ra", (N_FACES, 1), path)[:, 0]
    if not np.array_equal(np.sort(order), np.arange(1, N_FACES + 1)):
        raise ValueError(f"{path}: ra is no order of the numbers 1 to {N_FACES}.")
    return order.astype(np.intp) - 1


def _read_names(path, variables):
    cells = variables["nameList"].ravel()
    if len(cells) != N_FACES:
        raise ValueError(f"{path}: nameList holds {len(cells)} names, expected {N_FACES}.")
    names = []
    for number, cell in enumerate(cells, 1):
        text = np.asarray(cell).ravel()
        if len(text) != 1 or not isinstance(text[0], str):
            raise ValueError(f"{path}: nameList({number}) is no text.")
        names.append(str(text[0]).strip())
    return names


def _read_boxes(path, variables):
    left, right, top, bottom = as_numbers(variables, "bbox", (N_FACES, 4), path).T
    wrong = np.flatnonzero((right <= left) | (bottom <= top))
    if len(wrong):
        row = variables["bbox"][wrong[0]].tolist()
        raise ValueError(
            f"{path}: bbox({int(wrong[0]) + 1}, :) is {row}, expected left < right, top < bottom."
        )
    return np.stack([left, top, right - left, bottom - top], axis=1)


def _rows(order, visible, split, subset):
    """Rows of the file for a split and a subset."""
    parts = {None: np.arange(N_FACES), "train": order[:N_TRAIN], "test": order[N_TRAIN:]}
    rows = parts[split]
    return rows[visible[rows].all(axis=1)] if subset == "frontal" else rows


@overload
def load_aflw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    subset: Literal["full", "frontal"] = "full",
    hidden: Literal["keep", "nan"] = "keep",
    return_X_y: Literal[False] = False,
) -> AFLW: ...


@overload
def load_aflw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    subset: Literal["full", "frontal"] = "full",
    hidden: Literal["keep", "nan"] = "keep",
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def load_aflw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    subset: Literal["full", "frontal"] = "full",
    hidden: Literal["keep", "nan"] = "keep",
    return_X_y: bool = False,
) -> AFLW | tuple[BoxedImages, Floats]:
    """Load AFLW with 19 landmarks and the split of AFLW-Full.

    Parameters
    ----------
    root : str or os.PathLike
        Folder with ``AFLWinfo_release.mat``, as published by Zhu et al. (2016), and
        the images of AFLW in ``flickr`` (or ``data/flickr``, ``aflw/data/flickr``,
        ``images``).
    split : {"train", "test"} or None, default="train"
        The first 20000 or the last 4386 faces of the published random order, in that
        order; None loads all 24386 in the order of the file.
    subset : {"full", "frontal"}, default="full"
        "frontal" loads only faces whose 19 landmarks are all visible; with
        ``split="test"``, this is AFLW-Frontal.
    hidden : {"keep", "nan"}, default="keep"
        Whether to keep hidden landmarks in `target`, or to replace them by NaN.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Image files, decoded on access, with the schema and the published boxes.
        target : ndarray of shape (n, 19, 2)
            Landmarks in image pixels counted from 0, float64.
        schema : LandmarkSchema
            :data:`skwing.schema.AFLW19`.
        groups : ndarray of str of shape (n,)
            Photo of each face; some photos have several faces.
        names : ndarray of str of shape (n,)
            Image and row of the file, counted from 1, such as ``"0/image00002.jpg:17"``.
        visible : ndarray of bool of shape (n, 19)
            Whether each landmark is visible.
        face_size : ndarray of shape (n,)
            Normalising length in pixels.
        index : ndarray of int of shape (n,)
            Row of each face in the file, counted from 0.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If ``AFLWinfo_release.mat`` does not exist.
    ValueError
        If this file is damaged or not the published one.

    Notes
    -----
    **Protocol** (AFLW-Full). There are 20000 faces for training and 4386 for testing. The
    error of a face is the mean distance of all 19 landmarks divided by the face size, which
    is the side of the box in the file (Feng et al. 2018, tables 1 and 3)::

        nme(test.target, predicted, normalizer="box", boxes=test.data.boxes)

    Boxes should be square; for others, the geometric mean of the sides is used. Papers that
    divide by the diagonal of the box report errors smaller by the square root of 2.

    AFLW itself contains only visible landmarks. Zhu et al. annotated the hidden ones by
    hand, so that all 19 can be used for training and testing, and all published errors on
    AFLW-Full include them. Therefore they are kept by default. Results with
    ``hidden="nan"`` cannot be compared with published ones.

    The published sizes of AFLW-Frontal differ: 1165 in the description of the data set, 1314
    in later work. This reader uses the mask in the file.

    Coordinates are not changed. The file does not specify whether pixels are counted from 0
    or 1; all public readers assume 0. Some landmarks are outside their image. Later releases
    of AFLW lack a few of the images, which raises an error when they are decoded.

    Examples
    --------
    >>> from skwing.datasets import load_aflw
    >>> faces = load_aflw("path/to/aflw")  # doctest: +SKIP
    >>> faces.data  # doctest: +SKIP
    BoxedImages(20000 paths, boxes, schema='aflw19')
    """
    check_choice(split, "split", ("train", "test", None))
    check_choice(subset, "subset", ("full", "frontal"))
    check_choice(hidden, "hidden", HIDDEN)
    root = Path(root)
    path = root / FILE
    variables = read_mat(path, ("bbox", "data", "mask_new", "nameList", "ra"))
    points = as_numbers(variables, "data", (N_FACES, 2 * AFLW19.n_landmarks), path, missing=True)
    points = points.reshape(N_FACES, 2, AFLW19.n_landmarks).transpose(0, 2, 1)
    mask = as_numbers(variables, "mask_new", (N_FACES, AFLW19.n_landmarks), path, missing=True)
    boxes, names = _read_boxes(path, variables), _read_names(path, variables)
    rows = _rows(_read_index(path, variables), mask == 1, split, subset)
    folder = next((root / f for f in IMAGE_FOLDERS if (root / f).is_dir()), root / "flickr")
    paths = [inside(folder, names[i], f"{path}: nameList({i + 1})") for i in rows]
    visible = mask[rows] == 1
    return as_bunch(
        BoxedImages(paths, boxes=boxes[rows], schema=AFLW19),
        hide(points[rows], visible, hidden),
        names=[f"{names[i]}:{i + 1}" for i in rows],
        descr=_DESCR.format(
            n_samples=len(rows),
            n_photos=len(set(paths)),
            subset=subset,
            split="training and test set" if split is None else f"{split} set",
            hidden=HIDDEN[hidden],
        ),
        return_X_y=return_X_y,
        visible=visible,
        face_size=np.sqrt(boxes[rows, 2] * boxes[rows, 3]),
        index=rows,
    )
