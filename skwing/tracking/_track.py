"""Tracking: locate faces, accept or reject the fits, place the boxes of the next frame."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.boxes import check_boxes
from skwing._utils.checks import check_number, count
from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import gives_confidence, predictor_of, unwrapped
from skwing.boxes import match_boxes, relation_in_training
from skwing.detection import detect_all
from skwing.geometry import boxes_of
from skwing.images import BoxedImages, as_boxed_images
from skwing.runtime import check_box_inside
from skwing.tracking._frame import TrackedFrame
from skwing.tracking._relation import Relation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from numpy.typing import NDArray

    from skwing._utils.types import Floats, Predictor, Rows
    from skwing.boxes import BoxRelation
    from skwing.detection import Detector

_PROBE = 0.1  # shift of a box to test the stability of predictions, relative to its side
_INSIDE = 0.5  # minimum fraction of a face's landmarks inside the image
_GROWTH = 1.5  # maximum factor between the sizes of a face in consecutive frames
# Two faces are duplicates if the distance of their landmarks, relative to their size, is below
# this for this number of frames.
_TWIN_DISTANCE, _TWIN_FRAMES = 0.05, 5


def track(
    regressor: Predictor,
    frames: Iterable[NDArray[Any]],
    boxes: Rows | None = None,
    *,
    detect: Detector | None = None,
    detect_every: int = 30,
    threshold: float | None = 0.5,
    patience: int = 5,
    smoothing: float = 0.5,
    like: Mapping[str, Any] | BoxRelation | None = None,
) -> Iterator[TrackedFrame]:
    """Track the landmarks of faces through a video.

    Parameters
    ----------
    regressor : estimator or OnnxLocalizer
        A fitted regressor of landmarks, a pipeline or search with one, or an exported file
        (:class:`skwing.runtime.OnnxLocalizer`).
    frames : iterable of arrays of shape (height, width[, 3]) or of paths
        RGB images in temporal order; see :func:`read_video`. Only one is held in memory.
    boxes : array-like of shape (n_faces, 4), default=None
        ``(x, y, width, height)`` of the faces in the first frame, of the same kind as the
        boxes of the training samples; NaN for the whole image. May be empty. The faces get
        the identifiers 0 to ``n_faces - 1``.
    detect : callable, default=None
        Detector for new faces. Takes an RGB image and returns boxes, as the detectors of
        :func:`skwing.detection.detect_boxes`. Boxes that overlap a tracked face are ignored.
    detect_every : int, default=30
        Interval of detections. The detector is called in frames whose index is a multiple of
        this number; in the first frame only if `boxes` is None.
    threshold : float or None, default=0.5
        Minimum score of an accepted fit, below 1. If the regressor was calibrated (see
        :meth:`skwing.CascadeLandmarkRegressor.calibrate`), the score is the confidence of its
        prediction. Otherwise, landmarks are predicted a second time with the box shifted by a
        tenth of its side, to compute their stability. With None, no scores are computed. A
        face is then dropped only if it leaves the image, changes its size by more than half
        between two frames, or coincides with another face.
    patience : int, default=5
        Number of consecutive frames without an accepted fit after which a face is dropped in
        the next such frame. Meanwhile, its box stays in place and its landmarks are NaN. A
        face is dropped immediately if most of its landmarks, or its box, are outside the
        image. If the landmarks of two faces coincide for five frames, the face that was
        tracked for a shorter time is dropped.
    smoothing : float, default=0.5
        Weight of the previous size of a face in the size of its next box, from 0 to below 1.
        Centres are not smoothed, so that boxes do not lag behind moving faces.
    like : mapping, default=None
        Relation of boxes to landmarks: `margin` and `shift` as in
        :func:`skwing.boxes.landmark_boxes`, for example from
        :func:`skwing.boxes.box_relation` or ``detect_boxes(...).box_relation``. None uses
        that of the training boxes if the regressor, the last step of a pipeline or an
        exported file is a `CascadeLandmarkRegressor` that was trained with boxes. For other
        regressors, it is estimated as the median over the last hundred boxes that are passed
        or detected, which is less accurate if there are few.

    Yields
    ------
    frame : TrackedFrame
        For each frame, with the tracked faces.

    Raises
    ------
    TypeError, ValueError
        If a parameter or a box is invalid.
    FileNotFoundError, ValueError, RuntimeError
        If a frame is missing or damaged, or the detector fails. A note states the index of
        the frame.

    Notes
    -----
    Scores were measured with a CNN-6 on 160 held-out faces of 300-W with detector boxes.
    Between the 5th and the 95th percentile, they were 0.66 to 0.92 for faces, and -0.7 to 0.3
    for background and completely occluded faces. On these faces, partly occluded faces and
    boxes shifted by up to half their side, the threshold 0.5 rejected 3.5 % of the fits with
    errors below 8 % of the inter-ocular distance, and accepted 8 % of those with errors above
    20 %.

    Examples
    --------
    A regressor that returns the true position of a face moving to the right:

    >>> import numpy as np
    >>> from skwing.tracking import track
    >>> frames = np.zeros((3, 60, 80, 3), dtype=np.uint8)
    >>> class Known:
    ...     def __init__(self):
    ...         self.x = iter([10.0, 14.0, 18.0])
    ...     def predict(self, X):
    ...         face = np.array([[0, 0], [20, 0], [10, 20]]) + [next(self.x), 20]
    ...         return np.tile(face, (len(X), 1, 1))
    >>> for frame in track(Known(), frames, boxes=[[8, 18, 25, 25]]):
    ...     print(frame.index, frame.ids, frame.boxes[0], frame.landmarks[0, 0])
    0 [0] [ 8. 18. 25. 25.] [10. 20.]
    1 [0] [ 8. 18. 25. 25.] [14. 20.]
    2 [0] [12. 18. 25. 25.] [18. 20.]
    """
    if not callable(getattr(regressor, "predict", None)):
        raise TypeError(f"regressor must have a method predict; got {regressor!r:.60}.")
    if isinstance(frames, (str, bytes, os.PathLike)):
        raise TypeError(
            f"frames is the single path {str(frames)!r}: pass the frames themselves, of a video "
            "file read_video(path)."
        )
    if boxes is None and detect is None:
        raise ValueError("pass the boxes of the first frame, or a function detect to find them.")
    if detect is not None and not callable(detect):
        raise TypeError(f"detect must be a function of an RGB image; got {detect!r:.60}.")
    detect_every = count().check(detect_every, "detect_every")
    patience = count(0).check(patience, "patience")
    smoothing = check_number(smoothing, "smoothing", 0, 1, ends="[)")
    if threshold is not None:
        threshold = check_number(threshold, "threshold", -np.inf, 1, ends="()")
    if boxes is not None:
        boxes = np.empty((0, 4)) if len(boxes) == 0 else boxes
        boxes = check_boxes(boxes, len(boxes), "box {}".format)
    like = relation_in_training(regressor) if like is None else like
    n_landmarks = getattr(predictor_of(regressor), "n_landmarks_", 0)
    search = _Search(regressor, threshold, smoothing, Relation(like), n_landmarks)
    return _follow(search, frames, boxes, detect, detect_every, patience)


@dataclass
class _Face:
    """A tracked face."""

    id: int
    box: Floats  # where it is looked for next
    given: Floats | None  # box that it came with, until its relation has been learned
    size: float | None = None  # longer side of the box of its landmarks, smoothed
    n_good: int = 0  # frames in a row, as the next two
    n_misses: int = 0
    n_twin: int = 0


@dataclass
class _Search:
    """Predicts landmarks in one frame and computes the boxes for the next."""

    regressor: Predictor
    threshold: float | None
    smoothing: float
    relation: Relation
    n_landmarks: int  # 0 before the first prediction of a regressor that does not tell

    def locate(self, image: NDArray[np.uint8], faces: list[_Face]) -> tuple[Floats, Floats]:
        """Predict landmarks (k, L, 2) and scores (k,) in the boxes of faces."""
        points, scores = self._located(image, _stack(faces))
        self.n_landmarks = points.shape[1]
        return points, scores

    def _located(self, image: NDArray[np.uint8], boxes: Floats) -> tuple[Floats, Floats]:
        name = "the prediction of the regressor"
        if self.threshold is not None and gives_confidence(self.regressor):
            data = BoxedImages([image] * len(boxes), boxes)
            found = unwrapped(self.regressor).predict(data, return_confidence=True)
            return as_points(found[0], name=name), found[1]
        probes = np.empty((0, 4)) if self.threshold is None else _moved(boxes, image.shape)
        data = BoxedImages([image] * (len(boxes) + len(probes)), np.concatenate([boxes, probes]))
        points = as_points(self.regressor.predict(data), name=name)
        if self.threshold is None:
            return points, np.full(len(points), np.nan)
        points, again = np.split(points, 2)
        way = np.linalg.norm(again - points, axis=-1).mean(axis=1)
        return points, 1 - way / np.linalg.norm(probes[:, :2] - boxes[:, :2], axis=-1)

    def is_good(self, face: _Face, points: Floats, score: float) -> bool:
        """Whether the fit of a face is accepted."""
        # Not score < threshold, so that a NaN score is rejected.
        if np.isnan(points).any() or not (self.threshold is None or score >= self.threshold):
            return False
        size = boxes_of(points)[2:].max()
        return face.size is None or 1 / _GROWTH <= size / face.size <= _GROWTH

    def learn(self, faces: list[_Face], points: Floats) -> None:
        """Update the boxes of faces for the next frame from accepted landmarks."""
        around = boxes_of(points)
        for face, box in zip(faces, around, strict=True):
            if face.given is not None:
                self.relation.learn(face.given, box)
                face.given = None
        for face, box in zip(faces, around, strict=True):
            size = box[2:].max()
            if face.size is not None:
                size = face.size**self.smoothing * size ** (1 - self.smoothing)
            face.size, face.box = size, self.relation.box(box, size)


def _follow(
    search: _Search,
    frames: Iterable[NDArray[Any]],
    boxes: Floats | None,
    detect: Detector | None,
    detect_every: int,
    patience: int,
) -> Iterator[TrackedFrame]:
    """Generator behind `track`, after validation."""
    faces, numbers = [], itertools.count()
    for index, frame in enumerate(frames):
        try:
            image = as_boxed_images([frame]).decode(0)
            if index == 0 and boxes is not None:
                faces = [
                    _new_face(next(numbers), check_box_inside(box, image.shape, f"box {i}"))
                    for i, box in enumerate(boxes)
                ]
            elif detect is not None and index % detect_every == 0:
                faces = faces + _find_new(image, detect, faces, numbers)
            result = _step(search, index, image, faces, patience)
        except Exception as error:
            error.add_note(f"The error occurred in frame {index} (counted from 0).")
            raise
        gone = set(result.lost.tolist())
        faces = [face for face in faces if face.id not in gone]
        yield result


def _step(
    search: _Search, index: int, image: NDArray[np.uint8], faces: list[_Face], patience: int
) -> TrackedFrame:
    """Predict one frame and update the faces."""
    seen = [face for face in faces if _is_inside(face.box, image.shape)]
    lost = [face.id for face in faces if not _is_inside(face.box, image.shape)]
    if not seen:
        return _empty_frame(index, image, lost, search.n_landmarks)
    boxes = _stack(seen)
    points, scores = search.locate(image, seen)
    good = np.array([search.is_good(*each) for each in zip(seen, points, scores, strict=True)])
    stays = ~good | (_fraction_inside(points, image.shape) >= _INSIDE)
    points = np.where(good[:, None, None], points, np.nan)
    for face, is_good in zip(seen, good, strict=True):
        face.n_good = face.n_good + 1 if is_good else 0
        face.n_misses = 0 if is_good else face.n_misses + 1
    search.learn(list(itertools.compress(seen, good)), points[good])
    _count_twins(seen, points)
    kept = stays & [face.n_misses <= patience and face.n_twin < _TWIN_FRAMES for face in seen]
    lost += [face.id for face, is_kept in zip(seen, kept, strict=True) if not is_kept]
    ids = np.array([face.id for face in seen])
    return TrackedFrame(
        index,
        image,
        ids[kept],
        points[kept],
        boxes[kept],
        scores[kept],
        np.array(sorted(lost), dtype=np.int64),
    )


def _empty_frame(
    index: int, image: NDArray[np.uint8], lost: list[int], n_landmarks: int
) -> TrackedFrame:
    ids, points, boxes = np.empty(0, np.int64), np.empty((0, n_landmarks, 2)), np.empty((0, 4))
    lost = np.array(sorted(lost), dtype=np.int64)
    return TrackedFrame(index, image, ids, points, boxes, boxes[:, 0], lost)


def _new_face(number: int, box: Floats) -> _Face:
    return _Face(number, box, given=box)


def _find_new(
    image: NDArray[np.uint8], detect: Detector, faces: list[_Face], numbers: Iterator[int]
) -> list[_Face]:
    """Detect faces that are not tracked yet, and update the boxes of tracked faces."""
    found = detect_all([image], detect).data.boxes
    whose, _ = match_boxes(found, _stack(faces))
    for face, row in zip(faces, whose, strict=True):
        if row >= 0:
            face.given = found[row]
            if face.n_misses:
                face.box = found[row]
    new = np.setdiff1d(np.arange(len(found)), whose)
    return [_new_face(next(numbers), found[row]) for row in new]


def _count_twins(faces: list[_Face], points: Floats) -> None:
    """Count the frames in which a face coincides with one that was tracked for longer."""
    sizes = boxes_of(points)[:, 2:].max(axis=1)
    for face, own, size in zip(faces, points, sizes, strict=True):
        apart = np.linalg.norm(points - own, axis=-1).mean(axis=1)
        is_twin = any(
            other is not face and (other.n_good, -other.id) > (face.n_good, -face.id)
            for other in itertools.compress(faces, apart < _TWIN_DISTANCE * size)
        )
        face.n_twin = face.n_twin + 1 if is_twin else 0


def _stack(faces: list[_Face]) -> Floats:
    return np.array([face.box for face in faces]).reshape(len(faces), 4)


def _is_inside(box: Floats, image_shape: tuple[int, ...]) -> bool:
    """Whether a box overlaps the image."""
    height, width = image_shape[:2]
    return bool((box[:2] < [width, height]).all() and (box[:2] + box[2:] > 0).all())


def _fraction_inside(points: Floats, image_shape: tuple[int, ...]) -> Floats:
    """Fraction of each face's landmarks inside the image, of shape (k,)."""
    height, width = image_shape[:2]
    inside = (points >= -0.5) & (points <= [width - 0.5, height - 0.5])
    return inside.all(axis=-1).mean(axis=-1)


def _moved(boxes: Floats, image_shape: tuple[int, ...]) -> Floats:
    """Boxes shifted towards the centre of the image, so that they stay inside."""
    middle = np.array([image_shape[1], image_shape[0]]) / 2
    direction = np.where(boxes[:, :2] + boxes[:, 2:] / 2 > middle, -1.0, 1.0)
    way = _PROBE * boxes[:, 2:].max(axis=1, keepdims=True) * direction
    return np.concatenate([boxes[:, :2] + way, boxes[:, 2:]], axis=1)
