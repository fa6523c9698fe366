"""Landmarks in videos: each face's next box comes from its last landmarks.

A detector is needed for the first frame only, or now and then for faces that come in. A
face is followed as long as its landmarks are held by the image, which is asked of the
regressor itself: where the box is moved a little, landmarks of a face stay where they are,
and those of a wall move with the box.
"""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.boxes import check_box_inside, check_boxes
from skwing._utils.checks import check_number, count
from skwing._utils.landmarks import as_points
from skwing._utils.opencv import cv2
from skwing._utils.warnings import warn_caller
from skwing.boxes import match_boxes, relation_in_training
from skwing.detection import detect_all
from skwing.geometry import boxes_of
from skwing.images import BoxedImages, as_boxed_images

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath, Floats, Ints, Predictor, Rows
    from skwing.boxes import BoxRelation
    from skwing.detection import Detector

__all__ = ["TrackedFrame", "read_video", "track"]

_PROBE = 0.1  # by how much a box is moved to see whether landmarks follow, of its side
_INSIDE = 0.5  # of a face's landmarks are in the image, or more
_GROWTH = 1.5  # no face grows or shrinks by more from one frame to the next
# Two faces whose landmarks are this close, of their size, for so many frames are one.
_TWIN_DISTANCE, _TWIN_FRAMES = 0.05, 5
_UNSURE = 0.05  # how far off the number of frames that a video states may be, in parts of it
_REMEMBERED = 100  # boxes that say how boxes lie around landmarks


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """Faces in one frame of a video.

    Attributes
    ----------
    index : int
        Number of the frame, from 0.
    image : ndarray of shape (height, width, 3)
        RGB, uint8. It may share memory with the frame that was passed.
    ids : ndarray of int of shape (n_faces,)
        A face keeps its number from frame to frame, and no other face gets it later.
    landmarks : ndarray of shape (n_faces, n_landmarks, 2)
        In image pixels; NaN where the fit was not good enough in this frame.
    boxes : ndarray of shape (n_faces, 4)
        ``(x, y, width, height)`` in image pixels that landmarks were searched in.
    scores : ndarray of shape (n_faces,)
        How well the image held the landmarks: 1 if they stayed when the box moved, 0 if
        they moved as far as the box, and less if further. NaN if it was not asked.
    lost : ndarray of int
        Numbers of the faces that were given up in this frame.
    """

    index: int
    image: NDArray[np.uint8] = field(repr=False)
    ids: Ints
    landmarks: Floats = field(repr=False)
    boxes: Floats
    scores: Floats
    lost: Ints


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
    """Follow the landmarks of faces through a video.

    Parameters
    ----------
    regressor : estimator
        A fitted one: only its `predict` is used.
    frames : iterable of arrays of shape (height, width[, 3]) or of paths
        Images in the order of time, RGB; see :func:`read_video`. One is held at a time.
    boxes : array-like of shape (n_faces, 4), default=None
        ``(x, y, width, height)`` of the faces in the first frame, of the kind that the
        regressor was trained with; NaN for the whole image. They may be none. The faces
        get the numbers 0 to ``n_faces - 1``.
    detect : callable, default=None
        Finds new faces: takes an RGB image and returns boxes, as the detectors of
        :func:`skwing.detection.detect_boxes` do. Of its boxes, those that overlap a face
        that is known already are not new.
    detect_every : int, default=30
        The detector is called in the frames whose number is a multiple of it; in the first
        only if there are no `boxes`.
    threshold : float or None, default=0.5
        Least score of a fit that is good enough, below 1. To know the score, landmarks are
        searched a second time in a box that is moved by a tenth of its side. With None that
        is left out, and following costs half: a face is then lost only when it leaves
        the image, changes its size by more than half at once or falls on another.
    patience : int, default=5
        Frames in a row without a good fit that a face may have: it is looked for where it
        was last, its landmarks are NaN meanwhile, and in the next such frame it is lost.
        Lost at once is a face that has most of its landmarks, or its box, outside the
        image; and of two whose landmarks are the same for five frames, the one that was
        followed for less long.
    smoothing : float, default=0.5
        How much of the last size of a face stays in the size of its next box, from 0 to
        below 1. Middles are not smoothed: boxes would stay behind faces that move.
    like : mapping, default=None
        How boxes lie around landmarks: `margin` and `shift` as
        :func:`skwing.boxes.landmark_boxes` takes them, and as
        :func:`skwing.boxes.box_relation` and ``detect_boxes(...).box_relation`` have them. None
        takes that of the training boxes, which a `CascadeLandmarkRegressor` knows, at the
        end of a pipeline as well. For another regressor, and one that was trained
        without boxes, it is learned from the boxes that are passed or detected, by the
        median over the last hundred of them; a few tell it less well.

    Yields
    ------
    frame : TrackedFrame
        For each frame, with the faces that are followed.

    Raises
    ------
    TypeError, ValueError
        If a parameter or a box is wrong.
    FileNotFoundError, ValueError, RuntimeError
        If a frame is missing or broken or the detector fails, with a note of the number of
        the frame.

    Notes
    -----
    Measured on 160 faces of 300-W that a CNN-6 was not trained on, with detector boxes:
    scores of faces were 0.66 to 0.92 (from the 5th to the 95th percentile), those of
    backgrounds and of faces that were wholly covered -0.7 to 0.3. Among these faces, faces
    partly covered and boxes off by up to half their side, the threshold 0.5 turned down
    3.5 % of the fits with errors below 8 % of the inter-ocular distance, and let pass 8 %
    of those with errors above 20 %.

    Examples
    --------
    A regressor that knows where the face is, as it moves to the right:

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
        raise ValueError("give the boxes of the first frame, or a function detect that finds them.")
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
    search = _Search(regressor, threshold, smoothing, _Relation(like))
    return _follow(search, frames, boxes, detect, detect_every, patience)


def read_video(path: FilePath) -> Iterator[NDArray[np.uint8]]:
    """Frames of a video file, one by one.

    Parameters
    ----------
    path : str or PathLike

    Yields
    ------
    frame : ndarray of shape (height, width, 3)
        RGB, uint8.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If OpenCV cannot read it as a video.

    Warns
    -----
    UserWarning
        If frames end well before the number that the file states: it is cut off or damaged.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no video file {path}.")
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise ValueError(f"{path} is broken, or not a video that OpenCV reads.")
    return _frames_of(video, path)


