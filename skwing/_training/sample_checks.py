"""Checks of single samples and landmarks: placeholders, repeated shapes, wrong mirror pairs.

Each check takes an :class:`Evidence` and returns a message, or None if it finds no problem.
"""

import numpy as np
from scipy.optimize import linear_sum_assignment

from skwing import geometry
from skwing._training.evidence import some_rows
from skwing.shapes import is_shape, mean_shape

_FEW = 8  # minimum number of samples for a statistic


def sentinels(evidence):
    """Detect placeholders for missing points, such as (0, 0) or (-1, -1)."""
    points, known, found = evidence.points, evidence.known, []
    usual = (points[..., 0] == points[..., 1]) & (points[..., 0] <= 0)  # as for most placeholders
    n_known = known.sum(0)
    for value in _repeated(points, known, usual, some_rows(evidence)):
        rows = _far_at(points, known, usual, n_known, value)
        is_usual = value[0] == value[1] <= 0
        least = 1 if is_usual and value[0] < 0 else 2 if is_usual else 3
        if len(rows) >= least:
            found.append((value, rows))
    if not found:
        return None
    found.sort(key=lambda pair: -len(pair[1]))
    where = "; ".join(
        f"({value[0]:g}, {value[1]:g}) in {len(rows)} of {len(evidence.points)} samples, the first "
        f"is {evidence.describe(int(rows[0]))}"
        for value, rows in found[:3]
    )
    value = found[0][0].tolist()
    return (
        f"landmarks are at a position that seems to mark missing ones: {where}. If it marks "
        "missing points, replace it by NaN, for y of shape (n_samples, n_landmarks, 2): "
        f"y[(y == {value}).all(-1)] = np.nan"
    )


def _repeated(points, known, usual, rows):
    """Positions that occur several times, an array of shape (k, 2)."""
    values = [np.unique(points[usual], axis=0)[:8]]
    # Complex numbers, which are sorted faster than rows.
    places = np.ascontiguousarray(points[rows][known[rows]]).view(np.complex128).ravel()
    places, counts = np.unique(places, return_counts=True)
    often = places[counts >= 3][np.argsort(-counts[counts >= 3], kind="stable")][:50]
    values.append(np.stack([often.real, often.imag], axis=1))
    return np.unique(np.concatenate(values), axis=0)


def _far_at(points, known, usual, n_known, value):
    """Samples with a landmark at a position that is far from their other landmarks."""
    there = (points[..., 0] == value[0]) & (points[..., 1] == value[1])
    if (value >= 0).all():
        # A landmark with the same position in nearly all images, such as of a scale bar, is valid.
        fixed = there.sum(0) > 0.8 * np.maximum(n_known, 1)
        there = there & ~fixed
    rows = np.flatnonzero(there.any(1))
    shown = known[rows] & ~there[rows] & ~usual[rows]  # without other placeholders
    others = np.where(shown[..., None], points[rows], np.nan)
    around = geometry.boxes_of(others)
    low, high = around[:, :2], around[:, :2] + around[:, 2:] - 1
    away = np.maximum(np.maximum(low - value, value - high), 0)
    extent = np.maximum(around[:, 2:].max(1), 1)
    room = 0.08 if value[0] == value[1] <= 0 else 0.25
    near = np.hypot(*away.T) <= room * extent  # False if there are no other points
    return rows[~near]


def one_place(evidence):
    """Detect samples with all landmarks at the same position."""
    several = evidence.known.sum(1) >= 2
    around = geometry.boxes_of(evidence.points)
    lost = np.flatnonzero(several & (around[:, 2:] == 1).all(1))
    if not len(lost):
        return None
    first = int(lost[0])
    return (
        f"{evidence.describe(first)}: all its landmarks are at one place, "
        f"({around[first, 0]:g}, {around[first, 1]:g}) (this holds for {len(lost)} of "
        f"{len(around)} samples); replace them by NaN if they are missing"
    )


def one_shape(evidence):
    """Detect the same landmarks for all images."""
    points = evidence.points
    if len(points) < 3:
        return None
    same = ((points == points[:1]) | (np.isnan(points) & np.isnan(points[:1]))).all()
    if same and len(evidence.by_image()) > 1:
        return (
            f"y has the same landmarks for all {len(points)} samples, but their images differ: "
            "a regressor can only learn this shape"
        )
    return None


def pairs(evidence):
    """Detect mirror pairs of the schema that do not fit the mean shape."""
    schema, points = evidence.schema, evidence.points[some_rows(evidence)]
    if schema is None or schema.mirror is None or schema.n_landmarks < 3:
        return None
    points = points[is_shape(points)]
    if len(points) < _FEW:
        return None
    shape = mean_shape(points)
    there = np.flatnonzero(~np.isnan(shape).any(1))
    mirror = np.array(schema.mirror)
    if len(there) < schema.n_landmarks:
        return None
    mirrored = shape * [-1, 1]
    apart = _apart(shape, mirrored, mirror)
    best = mirror
    for _ in range(10):
        reached = _onto(shape, mirrored, best)
        _, better = linear_sum_assignment(_squares(shape, reached))
        if (better == best).all():
            break
        best = better
    at_best = _apart(shape, mirrored, best)
    wrong = (best != mirror) & (apart > 0.25) & (apart > 2.5 * at_best)
    if not wrong.any() or (apart**2).mean() < 4 * (at_best**2).mean():
        return None
    names = schema.landmark_names
    first = [i for i in np.flatnonzero(wrong) if i <= mirror[i] or not wrong[mirror[i]]]
    told = ", ".join(
        f"{names[i]!r} and {'itself' if i == mirror[i] else repr(names[mirror[i]])} (the mirror "
        f"image of {names[i]!r} is nearest to {names[best[i]]!r})"
        for i in first[:4]
    )
    return (
        f"the mirror pairs of schema {schema.name!r} are not mirror images of each other in the "
        f"mean shape of y: {told}{' ...' if len(first) > 4 else ''}. The order of the landmarks "
        "may differ from that of the schema, or its mirror may be wrong: pass the pairs (pairs= of "
        "LandmarkSchema.from_names)"
    )


def _onto(shape, mirrored, mirror):
    """The mirrored shape, aligned with the shape by the given pairs."""
    return geometry.apply(geometry.similarity(mirrored[mirror], shape), mirrored)


def _apart(shape, mirrored, mirror):
    """Distance of each landmark from the mirror image of its partner, in radii."""
    return np.linalg.norm(shape - _onto(shape, mirrored, mirror)[mirror], axis=1)


def _squares(a, b):
    return ((a[:, None] - b) ** 2).sum(-1)
