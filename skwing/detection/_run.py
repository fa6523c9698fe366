"""Run a detector on photos, in parallel, and check what it returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed

from skwing._utils.bars import ProgressBar
from skwing._utils.warnings import warn_caller
from skwing.images._failures import listed
from skwing.runtime import check_box_inside

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats, Ints, OnError
    from skwing.detection._detectors import Detector
    from skwing.images import BoxedImages

    Preference: TypeAlias = Literal["largest", "score"]

_CHUNK = 8  # number of photos per task


def detect_in_photos(
    images: BoxedImages,
    photos: list[Ints],
    detector: Detector,
    prefer: Preference,
    n_jobs: int | None,
    verbose: int,
    on_error: OnError,
) -> tuple[list[Floats], Ints]:
    """Detections of each photo, of shape (k, 5), in the preferred order, and unreadable samples."""
    first = [int(samples[0]) for samples in photos]
    chunks = [first[i : i + _CHUNK] for i in range(0, len(first), _CHUNK)]
    skip = on_error == "skip"
    work = Parallel(n_jobs=n_jobs, return_as="generator")
    results = work(delayed(_detect_in)(images[chunk], detector, prefer, skip) for chunk in chunks)
    detections: list[Floats] = []
    failures: dict[int, str] = {}
    with ProgressBar(total=len(first), unit="photo", disable=not verbose) as bar:
        for found, messages in results:
            failures.update((len(detections) + i, message) for i, message in messages.items())
            detections += found
            bar.update(len(found))
    if failures:
        warn_caller(
            f"{len(failures)} of {len(photos)} photos could not be read and have no detection: "
            f"{listed(failures)}"
        )
    unreadable = [photos[i] for i in sorted(failures)]
    return detections, np.sort(np.concatenate([np.empty(0, np.int64), *unreadable]))


def _detect_in(
    images: BoxedImages, detector: Detector, prefer: Preference, skip: bool
) -> tuple[list[Floats], dict[int, str]]:
    """Detections in each of some images, and the errors of images that cannot be read."""
    detections: list[Floats] = []
    failures: dict[int, str] = {}
    for i in range(len(images)):
        try:
            image = images.decode(i)
        except (OSError, ValueError) as error:
            if not skip:
                raise
            failures[i] = str(error)
            detections.append(np.empty((0, 5)))
            continue
        # Copy arrays of the user, because a detector may modify its input.
        image = image if image.flags.owndata else image.copy()
        height_width = image.shape[:2]
        try:
            found = detector(image)
        except Exception as error:
            raise RuntimeError(
                f"{images.describe(i)}: the detector failed: {type(error).__name__}: {error}"
            ) from error
        rows = _check_detections(found, height_width, images.describe(i))
        detections.append(_in_order(rows, prefer, images.describe(i)))
    return detections, failures


def _check_detections(
    found: ArrayLike | None, image_shape: tuple[int, ...], describe: str
) -> Floats:
    """Convert the result of a detector to an array (k, 5); scores are NaN if missing."""
    expected = "expected boxes (k, 4) of x, y, width, height, or (k, 5) with a score"
    if found is None:
        return np.empty((0, 5))
    try:
        rows = np.asarray(found, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{describe}: the detector returned {found!r:.80}, {expected}: {error}"
        ) from error
    if rows.size == 0:
        return np.empty((0, 5))
    if rows.ndim != 2 or rows.shape[1] not in (4, 5):
        raise ValueError(
            f"{describe}: the detector returned an array of shape {rows.shape}, {expected}."
        )
    for row in rows[~np.isfinite(rows).all(axis=1) | (rows[:, 2:4] <= 0).any(axis=1)][:1]:
        raise ValueError(
            f"{describe}: the detector returned the box {tuple(row.tolist())}, expected finite "
            "x, y, width, height, the latter two above 0, and optionally a finite score."
        )
    for row in rows:
        check_box_inside(row[:4], image_shape, f"{describe}, as the detector returned it")
    if rows.shape[1] == 4:
        rows = np.concatenate([rows, np.full((len(rows), 1), np.nan)], axis=1)
    return rows


def _in_order(rows: Floats, prefer: Preference, describe: str) -> Floats:
    """Sort detections in the preferred order, independently of their original order."""
    if prefer == "score" and np.isnan(rows[:, 4]).any():
        raise ValueError(
            f"{describe}: the detector returned boxes without scores, but prefer='score' requires "
            "them; use prefer='largest'."
        )
    area = np.log(rows[:, 2]) + np.log(rows[:, 3])
    score = np.nan_to_num(rows[:, 4])
    keys = [-area, -score] if prefer == "largest" else [-score, -area]
    return rows[np.lexsort([*rows[:, :4].T, *reversed(keys)])]
