"""Reader of COFW, and of its test faces with 68 landmarks, in the published layouts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing.datasets._dataset import as_bunch
from skwing.datasets._published.mat import as_numbers, read_mat
from skwing.datasets._published.protocols import HIDDEN, hide, warn_if_incomplete
from skwing.images import BoxedImages
from skwing.schema import COFW29, IBUG68

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath, Flags, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.schema import LandmarkSchema

    class COFW(Dataset):
        schema: LandmarkSchema
        visible: Flags
        split: NDArray[np.str_]


COUNTS = {"train": 1345, "test": 507}
SUFFIXES = {"train": "Tr", "test": "T"}  # suffixes of variables: IsTr, phisTr, bboxesTr; IsT ...
FOLDERS_68 = ("COFW68_Data", "cofw68-benchmark-master/COFW68_Data", "")

_DESCR = """COFW: partly occluded faces in the wild, with {n_landmarks} landmarks each

{n_samples} faces: {split}.
data: the images, in memory, each with its published box.
target: landmarks in image pixels counted from 0, an array of shape (n, {n_landmarks}, 2).
visible: whether each landmark can be seen; {hidden}.

Burgos-Artizzu, Perona, Dollar: Robust Face Landmark Estimation Under Occlusion. ICCV 2013.
Ghiasi, Fowlkes: Occlusion Coherence: Detecting and Localizing Occluded Faces. 2015 (the 68
landmarks of the test faces). For research; the photographs belong to their owners.
"""


def _mat_file(root, split):
    names = f"COFW_{split}_color.mat", f"COFW_{split}.mat"
    for name in names:
        if (path := root / name).is_file():
            return path
    raise FileNotFoundError(f"there is no file {root / names[0]}, nor {names[1]} (grey).")


def _images(path, cells, name):
    """Images of a cell array; each (height, width) or (height, width, 3)."""
    cells = cells.ravel()
    for number, image in enumerate(cells, 1):
        shape = getattr(image, "shape", None)
        grey_or_rgb = shape is not None and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
        if not grey_or_rgb or image.dtype != np.uint8 or not image.size:
            found = type(image).__name__ if shape is None else f"{image.dtype} of shape {shape}"
            raise ValueError(
                f"{path}: {name}{{{number}}} is {found}, expected an image of uint8, grey or RGB."
            )
    return [np.ascontiguousarray(image) for image in cells]


def _visible(path, hidden_flags, name):
    """Mask of visible landmarks, from flags of hidden ones, which must be 0 or 1."""
    if not np.isin(hidden_flags, (0, 1)).all():
        raise ValueError(f"{path}: {name} has flags of hidden landmarks other than 0 and 1.")
    return hidden_flags == 0


def _boxes(path, variables, name, n):
    """Boxes counted from 0, from rows of left, top, width and height counted from 1."""
    boxes = as_numbers(variables, name, (n, 4), path)
    wrong = np.flatnonzero((boxes[:, 2:] <= 0).any(axis=1))
    if len(wrong):
        raise ValueError(
            f"{path}: {name}({int(wrong[0]) + 1}, :) is {boxes[wrong[0]].tolist()}, expected a "
            "width and height above 0."
        )
    return boxes - np.array([1, 1, 0, 0])


def _read_29(root, split):
    """Images, points, visibility and boxes of a split."""
    path = _mat_file(root, split)
    images, phis, bboxes = (f"{kind}{SUFFIXES[split]}" for kind in ("Is", "phis", "bboxes"))
    variables = read_mat(path, (images, phis, bboxes))
    pictures = _images(path, variables[images], images)
    table = as_numbers(variables, phis, (len(pictures), 3 * COFW29.n_landmarks), path)
    x, y, marks = table.reshape(len(pictures), 3, -1).transpose(1, 0, 2)
    points = np.stack([x, y], axis=2) - 1
    boxes = _boxes(path, variables, bboxes, len(pictures))
    return pictures, points, _visible(path, marks, phis), boxes


def _read_68(root):
    """Images, points, visibility and boxes of the test faces with 68 landmarks."""
    path = _mat_file(root, "test")
    pictures = _images(path, read_mat(path, ("IsT",))["IsT"], "IsT")
    n, n_landmarks = len(pictures), IBUG68.n_landmarks
    folders = [root / folder / "test_annotations" for folder in FOLDERS_68]
    folder = next((folder for folder in folders if folder.is_dir()), None)
    if folder is None:
        raise FileNotFoundError(
            f"there is no folder {folders[0]}, which has the 68 landmarks of the test faces."
        )
    points, visible = np.empty((n, n_landmarks, 2)), np.empty((n, n_landmarks), dtype=bool)
    for i in range(n):
        file = folder / f"{i + 1}_points.mat"
        variables = read_mat(file, ("Points", "Occ"))
        points[i] = as_numbers(variables, "Points", (n_landmarks, 2), file) - 1
        marks = {"Occ": np.asarray(variables["Occ"]).reshape(-1, 1)}  # a row or a column
        marks = as_numbers(marks, "Occ", (n_landmarks, 1), file)[:, 0]
        visible[i] = _visible(file, marks, "Occ")
    file = folder.parent / "cofw68_test_bboxes.mat"
    return pictures, points, visible, _boxes(file, read_mat(file, ("bboxes",)), "bboxes", n)


@overload
def load_cofw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    mark_up: Literal[29, 68] = 29,
    hidden: Literal["keep", "nan"] = "keep",
    return_X_y: Literal[False] = False,
) -> COFW: ...


@overload
def load_cofw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    mark_up: Literal[29, 68] = 29,
    hidden: Literal["keep", "nan"] = "keep",
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def load_cofw(
    root: FilePath,
    *,
    split: Literal["train", "test"] | None = "train",
    mark_up: Literal[29, 68] = 29,
    hidden: Literal["keep", "nan"] = "keep",
    return_X_y: bool = False,
) -> COFW | tuple[BoxedImages, Floats]:
    """Load COFW, whose faces have many occluded landmarks.

    The files contain the images, which are read into memory. The published files with colour
    images have version 7.3 of MATLAB's format; reading them requires h5py.

    Parameters
    ----------
    root : str or os.PathLike
        Folder with ``COFW_train_color.mat`` and ``COFW_test_color.mat`` as published,
        or the grey ``COFW_train.mat`` and ``COFW_test.mat``. For ``mark_up=68``, also with
        the folder ``COFW68_Data`` of the COFW-68 benchmark, or its content.
    split : {"train", "test"} or None, default="train"
        The 1345 training or the 507 test faces; None loads both.
    mark_up : {29, 68}, default=29
        The 29 landmarks of COFW, or the 68 of 300-W, which exist only for the test faces.
    hidden : {"keep", "nan"}, default="keep"
        Whether to keep occluded landmarks in `target`, or to replace them by NaN.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Images in memory, grey or RGB, with the schema and the published boxes.
        target : ndarray of shape (n, mark_up, 2)
            Landmarks in image pixels counted from 0, float64. The file counts from 1.
        schema : LandmarkSchema
            :data:`skwing.schema.COFW29` or :data:`skwing.schema.IBUG68`.
        groups, names : ndarray of str of shape (n,)
            Split and number in the file, counted from 1, such as ``"test/17"``.
        visible : ndarray of bool of shape (n, mark_up)
            Whether each landmark is visible.
        split : ndarray of str of shape (n,)
            ``"train"`` or ``"test"``.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ImportError
        If h5py is required and not installed.
    ValueError
        If a file is damaged or not as published, or `mark_up` is 68 and `split` is not
        ``"test"``.

    Warns
    -----
    UserWarning
        If the number of faces in a file differs from the published one.

    Notes
    -----
    **Protocol** (Burgos-Artizzu et al. 2013). There are 1345 faces for training (845
    training faces of LFPW, followed by 500 faces of COFW) and 507 for testing. The error of
    a face is the mean distance of its 29 landmarks, including occluded ones, divided by the
    distance between the pupils: ``nme(..., normalizer="inter_pupil")``. Errors above 0.1 are
    failures. Later papers divide by the distance between the outer eye corners,
    ``"inter_ocular"``, which gives smaller numbers.

    COFW-68 (Ghiasi and Fowlkes 2015) has the 68 landmarks of 300-W for the 507 test faces,
    and boxes similar to those of the detector of 300-W, for cross-data-set evaluation of
    models trained on 300-W.

    The errors of both protocols include occluded landmarks, so they are kept by default.

    Both data sets count pixels from 1, as MATLAB does: the code of the authors uses rounded
    coordinates as indices of the image. This reader subtracts 1; many others do not.

    Examples
    --------
    >>> from skwing.datasets import load_cofw
    >>> faces = load_cofw("path/to/cofw", split="test")  # doctest: +SKIP
    >>> faces.data  # doctest: +SKIP
    BoxedImages(507 arrays, boxes, schema='cofw29')
    """
    check_choice(split, "split", ("train", "test", None))
    check_choice(mark_up, "mark_up", (29, 68))
    check_choice(hidden, "hidden", HIDDEN)
    if mark_up == 68 and split != "test":
        raise ValueError(f"mark_up=68 exists for split='test' only; got split={split!r}.")
    root = Path(root)
    parts = ("train", "test") if split is None else (split,)
    read = [_read_68(root) if mark_up == 68 else _read_29(root, part) for part in parts]
    counts = {part: len(faces[0]) for part, faces in zip(parts, read, strict=True)}
    warn_if_incomplete(root, counts, COUNTS)
    images = [image for faces in read for image in faces[0]]
    points, visible, boxes = (np.concatenate([faces[i] for faces in read]) for i in (1, 2, 3))
    names = [f"{part}/{i + 1}" for part in parts for i in range(counts[part])]
    return as_bunch(
        BoxedImages(images, boxes=boxes, schema=COFW29 if mark_up == 29 else IBUG68),
        hide(points, visible, hidden),
        names=names,
        groups=names,
        descr=_DESCR.format(
            n_landmarks=mark_up,
            n_samples=len(images),
            split="training and test set" if split is None else f"{split} set",
            hidden=HIDDEN[hidden],
        ),
        return_X_y=return_X_y,
        visible=visible,
        split=np.repeat(parts, [counts[part] for part in parts]),
    )
