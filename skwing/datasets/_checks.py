"""Checks of landmarks that are read, and of images and landmarks to write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.landmarks import as_points
from skwing.images import as_boxed_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath, Floats
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike


def without_missing(points: Floats, missing: ArrayLike | None) -> Floats:
    """Replace the pair of coordinates that marks missing points by NaN."""
    if missing is None:
        return points
    pair = np.array(missing, dtype=np.float64)
    if pair.shape != (2,) or not np.isfinite(pair).all():
        raise ValueError(f"missing must be a pair of numbers such as (0, 0); got {missing!r:.60}.")
    return np.where((points == pair).all(axis=-1, keepdims=True), np.nan, points)


def check_alike(names: Sequence[str], points: Floats, where: FilePath) -> None:
    """Reject two landmarks whose names differ only in case, if no sample has both.

    This detects inconsistent spellings, which would otherwise give two landmarks, each of
    which is missing in some samples.
    """
    known = ~np.any(np.isnan(points), axis=-1)
    first: dict[str, int] = {}
    for i, name in enumerate(names):
        j = first.setdefault(name.casefold(), i)
        if j != i and not (known[:, i] & known[:, j]).any():
            raise ValueError(
                f"{where}: the landmarks {names[j]!r:.60} and {name!r:.60} differ in case only, "
                "and no sample has both; expected one spelling."
            )


def check_one_each(paths: Iterable[str], data: BoxedImages, why: str) -> None:
    """Check that each image has one sample, for formats that cannot distinguish several."""
    seen: dict[str, int] = {}
    for i, path in enumerate(paths):
        if seen.setdefault(path, i) != i:
            raise ValueError(
                f"{data.describe(seen[path])} and {data.describe(i)} are of one image, {why}."
            )


def check_written(
    data: ImagesLike, target: ArrayLike, *, needs_paths: bool = True
) -> tuple[BoxedImages, Floats]:
    """Validate images and landmarks passed to a writer.

    Parameters
    ----------
    data : BoxedImages, or anything :func:`skwing.images.as_boxed_images` takes
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
    needs_paths : bool, default=True
        Whether pixels in memory are an error.

    Returns
    -------
    data : BoxedImages
    points : ndarray of shape (n, n_landmarks, 2)

    Raises
    ------
    ValueError
        If the lengths differ, a landmark has only one coordinate, the data do not fit their
        schema, or paths are missing.
    """
    data = as_boxed_images(data)
    schema = data.schema
    n_landmarks = None if schema is None else schema.n_landmarks
    points = as_points(target, n_landmarks, "target")
    if len(points) != len(data):
        raise ValueError(f"data has {len(data)} samples, target has {len(points)}.")
    if needs_paths and data.paths is None:
        raise ValueError(
            "data contains pixels in memory, but the file refers to images by path. Save them "
            "to files and pass BoxedImages of these paths."
        )
    return data, points
