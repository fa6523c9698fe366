"""Relation of boxes to landmarks, and boxes of another detector for a trained regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from skwing._utils.boxes import check_boxes
from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import parts_of
from skwing.boxes._boxes import adjust_boxes
from skwing.geometry import boxes_of
from skwing.images import as_boxed_images

if TYPE_CHECKING:
    from skwing._utils.types import Floats, Predictor, Rows
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike

_STARTS = (1.0, 0.6, 1.6)  # initial scale factors for boxes of an unknown kind
_ROUNDS = 4  # iterations of predicting landmarks and updating boxes
_LOOKED_AT = 64  # maximum number of samples used to estimate the relation
_PROBE = 0.1  # shift of a box, relative to its side, to test whether predictions are stable
_MOST_ALONG = 0.7  # maximum shift of stable predictions, relative to the shift of the box


class BoxRelation(TypedDict):
    """Result of :func:`box_relation`: parameters of :func:`adjust_boxes`."""

    margin: float
    shift: tuple[float, float]
    square: bool
    jitter: tuple[float, float]


def box_relation(boxes: Rows, reference: Rows) -> BoxRelation | None:
    """Measure how boxes relate to reference boxes, as parameters of `adjust_boxes`.

    Parameters
    ----------
    boxes : array-like of shape (n, 4)
        ``(x, y, width, height)`` in image pixels.
    reference : array-like of shape (n, 4)
        Boxes to compare with, such as boxes around landmarks. Samples with a row of NaN (no
        box) in either array are ignored.

    Returns
    -------
    relation : dict or None
        Parameters of :func:`adjust_boxes` and :func:`landmark_boxes`: the median margin and
        shift relative to the longer side of the reference, `square`, and `jitter` as a
        uniform distribution with the observed spread. None if there is no sample to compare.

    Raises
    ------
    ValueError
        If the arrays differ in length or do not contain boxes.

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
    rows = relative_to(boxes, reference)
    sizes, shifts = rows[:, 0], rows[:, 1:]
    size, shift = np.median(sizes), np.median(shifts, axis=0)
    # For a normal distribution, 1.4826 converts the median absolute deviation to the standard
    # deviation. For a uniform distribution, sqrt(3) converts that to the half width.
    half_width = 3**0.5 * 1.4826
    jitter_shift = half_width * np.median(abs(shifts - shift))
    jitter_scale = np.exp(half_width * np.median(abs(sizes - size))) - 1
    return {
        "margin": float(np.exp(size) - 1) / 2,
        "shift": tuple(shift.tolist()),
        "square": True,
        "jitter": (min(float(jitter_shift), 0.99), min(float(jitter_scale), 0.99)),
    }


def relative_to(boxes: Floats, reference: Floats) -> Floats:
    """Logarithm of the size, and shift of the centre, of boxes relative to other boxes.

    Takes arrays of shape (..., 4), and returns one of shape (..., 3). The unit is the longer side
    of the other boxes.
    """
    side = reference[..., 2:].max(-1, keepdims=True)
    size = np.log(boxes[..., 2:].max(-1, keepdims=True) / side)
    return np.concatenate([size, (middles(boxes) - middles(reference)) / side], -1)


def middles(boxes: Floats) -> Floats:
    """Centres of boxes, of shape (..., 2)."""
    return boxes[..., :2] + boxes[..., 2:] / 2


def relation_in_training(regressor: Predictor) -> BoxRelation | None:
    """Relation between boxes and landmarks in the training data of a regressor.

    Parameters
    ----------
    regressor : estimator
        A regressor, or a pipeline or a search with one.

    Returns
    -------
    relation : dict or None
        See :func:`box_relation`. None if the regressor was trained without boxes or does not
        store the relation.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.boxes import relation_in_training
    >>> print(relation_in_training(CascadeLandmarkRegressor()))
    None
    """
    relations = (getattr(part, "box_relation_", None) for part in parts_of(regressor))
    return next((relation for relation in relations if relation is not None), None)


