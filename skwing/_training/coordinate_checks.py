"""Checks of the coordinates of all samples: units, order, axes, kind of boxes.

Each check takes an :class:`Evidence` and returns a message, or None if it finds no problem.
"""

import numpy as np

from skwing import geometry
from skwing._training.evidence import (
    boxes_used,
    extents,
    in_images,
    share_in_images,
    some_of,
    some_rows,
)
from skwing._utils.corners import corners_message, fit_as_corners, reaches_beyond, rounded
from skwing.boxes._boxes import overlaps_of
from skwing.schema import SCHEMAS

_FEW = 8  # minimum number of samples for a statistic
_FRACTIONS = 1.5  # maximum coordinate of normalised landmarks, with some tolerance
_BELOW_EYES = ("mouth", "lip", "nose", "chin")


def fractions(evidence):
    """Detect coordinates in [0, 1], [-0.5, 0.5] or [-1, 1], and shapes of tiny size."""
    evidence = some_of(evidence)
    points = evidence.points[evidence.known]
    if not len(points):
        return None
    if (abs(points) <= _FRACTIONS).all(-1).mean() >= 0.99:
        low = points.min()
        ends = "0 and 1" if low > -0.1 else "-0.5 and 0.5" if low >= -0.6 else "-1 and 1"
        return (
            f"all landmarks of y lie between {ends}, or nearly: they must be in pixels of the "
            "image, not in fractions of its size"
        )
    several = evidence.known.sum(1) >= 3
    if several.any():
        extent = np.median(extents(evidence.points[several]))
        side = np.median(boxes_used(evidence)[several, 2:].max(1))
        if extent < 5 and extent < 0.04 * side:
            return (
                f"the landmarks of a sample lie within {extent:.2g} pixels of each other, in boxes "
                f"of {side:.0f} pixels (medians): y must be in pixels of the image, not scaled"
            )
    return None


def per_cent(evidence):
    """Detect coordinates in [0, 100] that are percent of the image size."""
    evidence = some_of(evidence)
    points, sizes = evidence.points, evidence.sizes
    known = points[evidence.known]
    if len(points) < 3 or not len(known):
        return None
    low, high = np.quantile(known, [0.01, 0.99], axis=0)
    if (low < -1).any() or (high > 101).any() or (high < 60).any():
        return None
    if evidence.boxes is None:
        right = np.median(sizes.min(1)) >= 200 and len(points) >= 5
    else:
        as_read, otherwise = _overlaps(evidence, points, points * sizes[:, None] / 100)
        right = np.median(sizes) >= 120 and _is_better(otherwise, as_read)
    if right:
        return (
            f"all landmarks of y lie between 0 and 100, in images of {_size(sizes)} pixels "
            "(median): they must be in pixels of the image, not in per cent of its size"
        )
    return None


def triples(evidence):
    """Detect columns x0, y0, v0, x1, ...: every third is a visibility or a confidence."""
    points = evidence.points
    columns = points.reshape(len(points), -1)
    if columns.shape[1] % 3:
        return None
    third, others = columns[:, 2::3], np.delete(columns, np.s_[2::3], axis=1)
    told = third[~np.isnan(third)]
    if not len(told) or told.min() < 0 or told.max() > 2 or np.nanmedian(others) < 4:
        return None
    return (
        f"every third column of y contains values from {told.min():g} to {told.max():g}, as in "
        "x0, y0, v0, x1, y1, v1, ...: visibilities are not coordinates. Drop them, with NaN "
        f"for missing landmarks: y.reshape(len(y), {columns.shape[1] // 3}, 3)[:, :, :2]"
    )