def _frames_of(video: Any, path: str) -> Iterator[NDArray[np.uint8]]:
    n_stated, n_frames = video.get(cv2.CAP_PROP_FRAME_COUNT), 0
    try:
        while (frame := video.read()[1]) is not None:
            n_frames += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        video.release()
    # Some files state no number, and some only how long they last.
    if n_frames < n_stated - max(2, _UNSURE * n_stated):
        warn_caller(
            f"{path}: found {n_frames} frames, expected the {n_stated:.0f} that the file states: "
            "it is cut off or damaged.",
        )


@dataclass
class _Face:
    """A face that is followed."""

    id: int
    box: Floats  # where it is looked for next
    given: Floats | None  # box that it came with, until its relation has been learned
    size: float | None = None  # longer side of the box of its landmarks, smoothed
    n_good: int = 0  # frames in a row, as the next two
    n_misses: int = 0
    n_twin: int = 0


class _Relation:
    """How boxes lie around landmarks: logarithm of the size and shift of the middle."""

    def __init__(self, like: Mapping[str, Any] | BoxRelation | None) -> None:
        self._fixed: Floats | None = None
        self._rows: deque[list[float]] = deque(maxlen=_REMEMBERED)
        if like is not None:
            if not isinstance(like, Mapping):
                raise TypeError(f"like must be a mapping such as dict; got {like!r:.60}.")
            margin = check_number(like.get("margin", 0.0), "like['margin']", -0.5, ends="()")
            shift = np.array(like.get("shift", (0.0, 0.0)), dtype=np.float64)
            if shift.shape != (2,) or not np.isfinite(shift).all():
                raise ValueError(f"like['shift'] must be two numbers; got {like['shift']!r:.60}.")
            self._fixed = np.array([np.log(1 + 2 * margin), *shift])

    def learn(self, box: Floats, around: Floats) -> None:
        """Take a box in, and the box around the landmarks in it."""
        side = around[2:].max()
        shift = (_middle(box) - _middle(around)) / side
        self._rows.append([np.log(box[2:].max() / side), *shift])

    def box(self, around: Floats, size: float) -> Floats:
        """Square box for landmarks in the box `around`, which counts as of that size."""
        row = np.median(self._rows, axis=0) if self._fixed is None else self._fixed
        side = size * np.exp(row[0])
        return np.array([*(_middle(around) + size * row[1:] - side / 2), side, side])


