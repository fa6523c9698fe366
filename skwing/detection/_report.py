"""Reports on detections as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    from skwing._utils.types import Floats, Ints
    from skwing.images import BoxedImages

    Fallback: TypeAlias = Literal["nan", "reference"]

_N_NAMED = 10  # maximum number of samples named in a line of a report
_DOUBTFUL = 0.5  # confidence below which a report names samples


def report_of_boxes(images: BoxedImages, found: Any, n_photos: int, fallback: Fallback) -> str:
    """Report of :func:`detect_boxes`: hits, overlaps, relation to the reference, misses."""
    n, n_hits = len(images), int(found.hits.sum())
    percent = f" ({100 * n_hits / n:.1f} %)" if n else ""
    lines = [
        f"{n_hits} of {n} samples found{percent}, in {n_photos} photos; {found.n_extra} "
        "detections belong to no sample."
    ]
    if found.box_relation is not None:
        overlaps = found.overlaps[found.hits]
        margin, shift, (jitter_shift, jitter_scale) = (
            found.box_relation[key] for key in ("margin", "shift", "jitter")
        )
        lines += [
            f"Overlap with the reference: median {np.median(overlaps):.2f}, minimum "
            f"{overlaps.min():.2f}.",
            f"Boxes are {1 + 2 * margin:.2f} times as large as the reference (± "
            f"{100 * jitter_scale:.0f} %). Their centres are shifted by {shift[0]:+.2f} to the "
            f"right and {shift[1]:+.2f} down, relative to its longer side (± {jitter_shift:.2f}).",
        ]
    if len(found.missed):
        gets = "no box (NaN)" if fallback == "nan" else "a box computed from its reference"
        lines.append(f"Each of the {len(found.missed)} missed samples has {gets}.")
    lines += _named("Missed", images, found.missed)
    return "\n".join(lines + _doubtful(images, found.confidence, "samples"))


def report_of_detections(images: BoxedImages, found: Any, n_photos: int, n_empty: int) -> str:
    """Report of :func:`detect_all`: detections, photos without any, doubtful ones."""
    lines = [f"{len(found.scores)} detections in {n_photos} photos, none in {n_empty} of them."]
    lines += _named("Missed", images, found.missed)
    return "\n".join(lines + _doubtful(found.data, found.confidence, "detections"))


def _named(what: str, images: BoxedImages, rows: Ints) -> list[str]:
    """Line that names the first of some samples."""
    if not len(rows):
        return []
    more = f" and {len(rows) - _N_NAMED} more" if len(rows) > _N_NAMED else ""
    return [f"{what}: {', '.join(images.describe(i) for i in rows[:_N_NAMED])}{more}."]


def _doubtful(images: BoxedImages, confidence: Floats | None, what: str) -> list[str]:
    """Lines about boxes in which the landmarks are probably wrong."""
    if confidence is None:
        return []
    rows = np.flatnonzero(confidence < _DOUBTFUL)
    line = f"{len(rows)} of {len(images)} {what} have a confidence below {_DOUBTFUL}."
    return [line, *_named("Doubtful", images, rows[np.argsort(confidence[rows])])]
