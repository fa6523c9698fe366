"""Boxes where a data set has none: around landmarks, moved and widened, and compared.

A regressor learns the landmarks *as they lie in the boxes it was trained with*. Boxes
around known landmarks are fine for a measurement, yet where no landmarks are known the
boxes come from a detector, and a detector's boxes have another size and another middle.
Train with boxes of the kind that there will be at prediction:
:func:`skwing.detection.detect_boxes` runs the detector on the training images and says how
its boxes lie, which :func:`landmark_boxes` can imitate. Where that is too late, because the
regressor is trained and the boxes are another detector's, :func:`adapt_boxes` turns these
into boxes as the regressor knows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skwing._utils.boxes import check_boxes
from skwing._utils.checks import Flag, Number, Pair, Seed, check_number, check_table
from skwing._utils.landmarks import as_points
from skwing._utils.random import check_random_state
from skwing._utils.unwrap import parts_of
from skwing._utils.warnings import warn_of_data
from skwing.geometry import boxes_of
from skwing.images import as_boxed_images

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats, Ints, Predictor, RandomState, Rows
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike

__all__ = [
    "adapt_boxes",
    "adjust_boxes",
    "box_overlaps",
    "box_relation",
    "landmark_boxes",
    "match_boxes",
    "relation_in_training",
]


class BoxRelation(TypedDict):
    """How boxes lie to others, see :func:`box_relation`: parameters of :func:`adjust_boxes`."""

    margin: float
    shift: tuple[float, float]
    square: bool
    jitter: tuple[float, float]


_STARTS = (1.0, 0.6, 1.6)  # by which boxes of an unknown kind are scaled to begin with
_ROUNDS = 4  # of predicting and moving boxes
_LOOKED_AT = 64  # samples that tell how boxes of another kind lie
_PROBE = 0.1  # of a box's side by which it is moved to see whether landmarks stay
_MOST_ALONG = 0.7  # of that way, for landmarks that are found and not guessed

# What boxes are adjusted by.
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
    """Boxes around landmarks.

    Parameters
    ----------
    target : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        In image pixels; what is NaN is left out, so that a box is smaller than its object
        where the outermost landmarks are missing.
    margin, shift, square, jitter, random_state
        See :func:`adjust_boxes`. Lengths are measured by the longer side of the smallest
        box around the landmarks.

    Returns
    -------
    boxes : ndarray of shape (n_samples, 4)
        ``(x, y, width, height)`` in image pixels. A row of NaN, no box, where a sample has
        no known landmark, or all of them at one place.

    Warns
    -----
    DataWarning
        If a sample has known landmarks, but all at one place: they have no extent that a
        box could follow.

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
        boxes_around(as_points(target, name="target")),
        margin=margin,
        shift=shift,
        square=square,
        jitter=jitter,
        random_state=random_state,
    )