@dataclass
class _Search:
    """Looks for faces in one frame, and learns where to look in the next."""

    regressor: Predictor
    threshold: float | None
    smoothing: float
    relation: _Relation

    def locate(self, image: NDArray[np.uint8], faces: list[_Face]) -> tuple[Floats, Floats]:
        """Landmarks (k, L, 2) in the boxes of faces, and scores (k,)."""
        boxes = _stack(faces)
        probes = np.empty((0, 4)) if self.threshold is None else _moved(boxes, image.shape)
        data = BoxedImages([image] * (len(boxes) + len(probes)), np.concatenate([boxes, probes]))
        points = as_points(self.regressor.predict(data), name="what the regressor predicts")
        if self.threshold is None:
            return points, np.full(len(points), np.nan)
        points, again = np.split(points, 2)
        way = np.linalg.norm(again - points, axis=-1).mean(axis=1)
        return points, 1 - way / np.linalg.norm(probes[:, :2] - boxes[:, :2], axis=-1)

    def is_good(self, face: _Face, points: Floats, score: float) -> bool:
        """Whether landmarks are those of the face that was looked for."""
        # Not as score < threshold: of a NaN, from landmarks of the moved box, nothing is known.
        if np.isnan(points).any() or not (self.threshold is None or score >= self.threshold):
            return False
        size = boxes_of(points)[2:].max()
        return face.size is None or 1 / _GROWTH <= size / face.size <= _GROWTH

    def learn(self, faces: list[_Face], points: Floats) -> None:
        """Where to look for faces in the next frame, from good landmarks."""
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
    """See `track`."""
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
            error.add_note(f"This was in frame {index}, the first being 0.")
            raise
        gone = set(result.lost.tolist())
        faces = [face for face in faces if face.id not in gone]
        yield result


def _step(
    search: _Search, index: int, image: NDArray[np.uint8], faces: list[_Face], patience: int
) -> TrackedFrame:
    """What is seen in one frame; the faces learn from it."""
    seen = [face for face in faces if _is_inside(face.box, image.shape)]
    lost = [face.id for face in faces if not _is_inside(face.box, image.shape)]
    if not seen:
        return _empty_frame(index, image, lost)
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


def _empty_frame(index: int, image: NDArray[np.uint8], lost: list[int]) -> TrackedFrame:
    nothing = np.empty((0, 4))
    ids, lost = np.empty(0, np.int64), np.array(sorted(lost), dtype=np.int64)
    return TrackedFrame(index, image, ids, np.empty((0, 0, 2)), nothing, nothing[:, 0], lost)


def _new_face(number: int, box: Floats) -> _Face:
    return _Face(number, box, given=box)


def _find_new(
    image: NDArray[np.uint8], detect: Detector, faces: list[_Face], numbers: Iterator[int]
) -> list[_Face]:
    """Faces that a detector finds beside those that are known."""
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
    """Count for how long a face has been where another is that was followed for longer."""
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


def _middle(box: Floats) -> Floats:
    return box[:2] + box[2:] / 2


def _is_inside(box: Floats, image_shape: tuple[int, ...]) -> bool:
    """Whether a box and the image have pixels in common."""
    height, width = image_shape[:2]
    return bool((box[:2] < [width, height]).all() and (box[:2] + box[2:] > 0).all())


def _fraction_inside(points: Floats, image_shape: tuple[int, ...]) -> Floats:
    """Of each face's landmarks, those in the image; of shape (k,)."""
    height, width = image_shape[:2]
    inside = (points >= -0.5) & (points <= [width - 0.5, height - 0.5])
    return inside.all(axis=-1).mean(axis=-1)


def _moved(boxes: Floats, image_shape: tuple[int, ...]) -> Floats:
    """Boxes moved towards the middle of the image, where there is more to see."""
    middle = np.array([image_shape[1], image_shape[0]]) / 2
    direction = np.where(boxes[:, :2] + boxes[:, 2:] / 2 > middle, -1.0, 1.0)
    way = _PROBE * boxes[:, 2:].max(axis=1, keepdims=True) * direction
    return np.concatenate([boxes[:, :2] + way, boxes[:, 2:]], axis=1)