def adapt_boxes(
    X: ImagesLike, regressor: Predictor, relation: BoxRelation | None = None
) -> BoxedImages:
    """Convert boxes of another detector to the kind that a regressor was trained with.

    Parameters
    ----------
    X : BoxedImages or DataFrame of shape (n,)
        Images with boxes, all from the same detector. Missing boxes remain missing.
    regressor : CascadeLandmarkRegressor
        Fitted with boxes; also a pipeline or a search that ends in one.
    relation : dict, default=None
        Relation of the boxes of X to landmarks: ``detect_boxes(images, detector,
        target=target).box_relation`` for some annotated images, or the result of
        :func:`box_relation`. None estimates it from the predictions of `regressor`, see
        Notes.

    Returns
    -------
    X : BoxedImages of shape (n,)
        The same images with square boxes.

    Raises
    ------
    NotFittedError
        If the regressor is not fitted.
    ValueError
        If the regressor was trained without boxes, X has no boxes, or `relation` is None and
        the predictions are not accurate enough to estimate it.

    Notes
    -----
    Boxes are shifted and scaled according to two relations: that of the boxes of X to the
    landmarks, and that of the training boxes (`box_relation_`). Without `relation`, the first
    is estimated iteratively on at most 64 samples: landmarks are predicted, boxes are updated
    by the median relation, and landmarks are predicted again. This is repeated for three
    initial sizes of the boxes. The result with the most stable predictions, when the boxes
    are shifted slightly, is used. This takes about twenty predictions per sample. On drawn
    faces with boxes 0.6 to 2 times as large, shifted by up to a fifth of their side in each
    direction, the error is 0.04 to 0.35 of the face size before and 0.04 after the
    conversion, as with the detector of the training images.

    Pass as many samples as possible at once. For single images, estimate the relation
    beforehand.

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

    With a well-trained regressor, ``reg.predict(adapt_boxes(other, reg))`` is sufficient.
    """
    X = as_boxed_images(X)
    wanted = relation_in_training(regressor)
    if wanted is None:
        if isinstance(regressor, BaseEstimator):
            check_is_fitted(regressor)
        raise ValueError(
            f"{type(regressor).__name__} has no box_relation_, because it was trained without "
            "boxes; boxes cannot be adapted to it"
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


def _carried_over(boxes: Floats, relation: BoxRelation, wanted: BoxRelation) -> Floats:
    """Convert boxes with one relation to landmarks to boxes with another."""
    side = boxes[:, 2:].max(axis=1, keepdims=True) / (1 + 2 * relation["margin"])
    middle = middles(boxes) - side * np.array(relation["shift"])
    around = np.concatenate([middle - side / 2, side, side], axis=1)
    return adjust_boxes(around, margin=wanted["margin"], shift=wanted["shift"])


def _predicted_relation(X: BoxedImages, regressor: Predictor, wanted: BoxRelation) -> BoxRelation:
    """Estimate the relation of boxes to landmarks from the predictions of a regressor."""
    boxes, best, least = X.boxes, None, np.inf

    def predict(own: Floats) -> Floats:
        return as_points(regressor.predict(X.with_boxes(own)), name="the prediction")

    for start in _STARTS:
        try:
            own = adjust_boxes(boxes, margin=(start - 1) / 2, square=True)
            for _ in range(_ROUNDS):
                relation = box_relation(boxes, _around(predict(own)))
                own = _carried_over(boxes, relation, wanted)  # type: ignore[arg-type]
            points = predict(own)
            moved = predict(adjust_boxes(own, shift=(_PROBE, 0.0)))
        except (TypeError, ValueError) as error:  # boxes diverged and left the images
            failure = error
            continue
        ways = np.linalg.norm(moved - points, axis=-1).mean(axis=1)
        along = np.nanmedian(ways / (_PROBE * own[:, 2]))
        if along < least:
            best, least = box_relation(boxes, _around(points)), along
    if best is None:
        raise ValueError(f"no landmarks can be predicted in X: {failure}") from failure
    if least > _MOST_ALONG:
        raise ValueError(
            "the landmarks that are predicted in X move with their boxes, by "
            f"{100 * least:.0f} % of the shift: the regressor does not find the objects in these "
            "boxes, and the relation cannot be estimated. Pass relation, such as "
            "detect_boxes(images, detector, target=target).box_relation of annotated images"
        )
    return best


def _around(points: Floats) -> Floats:
    """Bounding boxes of points; NaN if any point is NaN."""
    boxes = boxes_of(points)
    boxes[np.isnan(points).any((1, 2))] = np.nan
    return boxes
