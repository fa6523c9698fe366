"""Writer of keypoints in the JSON format of COCO."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.files import replacing
from skwing.datasets._checks import check_written
from skwing.datasets._formats.image_size import image_size
from skwing.datasets._formats.image_size import image_sizes as image_sizes_of
from skwing.datasets._formats.names import edges_of, mirror_pairs
from skwing.datasets._paths import written_paths
from skwing.schema import LandmarkSchema, check_schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema


def write_coco(
    path: FilePath,
    data: ImagesLike,
    target: ArrayLike,
    *,
    images: FilePath | None = None,
    schema: str | LandmarkSchema | None = None,
    visibility: ArrayLike | None = None,
    ids: Sequence[int | str] | None = None,
    image_ids: Sequence[int | str] | None = None,
    image_sizes: ArrayLike | None = None,
) -> None:
    """Write landmarks to a JSON file in COCO's format.

    :func:`read_coco` reads back the same landmarks, boxes and mirror pairs. Contours of the
    schema are written as lines of the skeleton; its other parts are not written. If `data`
    has no boxes, the box of the whole image is written for each sample. Samples with a
    missing box have none in the file. Samples without landmarks are written, but ignored by
    readers.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file, which is written atomically.
    data : BoxedImages of shape (n,)
        Image files.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        Landmarks in image pixels; NaN for missing ones, which are written with v=0.
    images : str or os.PathLike, default=None
        Folder that the file names of images are relative to and that must contain them. None
        is the folder of `path`; images elsewhere get absolute paths.
    schema : str or LandmarkSchema, default=None
        None uses the schema of the data; without a schema, names are numbers.
    visibility : array-like of int of shape (n, n_landmarks), default=None
        1 or 2 for known landmarks, 0 for missing ones. None means 2 for all known landmarks.
    ids, image_ids : sequence of int or str of length n, default=None
        Ids as returned by :func:`read_coco`. None counts from 1.
    image_sizes : array-like of shape (n, 2), default=None
        Width and height of the images, which tools of COCO require; rows of NaN are not
        written. None reads the headers of the image files; the size of a file that cannot
        be read is not written if its samples have no landmarks.

    Raises
    ------
    FileNotFoundError
        If the folder of `path`, or an image file to read the size from, does not exist.
    ValueError
        If shapes or lengths differ, or ids are invalid.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> from skwing.datasets import read_coco, write_coco
    >>> eyes = BoxedImages(["a.jpg", "b.jpg"])
    >>> points = [[[20, 30], [40, 30]], [[21.5, 33], [np.nan, np.nan]]]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/eyes.json"
    ...     write_coco(path, eyes, points, images=".", image_sizes=[[64, 48]] * 2)
    ...     read_coco(path).target[1]
    array([[21.5, 33. ],
           [ nan,  nan]])
    """
    data, points = check_written(data, target)
    points = np.where(np.isnan(points).any(axis=-1, keepdims=True), np.nan, points)
    n_samples, n_landmarks = points.shape[:2]
    schema = data.schema if schema is None else check_schema(schema, n_landmarks)
    if schema is None:
        schema = LandmarkSchema("object", [str(i) for i in range(n_landmarks)])
    if image_sizes is None:
        image_sizes = _sizes(data, points)
    sizes = np.asarray(image_sizes, dtype=np.float64)
    if sizes.shape != (n_samples, 2):
        raise ValueError(f"image_sizes has shape {sizes.shape}, expected ({n_samples}, 2).")
    image_ids = _check_image_ids(image_ids, data.paths)
    ids = range(1, n_samples + 1) if ids is None else ids
    ids = _check_ids(ids, n_samples, "ids")
    if len(set(ids)) < n_samples:
        raise ValueError("ids must be different, one for each sample.")
    entries = {}
    files = written_paths(data, path, images)
    for own, file, size in zip(image_ids, files, sizes.tolist(), strict=True):
        entries[own] = {"id": own, "file_name": file} | _size_entry(size)
    visibility = _check_visibility(visibility, points)
    annotations = [
        {"id": own, "image_id": image_id, "category_id": 1, "iscrowd": 0} | more
        for own, image_id, more in zip(
            ids, image_ids, _annotations(points, visibility, data, sizes), strict=True
        )
    ]
    content = {
        "images": list(entries.values()),
        "annotations": annotations,
        "categories": [_category(schema)],
    }
    text = json.dumps(content, allow_nan=False)
    with replacing(path) as file:
        file.write(text)


def _sizes(data, points):
    """Size of each image; NaN for unreadable images of samples without landmarks."""
    sizes = np.full((len(points), 2), np.nan)
    has_landmarks = ~np.isnan(points).all(axis=(1, 2))
    for i in np.flatnonzero(~has_landmarks):
        with contextlib.suppress(OSError, ValueError):
            sizes[i] = image_size(data.paths[i], data.describe(int(i)))
    known = np.flatnonzero(has_landmarks)
    sizes[known] = image_sizes_of(data.paths[known], lambda i: data.describe(int(known[i])))
    return sizes


def _check_ids(ids, n_samples, name):
    ids = [own.item() if isinstance(own, np.generic) else own for own in ids]
    if len(ids) != n_samples:
        raise ValueError(f"{name} has {len(ids)} entries, expected one for each of {n_samples}.")
    for i, own in enumerate(ids):
        if isinstance(own, bool) or not isinstance(own, (int, str)):
            raise ValueError(f"{name}[{i}] is {own!r:.60}, expected a whole number or a text.")
    return ids


def _check_image_ids(image_ids, paths):
    """One id for each file."""
    if image_ids is None:
        place = {}
        return [place.setdefault(path, len(place) + 1) for path in paths]
    image_ids = _check_ids(image_ids, len(paths), "image_ids")
    links = set(zip(image_ids, paths, strict=True))
    if not len(links) == len(set(image_ids)) == len(set(paths)):
        raise ValueError("image_ids must have one id for each image file, and no other.")
    return image_ids


def _check_visibility(visibility, points):
    there = ~np.isnan(points[..., 0])
    if visibility is None:
        return np.where(there, 2, 0)
    visibility = np.asarray(visibility)
    if visibility.shape != there.shape or not np.isin(visibility, (0, 1, 2)).all():
        raise ValueError(f"visibility must be of 0, 1 and 2, in an array of shape {there.shape}.")
    wrong = np.argwhere((visibility > 0) != there)
    if len(wrong):
        i, j = wrong[0].tolist()
        raise ValueError(
            f"sample {i}: visibility of landmark {j} is {visibility[i, j]}, but the landmark is "
            f"{'there' if there[i, j] else 'missing'}."
        )
    return visibility


def _size_entry(size):
    if np.isnan(size).any():
        return {}
    width, height = size
    return {"width": int(width), "height": int(height)}


def _annotations(points, visibility, data, sizes):
    """Keypoints and box of each annotation."""
    triples = np.concatenate([np.nan_to_num(points, nan=0.0), visibility[..., None]], axis=-1)
    whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1)
    boxes = data.boxes if data.has_boxes else whole
    for row, flags, box in zip(
        triples.reshape(len(points), -1).tolist(), visibility.tolist(), boxes.tolist(), strict=True
    ):
        row[2::3] = map(int, flags)
        entry = {"num_keypoints": sum(flag > 0 for flag in flags), "keypoints": row}
        if not np.isnan(box).any():
            entry |= {"bbox": box, "area": box[2] * box[3]}
        yield entry


def _category(schema):
    return {
        "id": 1,
        "name": schema.name,
        "supercategory": schema.name,
        "keypoints": list(schema.landmark_names),
        "skeleton": [[a + 1, b + 1] for a, b in edges_of(schema)],
        "flip_pairs": mirror_pairs(schema),
    }
