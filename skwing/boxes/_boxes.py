"""Make boxes around landmarks, adjust, compare and match boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from skwing._utils.boxes import check_boxes
from skwing._utils.checks import Flag, Number, Pair, Seed, check_number, check_table
from skwing._utils.landmarks import as_points, one_sample_hint
from skwing._utils.random import check_random_state
from skwing._utils.warnings import warn_of_data
from skwing.geometry import boxes_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats, Ints, RandomState, Rows

# Constraints of the parameters of `adjust_boxes`.
_ADJUSTMENTS = {
    "margin": Number(-0.5, ends="(]"),
    "shift": Pair(Number()),
    "square": Flag(),
    "jitter": Pair(Number(0, 1, ends="[)")),
    "random_state": Seed(),
}


def landmark_boxes(
    target: ArrayLike,
    *,
    margin: float = 0.0,
    shift: float | tuple[float, float] = (0.0, 0.0),
    square: bool = False,
    jitter: float | tuple[float, float] = 0.0,
    random_state: RandomState = None,
) -> Floats:
    """Compute boxes around landmarks.

    Parameters
    ----------
    target : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        In image pixels. NaN is ignored, so if the outermost landmarks are missing, the box
        is smaller than the object.
    margin, shift, square, jitter, random_state
        See :func:`adjust_boxes`. Lengths are relative to the longer side of the smallest
        box around the landmarks.

    Returns
    -------
    boxes : ndarray of shape (n_samples, 4)
        ``(x, y, width, height)`` in image pixels. A row of NaN (no box) if a sample has no
        known landmarks, or all of them at the same position.

    Warns
    -----
    DataWarning
        If all known landmarks of a sample are at the same position, so that a box around
        them has no extent.

    Raises
    ------
    ValueError
        If `target` or another parameter is out of range.

    Examples
    --------
    >>> from skwing.boxes import landmark_boxes
    >>> from skwing.datasets import make_faces
    >>> landmark_boxes([[20, 30, 59, 49]], margin=0.1)
    array([[16., 26., 48., 28.]])
    >>> faces = make_faces(3, random_state=0)
    >>> data = faces.data.with_boxes(landmark_boxes(faces.target, margin=0.1))
    """
    return adjust_boxes(
        boxes_around(as_points(target, name="target"), one_sample_hint(target)),
        margin=margin,
        shift=shift,
        square=square,
        jitter=jitter,
        random_state=random_state,
    )


def boxes_around(points: Floats, hint: str = "") -> Floats:
    """Bounding boxes of points of shape (n, L, 2); NaN with a warning if they coincide.

    `hint` is a sentence, after a space, at the end of the warning.
    """
    boxes = boxes_of(points)
    at_one_place = (boxes[:, 2:] == 1).all(axis=1)  # boxes count the pixels at both ends
    if at_one_place.any():
        warn_of_data(
            f"{at_one_place.sum()} of {len(boxes)} samples have all known landmarks at one "
            f"position, the first is sample {np.flatnonzero(at_one_place)[0]}. Their boxes "
            f"have no extent and are set to NaN.{hint}"
        )
        boxes[at_one_place] = np.nan
    return boxes


def adjust_boxes(
    boxes: Rows,
    *,
    margin: float = 0.0,
    shift: float | tuple[float, float] = (0.0, 0.0),
    square: bool = False,
    jitter: float | tuple[float, float] = 0.0,
    random_state: RandomState = None,
) -> Floats:
    """Extend, shift, square and randomly perturb boxes.

    Parameters
    ----------
    boxes : array-like of shape (n_samples, 4)
        ``(x, y, width, height)`` in image pixels; rows of NaN are unchanged.
    margin : float, default=0.0
        Margin added on each side, as a fraction of the longer side of the box. Negative
        values, above -0.5, shrink the box.
    shift : pair of float, default=(0.0, 0.0)
        Shift to the right and down, as a fraction of the longer side.
    square : bool, default=False
        Whether to extend the shorter side to the length of the longer one, about the centre,
        before the margin is added. The crops of a regressor are always squares, so this has
        no effect on them.
    jitter : float or pair of float, default=0.0
        Random shift and scale for training data; a single number sets both. Each centre is
        shifted along each axis by up to `shift`, as a fraction of the longer side, and sizes
        are multiplied by a factor between ``1 / (1 + scale)`` and ``1 + scale``. Regressors
        also perturb their crops in each epoch. This jitter, in contrast, is drawn once per
        sample. It simulates the scatter of a detector, also for the second and later stages.
    random_state : int, RandomState or None, default=None
        Random state of the jitter. The jitter of a sample depends only on its index, not on
        the other boxes.

    Returns
    -------
    boxes : ndarray of shape (n_samples, 4)

    Raises
    ------
    ValueError
        If a box or parameter is out of range, or a negative margin makes a box empty.

    Examples
    --------
    >>> from skwing.boxes import adjust_boxes
    >>> adjust_boxes([[10, 10, 40, 20]], margin=0.25, square=True)
    array([[ 0., -10.,  60.,  60.]])
    """
    given = {
        "margin": margin,
        "shift": shift,
        "square": square,
        "jitter": jitter,
        "random_state": random_state,
    }
    checked = check_table(_ADJUSTMENTS, given)
    boxes = check_boxes(boxes, len(boxes))
    margin, shift, (jitter_shift, jitter_scale) = (
        checked.margin,
        np.array(checked.shift),
        checked.jitter,
    )
    side = boxes[:, 2:].max(axis=1, keepdims=True, initial=0.0)
    middle = boxes[:, :2] + boxes[:, 2:] / 2
    size = np.where(np.isnan(boxes[:, 2:]), np.nan, side) if checked.square else boxes[:, 2:]
    size = size + 2 * margin * side
    if jitter_shift or jitter_scale:
        noise = check_random_state(checked.random_state).uniform(-1, 1, size=(len(boxes), 3))
        shift = shift + jitter_shift * noise[:, :2]
        size = size * (1 + jitter_scale) ** noise[:, 2:]
    middle = middle + shift * side
    return check_boxes(np.concatenate([middle - size / 2, size], axis=1), len(boxes))


def box_overlaps(boxes: Rows, others: Rows) -> Floats:
    """Compute the pairwise overlap of boxes (intersection over union).

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        ``(x, y, width, height)`` in image pixels.
    others : array-like of shape (m, 4)

    Returns
    -------
    overlaps : ndarray of shape (n, m)
        Between 0 (disjoint) and 1 (equal); NaN if a box is NaN.

    Examples
    --------
    >>> from skwing.boxes import box_overlaps
    >>> box_overlaps([[0, 0, 4, 4]], [[0, 0, 4, 4], [2, 0, 4, 4], [9, 9, 4, 4]]).round(3)
    array([[1.   , 0.333, 0.   ]])
    """
    return overlaps_of(_rows(boxes, "boxes")[:, None], _rows(others, "others"))


def overlaps_of(boxes: Floats, others: Floats) -> Floats:
    """Overlap of each box with the one at the same place, for arrays of shape (..., 4)."""
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    # Areas that overflow give NaN as well.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        common = np.clip(high - low, 0, None).prod(axis=-1)
        areas = boxes[..., 2:].prod(axis=-1) + others[..., 2:].prod(axis=-1)
        overlaps = common / (areas - common)
    # By rounding, the intersection of equal boxes can be larger than the boxes.
    return np.minimum(overlaps, 1.0)


def _rows(boxes: Rows, name: str) -> Floats:
    """Boxes as an array of shape (n, 4), which may be empty."""
    rows = np.asarray(boxes, dtype=np.float64)
    if rows.ndim == 1 and not len(rows):
        return np.empty((0, 4))
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"{name} have shape {rows.shape}, expected (n, 4): x, y, width, height.")
    return rows


def match_boxes(boxes: Rows, reference: Rows, *, min_overlap: float = 0.3) -> tuple[Ints, Floats]:
    """Match boxes one-to-one to reference boxes by overlap.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        ``(x, y, width, height)`` in image pixels, for example the detections in one image.
    reference : array-like of shape (m, 4)
        Known boxes of this image. A row of NaN has no match.
    min_overlap : float, default=0.3
        Minimum intersection over union of a match, above 0 and at most 1.

    Returns
    -------
    indices : ndarray of int of shape (m,)
        Row of `boxes` for each reference, -1 if there is no match.
    overlaps : ndarray of shape (m,)
        Intersection over union with that box, NaN if there is no match.

    Notes
    -----
    The matching maximises the sum of overlaps (Kuhn, Naval Research Logistics Quarterly
    1955). The result does not depend on the order of `boxes`.

    Examples
    --------
    >>> from skwing.boxes import match_boxes
    >>> found = [[50, 0, 10, 10], [1, 0, 10, 10]]
    >>> match_boxes(found, [[0, 0, 10, 10], [90, 0, 10, 10]])[0]
    array([ 1, -1])
    """
    min_overlap = check_number(min_overlap, "min_overlap", 0, 1, ends="(]")
    boxes, reference = _rows(boxes, "boxes"), _rows(reference, "reference")
    indices = np.full(len(reference), -1)
    overlaps = np.full(len(reference), np.nan)
    # Sort the boxes, so that ties are resolved independently of the order of the input.
    order = np.lexsort(boxes.T)
    scores = box_overlaps(boxes[order], reference)
    scores = np.where(scores >= min_overlap, scores, 0.0)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    matched = scores[rows, columns] > 0
    rows, columns = rows[matched], columns[matched]
    indices[columns] = order[rows]
    overlaps[columns] = scores[rows, columns]
    return indices, overlaps