def blocks(evidence):
    """Detect columns x0, x1, ..., y0, y1, ...: columns of the same axis are correlated."""
    points = evidence.points[some_rows(evidence)]
    n_columns = 2 * points.shape[1]
    if len(points) < _FEW or n_columns < 4:
        return None
    columns = points.reshape(len(points), n_columns)
    columns = columns[:, np.isfinite(columns).sum(0) >= 5] if np.isnan(columns).any() else columns
    if columns.shape[1] < n_columns:  # the halves would be unknown
        return None
    off = columns - np.nanmean(columns, axis=0)
    spread = np.sqrt(np.nanmean(off**2, axis=0))
    if (spread == 0).any():
        return None
    off = np.nan_to_num(off / spread)
    likeness = off.T @ off / len(off)
    number = np.arange(n_columns)
    in_turn = _contrast(likeness, number % 2)
    in_halves = _contrast(likeness, number * 2 // n_columns)
    if in_halves > 0.25 and in_halves > 3 * in_turn:
        return (
            "the first half of the columns of y varies together, and so does the second, as in "
            f"x0, x1, ..., y0, y1, ...: {_IN_TURN}. If so, pass np.stack(np.split(y, 2, axis=1), "
            "axis=-1)"
        )
    return None


_IN_TURN = "a row must read x0, y0, x1, y1, ..., or y have the shape (n_samples, n_landmarks, 2)"


def _contrast(likeness, group):
    same = group[:, None] == group
    return likeness[same & ~np.eye(len(group), dtype=bool)].mean() - likeness[~same].mean()


def swapped(evidence):
    """Detect coordinates (y, x), by images, by boxes, or by the positions of eyes and mouths."""
    points, turned = evidence.points, evidence.points[..., ::-1]
    remedy = "If so, pass y[..., ::-1] for y of shape (n_samples, n_landmarks, 2)"
    inside, other = share_in_images(evidence, points), share_in_images(evidence, turned)
    if inside < 0.95 and other >= 0.99:
        return (
            f"{100 * (1 - inside):.0f} % of the landmarks of y are outside of their images, and "
            f"{100 * (1 - other):.0f} % with x and y swapped: a point is (x, y), x to the right. "
            f"{remedy}"
        )
    if evidence.boxes is not None and _is_better(*_overlaps(evidence, turned, points)):
        return (
            "the landmarks of y fit into their boxes better with x and y swapped: a point is "
            f"(x, y), x to the right, and a box (x, y, width, height). {remedy}"
        )
    return _wrong_handed(evidence, remedy)


def _wrong_handed(evidence, remedy):
    """Detect faces with the mouth on the wrong side of the line between the eyes."""
    schema, points = evidence.schema, evidence.points
    if schema is None or "inter_ocular" not in schema.normalizers:
        return None
    left, right = (list(group) for group in schema.normalizers["inter_ocular"])
    names = schema.landmark_names
    low = [i for i, name in enumerate(names) if any(word in name.lower() for word in _BELOW_EYES)]
    if not low:
        return None
    across = points[:, right].mean(1) - points[:, left].mean(1)
    down = points[:, low].mean(1) - (points[:, right].mean(1) + points[:, left].mean(1)) / 2
    known = ~np.isnan(across + down).any(1)
    across, down = across[known], down[known]
    side = across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0]
    if len(side) < 3 or (side < 0).mean() < 0.9:
        return None
    way, fall = ((v / np.linalg.norm(v, axis=1, keepdims=True)).mean(0) for v in (across, down))
    what = f"in {100 * (side < 0).mean():.0f} % of the faces"
    if abs(way[1]) > 0.7:
        return (
            f"the eyes lie above each other {what}, as if x and y were swapped: a point is (x, "
            f"y), x to the right and y down. {remedy}"
        )
    if fall[1] < -0.7:
        return (
            f"mouth and nose lie above the eyes {what}, as if y counted from the bottom of the "
            "image: it counts from the top. If so, pass y with height - 1 - y for the second "
            "coordinate"
        )
    if schema in SCHEMAS.values() and way[0] < -0.7:
        return (
            f"the left eye lies to the right of the other one {what}: left and right are as "
            f"seen in the image in schema {schema.name!r}. Landmarks may be in another order"
        )
    return None


def corners(evidence):
    """Detect boxes (x1, y1, x2, y2), which fit the landmarks better as corners."""
    boxes, sizes = evidence.boxes, evidence.sizes
    if boxes is None or not fit_as_corners(boxes, sizes):
        return None
    as_corners = np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
    as_corners[(as_corners[:, 2:] <= 0).any(1)] = np.nan
    around = geometry.boxes_of(evidence.points)
    as_read, otherwise = overlaps_of(boxes, around), np.nan_to_num(overlaps_of(as_corners, around))
    beyond = reaches_beyond(boxes, sizes, 1.02).mean() >= 0.5
    if _is_better(otherwise, as_read) or (beyond and np.nanmean(otherwise - as_read) > 0.1):
        return corners_message(evidence.describe(0), boxes[0], sizes[0], "lie around the landmarks")
    return None


def _overlaps(evidence, points, otherwise):
    """Overlaps of the boxes with the bounding boxes of two sets of landmarks."""
    rows = some_rows(evidence)
    return tuple(
        overlaps_of(evidence.boxes[rows], geometry.boxes_of(some[rows]))
        for some in (points, otherwise)
    )


def _is_better(overlaps, others):
    """Whether overlaps are clearly larger than others in nearly all samples."""
    known = ~np.isnan(overlaps + others)
    gain = (overlaps - others)[known]
    return len(gain) >= 3 and gain.mean() > 0.15 and (gain > 0).mean() >= 0.8


def _size(sizes):
    return "x".join(f"{side:.0f}" for side in np.median(sizes, axis=0))


def outside(evidence):
    """Detect samples with all landmarks outside their box, or most outside their image."""
    known, points = evidence.known, evidence.points
    if evidence.boxes is not None:
        low, size = evidence.boxes[:, None, :2], evidence.boxes[:, None, 2:]
        room = 0.3 * size.max(-1, keepdims=True)
        held = known & ((points >= low - room) & (points <= low + size + room)).all(-1)
        lost = np.flatnonzero(known.any(1) & ~held.any(1))
        if len(lost):
            return (
                f"{evidence.describe(int(lost[0]))}: all its landmarks lie outside its box (this "
                f"holds for {len(lost)} of {len(points)} samples); both must be in pixels of the "
                "same image, in the same order of samples"
            )
    gone = known & ~in_images(evidence, points)
    lost = np.flatnonzero(gone.sum(1) > 0.5 * known.sum(1))
    if len(lost):
        first = int(lost[0])
        return (
            f"{evidence.describe(first)}: {gone[first].sum()} of its {known[first].sum()} "
            f"landmarks lie outside the image of {rounded(evidence.sizes[first])} pixels (most do "
            f"in {len(lost)} of {len(points)} samples); y must be in pixels of the image as it is "
            "decoded, in the same order of samples"
        )
    return None