def boxes_around(points: Floats) -> Floats:
    """Smallest boxes around points of shape (n, L, 2): NaN, and a warning, without an extent."""
    boxes = boxes_of(points)
    at_one_place = (boxes[:, 2:] == 1).all(axis=1)  # boxes count the pixels at both ends
    if at_one_place.any():
        warn_of_data(
            f"{at_one_place.sum()} of {len(boxes)} samples know landmarks at one place only, "
            f"the first is sample {np.flatnonzero(at_one_place)[0]}. No box follows from "
            "that: they get none (NaN)."
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
    """Widen boxes, move them, make them squares, scatter them.

    Parameters
    ----------
    boxes : array-like of shape (n_samples, 4)
        ``(x, y, width, height)`` in image pixels; rows of NaN stay as they are.
    margin : float, default=0.0
        What is added on each side, as a fraction of the longer side of the box. Negative
        values, above -0.5, take away.
    shift : pair of float, default=(0.0, 0.0)
        By how much the boxes move to the right and down, as a fraction of the longer side.
    square : bool, default=False
        Widen the shorter side to the longer, about the middle, before the margin. The
        crops of a regressor are squares in any case, so it makes no difference to them.
    jitter : float or pair of float, default=0.0
        Random shift and scale, for training data; one number holds for both. Each middle
        moves by up to the first along each axis, as a fraction of the longer side, and
        sizes are multiplied by a factor between ``1 / (1 + scale)`` and ``1 + scale``.
        Regressors move their crops anew every epoch: this one scatter, once for all, is to
        make boxes as unsteady as a detector's, also for stages that follow the first.
    random_state : int, RandomState or None, default=None
        Draws the jitter. The draw of a sample depends on its number alone, not on the
        other boxes.

    Returns
    -------
    boxes : ndarray of shape (n_samples, 4)

    Raises
    ------
    ValueError
        If a box or parameter is out of range, or a negative margin leaves nothing of a box.

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


def box_relation(boxes: Rows, reference: Rows) -> BoxRelation | None:
    """How boxes lie to others, as parameters that make such boxes out of the others.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        ``(x, y, width, height)`` in image pixels.
    reference : array-like of shape (n, 4)
        Those that they are compared with, such as boxes around landmarks. A sample with a
        row of NaN, no box, in either does not count.

    Returns
    -------
    relation : dict or None
        Parameters of :func:`adjust_boxes` and :func:`landmark_boxes`: the median margin and
        shift by the longer side of the reference, `square`, and as jitter the even spread
        that scatters as much. None if no sample counts.

    Raises
    ------
    ValueError
        If the boxes are not as many, or no boxes.

    Examples
    --------
    >>> from skwing.boxes import box_relation
    >>> around = [[20, 20, 40, 40], [5, 8, 20, 20]]
    >>> relation = box_relation([[10, 12, 60, 60], [0, 4, 30, 30]], around)
    >>> round(relation["margin"], 3), relation["shift"]
    (0.25, (0.0, 0.05))
    """
    boxes = check_boxes(boxes, len(boxes))
    reference = check_boxes(reference, len(boxes), "box {} of the reference".format)
    known = ~np.isnan(np.concatenate([boxes, reference], axis=1)).any(axis=1)
    boxes, reference = boxes[known], reference[known]
    if not len(boxes):
        return None
    side = reference[:, 2:].max(axis=1)
    sizes = np.log(boxes[:, 2:].max(axis=1) / side)
    middles = (boxes[:, :2] + boxes[:, 2:] / 2) - (reference[:, :2] + reference[:, 2:] / 2)
    shifts = middles / side[:, None]
    size, shift = np.median(sizes), np.median(shifts, axis=0)
    # 1.4826 makes the median deviation of a normal distribution its standard deviation,
    # and the root of 3 that of an even spread its half width.
    half_width = 3**0.5 * 1.4826
    jitter_shift = half_width * np.median(abs(shifts - shift))
    jitter_scale = np.exp(half_width * np.median(abs(sizes - size))) - 1
    return {
        "margin": float(np.exp(size) - 1) / 2,
        "shift": tuple(shift.tolist()),
        "square": True,
        "jitter": (min(float(jitter_shift), 0.99), min(float(jitter_scale), 0.99)),
    }


def box_overlaps(boxes: Rows, others: Rows) -> Floats:
    """Overlap of each box with each other: intersection over union.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        ``(x, y, width, height)`` in image pixels.
    others : array-like of shape (m, 4)

    Returns
    -------
    overlaps : ndarray of shape (n, m)
        Between 0 (apart) and 1 (equal); NaN where a box is NaN.

    Examples
    --------
    >>> from skwing.boxes import box_overlaps
    >>> box_overlaps([[0, 0, 4, 4]], [[0, 0, 4, 4], [2, 0, 4, 4], [9, 9, 4, 4]]).round(3)
    array([[1.   , 0.333, 0.   ]])
    """
    boxes, others = (np.asarray(b, dtype=np.float64).reshape(len(b), 4) for b in (boxes, others))
    boxes = boxes[:, None]
    low = np.maximum(boxes[..., :2], others[..., :2])
    high = np.minimum(boxes[..., :2] + boxes[..., 2:], others[..., :2] + others[..., 2:])
    # Areas beyond what floats hold give NaN as well.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        common = np.clip(high - low, 0, None).prod(axis=-1)
        areas = boxes[..., 2:].prod(axis=-1) + others[..., 2:].prod(axis=-1)
        overlaps = common / (areas - common)
    # Rounding of the corners can make the common part of equal boxes exceed them.
    return np.minimum(overlaps, 1.0)


def match_boxes(boxes: Rows, reference: Rows, *, min_overlap: float = 0.3) -> tuple[Ints, Floats]:
    """Find which box belongs to which reference: one to one, with the greatest overlap.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        ``(x, y, width, height)`` in image pixels: what a detector found in one image.
    reference : array-like of shape (m, 4)
        The boxes that are known for that image. A row of NaN gets no match.
    min_overlap : float, default=0.3
        Least intersection over union of a match, above 0 and at most 1.

    Returns
    -------
    indices : ndarray of int of shape (m,)
        Row of `boxes` for each reference, -1 for none.
    overlaps : ndarray of shape (m,)
        Intersection over union with that box, NaN for none.

    Notes
    -----
    Of all ways to match them the one with the greatest sum of overlaps is taken (Kuhn,
    Naval Research Logistics Quarterly 1955), so a reference does not lose its box to a
    neighbour whom another fits nearly as well. The order of `boxes` makes no difference.

    Examples
    --------
    >>> from skwing.boxes import match_boxes
    >>> found = [[50, 0, 10, 10], [1, 0, 10, 10]]
    >>> match_boxes(found, [[0, 0, 10, 10], [90, 0, 10, 10]])[0]
    array([ 1, -1])
    """
    min_overlap = check_number(min_overlap, "min_overlap", 0, 1, ends="(]")
    boxes = np.asarray(boxes, dtype=np.float64).reshape(len(boxes), 4)
    indices = np.full(len(reference), -1)
    overlaps = np.full(len(reference), np.nan)
    # In an order of their own, in which ties are decided whatever order they came in.
    order = np.lexsort(boxes.T)
    scores = box_overlaps(boxes[order], reference)
    scores = np.where(scores >= min_overlap, scores, 0.0)
    rows, columns = linear_sum_assignment(scores, maximize=True)
    matched = scores[rows, columns] > 0
    rows, columns = rows[matched], columns[matched]
    indices[columns] = order[rows]
    overlaps[columns] = scores[rows, columns]
    return indices, overlaps


def adapt_boxes(
    X: ImagesLike, regressor: Predictor, relation: BoxRelation | None = None
) -> BoxedImages:
    """Turn the boxes of another detector into the kind that a regressor was trained with.

    Parameters
    ----------
    X : BoxedImages or DataFrame of shape (n,)
        Images with boxes, all from one detector. A sample whose box is missing keeps none.
    regressor : CascadeLandmarkRegressor
        Fitted with boxes; also a pipeline or a search that ends in one.
    relation : dict, default=None
        How the boxes of X lie around landmarks: ``detect_boxes(images, detector,
        target=target).box_relation`` of some annotated images, or a :func:`box_relation`. None
        learns it from what `regressor` predicts in X, see Notes.

    Returns
    -------
    X : BoxedImages of shape (n,)
        The same images. Boxes are squares.

    Raises
    ------
    NotFittedError
        If the regressor is not fitted.
    ValueError
        If it was trained without boxes, X has none, or `relation` is None and the regressor
        does not find the objects well enough to learn it.

    Notes
    -----
    Two relations to the landmarks are known then, that of the boxes of X and that of the
    training boxes (`box_relation_`), and a box is moved and scaled from the one to the other.
    Without `relation`, landmarks are predicted in the boxes as they are, which places better
    boxes, in which they are predicted again, for at most 64 samples and by the median over
    them. That is begun with boxes of three sizes, and kept where the landmarks stay in
    their places when the boxes are moved a little. It takes some twenty predictions of each
    of those samples. On drawn faces, boxes 0.6 to 2 times as large and off by up to a fifth
    of their side in each direction gave 0.04 to 0.35 of the face's size as error, and 0.04
    after, as with the detector of the training images.

    The more samples, the better: all that a program sees, not one image at a time. For
    single images learn the relation beforehand.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.boxes import adapt_boxes, adjust_boxes, box_relation, landmark_boxes
    >>> from skwing.datasets import make_faces
    >>> faces = make_faces(20, random_state=0)
    >>> reg = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=2, random_state=0)
    >>> reg = reg.fit(faces.data, faces.target)
    >>> other = faces.data.with_boxes(adjust_boxes(faces.data.boxes, margin=0.2))
    >>> relation = box_relation(other.boxes, landmark_boxes(faces.target))
    >>> adapted = adapt_boxes(other, reg, relation)
    >>> (adapted.boxes[:, 2] / other.boxes[:, 2]).round(1)[:3]
    array([0.7, 0.7, 0.7])

    With a regressor that has learned more, ``reg.predict(adapt_boxes(other, reg))`` is all.
    """
    X = as_boxed_images(X)
    wanted = relation_in_training(regressor)
    if wanted is None:
        if isinstance(regressor, BaseEstimator):
            check_is_fitted(regressor)
        raise ValueError(
            f"{type(regressor).__name__} does not know how its boxes lay around landmarks "
            "(box_relation_): it was trained without boxes, and there is no kind of boxes to "
            "adapt to"
        )
    known = np.flatnonzero(~np.isnan(X.boxes).any(axis=1))
    if not len(known):
        raise ValueError("X has no boxes: skwing.detection.detect_boxes finds some")
    if relation is None:
        chosen = known[np.linspace(0, len(known) - 1, min(len(known), _LOOKED_AT)).astype(int)]
        relation = _predicted_relation(X[chosen], regressor, wanted)
    boxes = np.full((len(X), 4), np.nan)
    boxes[known] = _carried_over(X.boxes[known], relation, wanted)
    return X.with_boxes(boxes)


def relation_in_training(regressor: Predictor) -> BoxRelation | None:
    """How the boxes lay around landmarks that a regressor was trained with.

    Parameters
    ----------
    regressor : estimator
        A pipeline or a search is asked for what it predicts with.

    Returns
    -------
    relation : dict or None
        See :func:`box_relation`; None if it was trained without boxes, or is another
        regressor.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.boxes import relation_in_training
    >>> print(relation_in_training(CascadeLandmarkRegressor()))
    None
    """
    relations = (getattr(part, "box_relation_", None) for part in parts_of(regressor))
    return next((relation for relation in relations if relation is not None), None)


def _carried_over(boxes: Floats, relation: BoxRelation, wanted: BoxRelation) -> Floats:
    """Boxes of one relation to their landmarks as those of another."""
    side = boxes[:, 2:].max(axis=1, keepdims=True) / (1 + 2 * relation["margin"])
    middle = boxes[:, :2] + boxes[:, 2:] / 2 - side * np.array(relation["shift"])
    around = np.concatenate([middle - side / 2, side, side], axis=1)
    return adjust_boxes(around, margin=wanted["margin"], shift=wanted["shift"])


def _predicted_relation(X: BoxedImages, regressor: Predictor, wanted: BoxRelation) -> BoxRelation:
    """How boxes lie to landmarks, by what a regressor predicts in them."""
    boxes, best, least = X.boxes, None, np.inf

    def predict(own: Floats) -> Floats:
        return as_points(regressor.predict(X.with_boxes(own)), name="what is predicted")

    for start in _STARTS:
        try:
            own = adjust_boxes(boxes, margin=(start - 1) / 2, square=True)
            for _ in range(_ROUNDS):
                relation = box_relation(boxes, _around(predict(own)))
                own = _carried_over(boxes, relation, wanted)  # type: ignore[arg-type]
            points = predict(own)
            moved = predict(adjust_boxes(own, shift=(_PROBE, 0.0)))
        except (TypeError, ValueError) as error:  # boxes have gone astray, out of the images
            failure = error
            continue
        ways = np.linalg.norm(moved - points, axis=-1).mean(axis=1)
        along = np.nanmedian(ways / (_PROBE * own[:, 2]))
        if along < least:
            best, least = box_relation(boxes, _around(points)), along
    if best is None:
        raise ValueError(f"no landmarks are found in X: {failure}") from failure
    if least > _MOST_ALONG:
        raise ValueError(
            f"the landmarks that are predicted in X move along with their boxes, {100 * least:.0f} "
            "% of the way: the regressor does not find the objects in these boxes, and nothing "
            "follows from what it predicts. Pass relation, such as detect_boxes(images, "
            "detector, target=target).box_relation of some annotated images"
        )
    return best


def _around(points: Floats) -> Floats:
    """Boxes around points, NaN where one of these is."""
    boxes = boxes_of(points)
    boxes[np.isnan(points).any((1, 2))] = np.nan
    return boxes
