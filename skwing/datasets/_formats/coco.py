"""Reader of keypoints in the JSON format of COCO."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing.boxes._boxes import boxes_around
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.coco_json import (
    find_categories,
    id_of,
    load_json,
    number_rows,
    objects_of,
    schema_of,
)
from skwing.datasets._formats.names import order_in
from skwing.datasets._paths import image_finder
from skwing.images import BoxedImages
from skwing.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath, Floats
    from skwing.datasets._dataset import Dataset
    from skwing.schema import LandmarkSchema

    class Coco(Dataset):
        schema: LandmarkSchema
        visibility: NDArray[Any]
        ids: list[Any]
        image_ids: list[Any]
        categories: list[Any]
        image_sizes: Floats
        left_out: dict[str, int]
        n_images: int
        unread: tuple[str, ...]


# Keys that are read, or that follow from what is read.
_READ = frozenset(
    ["id", "image_id", "category_id", "keypoints", "num_keypoints", "bbox", "area", "iscrowd"]
)
BOXES = ("annotated", "landmarks", None)

_DESCR = """Keypoints from a file in COCO's format

{n_samples} of category {category} in {n_photos} images, from {path}.
data: the images, decoded when needed.
target: {n_landmarks} landmarks in image pixels counted from 0; NaN if not labelled.
visibility: 0 for not labelled, 1 for labelled though hidden, 2 for seen.
Left out: {left_out}.
"""


@overload
def read_coco(
    path: FilePath,
    images: FilePath | None = None,
    *,
    category: str | int | Sequence[str | int] | None = None,
    boxes: Literal["annotated", "landmarks"] | None = "annotated",
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[False] = False,
) -> Coco: ...


@overload
def read_coco(
    path: FilePath,
    images: FilePath | None = None,
    *,
    category: str | int | Sequence[str | int] | None = None,
    boxes: Literal["annotated", "landmarks"] | None = "annotated",
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def read_coco(
    path: FilePath,
    images: FilePath | None = None,
    *,
    category: str | int | Sequence[str | int] | None = None,
    boxes: Literal["annotated", "landmarks"] | None = "annotated",
    schema: str | LandmarkSchema | None = None,
    return_X_y: bool = False,
) -> Coco | tuple[BoxedImages, Floats]:
    """Read keypoints of one or several categories from a JSON file in COCO's format.

    Coordinates are not changed. Keypoints of COCO are pixel indices counted from 0, so
    integers are pixel centres. Boxes are measured from the outer edge of the first pixel, so
    (0, 0, width, height) is the whole image. These are the conventions of this package.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file, such as ``annotations/person_keypoints_val2017.json``.
    images : str or os.PathLike, default=None
        Folder that the file names of images are relative to and that must contain them. None
        is the folder of `path`, and permits any absolute path. Absolute paths of another
        computer are looked up by their longest end that exists there.
    category : str, int or list of these, default=None
        Name or id of the category to read, or several categories with the same keypoints,
        such as species. None reads the only category with keypoints. Categories without
        names of keypoints require `schema`.
    boxes : {"annotated", "landmarks", None}, default="annotated"
        "annotated" uses the boxes of the file, NaN for annotations without a box if others
        have one. "landmarks" uses the bounding boxes of the labelled landmarks, NaN if these
        coincide. None uses no boxes.
    schema : str or LandmarkSchema, default=None
        None creates a schema from the category in the file: names, the skeleton as lines of
        two points, and mirror pairs. Mirror pairs are taken from ``flip_pairs`` (names, or
        indices from 0; null for no mirroring) or ``swap`` (the partner of each name), which
        some tools add, else from the names (:meth:`skwing.LandmarkSchema.from_names`). If the
        names are those of the schema, landmarks are brought into its order.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    bunch : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Images in the order of the annotations.
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels; NaN for keypoints with v=0.
        visibility : ndarray of int of shape (n, n_landmarks)
            v in the file: 0 not labelled, 1 labelled but hidden, 2 visible.
        schema : LandmarkSchema
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Path of the image of each annotation.
        names : ndarray of str of shape (n,)
            Ids of the annotations as text, or their indices in the file if they have no id.
        ids, image_ids : list
            Ids of each annotation and of its image; None if there is no id.
        categories : list
            Id of the category of each annotation.
        image_sizes : ndarray of shape (n, 2)
            Width and height stated in the file; NaN if they are not.
        left_out : dict of str to int
            Number of skipped annotations: "crowd"; "unlabelled", without labelled
            keypoints; "other_category".
        n_images : int
            Number of images in the file, also of those without annotations.
        unread : tuple of str
            Keys of annotations that have content and are not read, such as "segmentation".
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    FileNotFoundError
        If the file does not exist. Images are not accessed.
    ValueError
        If the file does not have this format, a path leaves the folder, no annotation is
        left, or the category is ambiguous. The message names the element.

    Warns
    -----
    UserWarning
        If a name has a side but no partner, so that mirroring is disabled.

    References
    ----------
    Lin et al., Microsoft COCO: Common Objects in Context. ECCV 2014. The format is
    described at https://cocodataset.org/#format-data.

    Examples
    --------
    >>> from skwing.datasets import read_coco
    >>> people = read_coco("annotations/val.json", "val2017")  # doctest: +SKIP
    >>> people.data  # doctest: +SKIP
    BoxedImages(6352 paths, boxes, schema='person')
    """
    check_choice(boxes, "boxes", BOXES)
    content = load_json(path)
    schema = check_schema(schema)
    categories = objects_of(content, "categories", path)
    chosen = find_categories(categories, category, path, schema is not None)
    schema, order = _landmarks(chosen[0], schema, path)
    told = ", ".join(str(one["name"])[:60] for one in chosen[:5]) + ", ..." * (len(chosen) > 5)
    photos = _index_images(objects_of(content, "images", path), image_finder(path, images), path)
    annotations = objects_of(content, "annotations", path)
    rows, left_out = _choose(annotations, {one["id"] for one in chosen}, path)
    points, visibility = (own[:, order] for own in _keypoints(annotations, rows, len(order), path))
    labelled = (visibility > 0).any(axis=1)
    left_out["unlabelled"] += int((~labelled).sum())
    summary = ", ".join(f"{what.replace('_', ' ')} {n}" for what, n in left_out.items())
    if not labelled.any():
        raise ValueError(
            f"{path}: no annotation of category {told!r} has a labelled keypoint; "
            f"left out: {summary}."
        )
    points, visibility = points[labelled], visibility[labelled]
    rows = [row for row, keep in zip(rows, labelled.tolist(), strict=True) if keep]
    ids, image_ids = _ids(annotations, rows, photos, path)
    paths = [photos[own][0] for own in image_ids]
    given = _boxes(annotations, rows, path) if boxes == "annotated" else None
    around = boxes_around(points) if boxes == "landmarks" else given
    sizes = np.array([photos[own][1] for own in image_ids], dtype=np.float64)
    return as_bunch(
        BoxedImages(paths, boxes=around, schema=schema).with_stated_sizes(sizes, path),
        points,
        names=[row if own is None else own for row, own in zip(rows, ids, strict=True)],
        descr=_DESCR.format(
            n_samples=len(rows),
            category=told,
            n_photos=len(set(paths)),
            path=path,
            n_landmarks=len(order),
            left_out=summary,
        ),
        return_X_y=return_X_y,
        visibility=visibility,
        ids=ids,
        categories=[annotations[row]["category_id"] for row in rows],
        image_ids=image_ids,
        image_sizes=sizes,
        left_out=left_out,
        n_images=len(photos),
        unread=_unread(annotations, rows),
    )


def _landmarks(category, schema, path):
    """Schema of a category, and the index in the file of each of its landmarks."""
    names = category.get("keypoints")
    if schema is None:
        return schema_of(category, path), list(range(len(names)))
    schema = check_schema(schema, len(names) if names else None)
    return schema, order_in(schema, names, path) if names else list(range(schema.n_landmarks))


def _unread(annotations, rows):
    """Keys of annotations that have content and are not read."""
    found = {
        key: None
        for row in rows
        for key, value in annotations[row].items()
        if key not in _READ and value not in (None, "", [], {})
    }
    return tuple(map(str, found))


def _index_images(entries, find, path):
    """File and size of each image by its id."""
    photos = {}
    for i, entry in enumerate(entries):
        where = f"{path}, images[{i}]"
        own = id_of(entry, "id", where)
        if own in photos:
            raise ValueError(f"{where}: the id {own!r:.60} is there twice.")
        size = [entry.get(key) for key in ("width", "height")]
        size = [value if type(value) in (int, float) else np.nan for value in size]
        photos[own] = find(entry.get("file_name"), where), _finite(size)
    return photos


def _finite(size):
    """Width and height, or NaN if they are invalid."""
    return tuple(float(value) if 0 < value < 2**31 else np.nan for value in size)


def _choose(annotations, category_ids, path):
    """Indices of the annotations to read, and numbers of skipped ones."""
    rows, left_out = [], {"crowd": 0, "unlabelled": 0, "other_category": 0}
    for i, annotation in enumerate(annotations):
        if id_of(annotation, "category_id", f"{path}, annotations[{i}]") not in category_ids:
            left_out["other_category"] += 1
        elif annotation.get("iscrowd"):
            left_out["crowd"] += 1
        elif not annotation.get("keypoints"):
            left_out["unlabelled"] += 1
        else:
            rows.append(i)
    return rows, left_out


def _keypoints(annotations, rows, n_landmarks, path):
    """Points and visibilities of the given rows."""
    triples = number_rows(
        [annotations[row]["keypoints"] for row in rows],
        3 * n_landmarks,
        lambda i: f"{path}, annotations[{rows[i]}]: keypoints",
    ).reshape(-1, n_landmarks, 3)
    visibility = triples[:, :, 2]
    wrong = np.argwhere(~np.isin(visibility, (0, 1, 2)))
    if len(wrong):
        i, j = wrong[0]
        raise ValueError(
            f"{path}, annotations[{rows[i]}]: the visibility of keypoint {j} is "
            f"{visibility[i, j]:g}, expected 0, 1 or 2."
        )
    points = triples[:, :, :2].copy()
    points[visibility == 0] = np.nan
    return points, visibility.astype(np.int8)


def _ids(annotations, rows, photos, path):
    """Ids of the given rows (None if missing) and of their images."""
    ids, image_ids = [], []
    for row in rows:
        annotation, where = annotations[row], f"{path}, annotations[{row}]"
        ids.append(None if annotation.get("id") is None else id_of(annotation, "id", where))
        image_ids.append(id_of(annotation, "image_id", where))
        if image_ids[-1] not in photos:
            raise ValueError(f"{where}: no image has the id {image_ids[-1]!r:.60}.")
    return ids, image_ids


def _boxes(annotations, rows, path):
    """Boxes of the given rows, NaN if missing; None if all are missing."""
    given = [(i, box) for i, row in enumerate(rows) if (box := annotations[row].get("bbox"))]
    if not given:
        return None
    places = [i for i, _ in given]

    def describe(i):
        return f"{path}, annotations[{rows[places[i]]}]: bbox"

    found = number_rows([box for _, box in given], 4, describe)
    for i in np.flatnonzero((found[:, 2:] <= 0).any(axis=1)):
        raise ValueError(
            f"{describe(i)} is {found[i].tolist()}, expected a width and height above 0. "
            "boxes='landmarks' or None ignores the boxes of the file."
        )
    boxes = np.full((len(rows), 4), np.nan)
    boxes[places] = found
    return boxes
