"""Run a detector on images and match its boxes to samples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import Bunch
from sklearn.utils.validation import check_is_fitted

from skwing._utils.boxes import check_boxes
from skwing._utils.checks import VERBOSE, check_choice
from skwing._utils.landmarks import as_points, one_sample_hint
from skwing._utils.unwrap import gives_confidence, unwrapped
from skwing.boxes import adjust_boxes, box_relation, match_boxes
from skwing.boxes._boxes import overlaps_of
from skwing.detection._detectors import SkimageCascade
from skwing.detection._report import report_of_boxes, report_of_detections
from skwing.detection._run import detect_in_photos
from skwing.geometry import boxes_of
from skwing.images import as_boxed_images
from skwing.images._failures import check_on_error

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import Flags, Floats, Ints, OnError, Predictor
    from skwing.boxes import BoxRelation
    from skwing.detection._detectors import Detector
    from skwing.detection._report import Fallback
    from skwing.detection._run import Preference
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike


class DetectedBoxes(Bunch):
    """Result of :func:`detect_boxes`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.detection import detect_boxes
    >>> found = detect_boxes(np.zeros((2, 8, 8), np.uint8), lambda image: [(1, 1, 5, 5)])
    >>> found.boxes
    array([[1., 1., 5., 5.],
           [1., 1., 5., 5.]])
    """

    data: BoxedImages
    boxes: Floats
    scores: Floats
    confidence: Floats | None
    overlaps: Floats
    hits: Flags
    missed: Ints
    unreadable: Ints
    n_detections: Ints
    n_extra: int
    box_relation: BoxRelation | None
    report: str


class Detections(Bunch):
    """Result of :func:`detect_all`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.detection import detect_all
    >>> two = lambda image: [(0, 0, 3, 3), (4, 4, 3, 3)]
    >>> found = detect_all(np.zeros((2, 8, 8), np.uint8), two)
    >>> found.source  # index of the photo of each object
    array([0, 0, 1, 1])
    """

    data: BoxedImages
    source: Ints
    scores: Floats
    confidence: Floats | None
    missed: Ints
    unreadable: Ints
    report: str


def detect_boxes(
    images: ImagesLike,
    detector: Detector | None = None,
    *,
    target: ArrayLike | None = None,
    reference: ArrayLike | None = None,
    min_overlap: float = 0.3,
    prefer: Preference = "largest",
    fallback: Fallback = "nan",
    regressor: Predictor | None = None,
    n_jobs: int | None = None,
    verbose: int = False,
    on_error: OnError = "raise",
) -> DetectedBoxes:
    """Find one box for each sample with a detector.

    For annotated images, with `target` or `reference`, each sample gets the detection with
    the largest overlap, and each detection is assigned to at most one sample. Otherwise, for
    prediction, a sample gets the largest detection in its image, or that with the highest
    score.

    Parameters
    ----------
    images : array, sequence, DataFrame or BoxedImages of shape (n,)
        Images in any form that estimators accept as X. Existing boxes are ignored. Samples
        with the same file or array belong to one photo, which is decoded and searched once;
        its samples are matched together.
    detector : callable, default=None
        Takes an RGB image, a uint8 array of shape (height, width, 3), and returns an
        array-like of shape (k, 4), ``(x, y, width, height)`` in image pixels, or (k, 5)
        with a score. Returns an empty array or None if there is no detection. None uses
        :class:`SkimageCascade`, which requires scikit-image.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks), default=None
        Known landmarks in image pixels, NaN if missing. Detections are matched to their
        bounding boxes.
    reference : array-like of shape (n, 4), default=None
        Boxes to match detections to, instead of `target`. A sample with a row of NaN has no
        match.
    min_overlap : float, default=0.3
        Minimum overlap (intersection over union) with the reference, above 0. The overlap of
        a face detection and the bounding box of its 68 landmarks is usually above 0.4.
    prefer : {"largest", "score"}, default="largest"
        Which detection is used if there is no reference.
    fallback : {"nan", "reference"}, default="nan"
        Box of missed samples. "nan" gives NaN: regressors ignore such samples in training
        and predict NaN. "reference" gives the reference box, shifted and scaled by the
        median relation of the detector's boxes to their references.
    regressor : fitted regressor, pipeline or search, default=None
        A calibrated regressor (see `CascadeLandmarkRegressor.calibrate`), which tells how
        likely its landmarks in each box are right. Boxes that contain no object, or only a
        part of one, have a low confidence.
    n_jobs : int, default=None
        Number of processes, as in joblib; None means one.
    verbose : bool, default=False
        Whether to show a progress bar.
    on_error : {"raise", "skip"}, default="raise"
        Whether images that cannot be read raise an error, or are missed, with a warning that
        names them.

    Returns
    -------
    found : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            `images` with the boxes found. Use ``found.data[found.hits]`` to select the
            samples with a detection.
        boxes : ndarray of shape (n, 4)
            Box of each sample.
        scores : ndarray of shape (n,)
            Score of each box; NaN if missed or without scores.
        confidence : ndarray of shape (n,) or None
            With `regressor`, its ``predict(found.data, return_confidence=True)``; NaN
            without a box.
        overlaps : ndarray of shape (n,)
            Overlap with the reference; NaN if missed or without a reference.
        hits : ndarray of bool of shape (n,)
            Mask of the samples with a detection.
        missed : ndarray of int
            Indices of the samples without a detection.
        unreadable : ndarray of int
            Indices of the missed samples whose image cannot be read.
        n_detections : ndarray of int of shape (n,)
            Number of detections in the photo of each sample.
        n_extra : int
            Number of detections that are not assigned to a sample.
        box_relation : dict or None
            Parameters for :func:`skwing.boxes.landmark_boxes` to imitate the boxes of this
            detector, see Notes. None without hits or without a reference.
        report : str
            Summary as text.

    Raises
    ------
    NotFittedError
        If the regressor is not fitted or not calibrated.
    TypeError
        If the detector cannot be called, or the regressor is no estimator.
    ValueError
        If the detector returns invalid boxes, or a parameter is invalid; the message names
        the sample.
    RuntimeError
        If the detector raises an error, which is the cause.
    FileNotFoundError, ValueError
        If an image is missing or damaged, unless `on_error` is "skip".

    Notes
    -----
    Use boxes of the same kind for training and prediction. Detectors differ in the part of a
    face that their boxes contain, and a regressor learns the relation of landmarks to boxes:
    the first stage of a regressor that was trained with boxes around landmarks is inaccurate
    in those of a detector. If the detector cannot be run on the training images or misses too
    many, ``landmark_boxes(target, **found.box_relation, random_state=0)`` imitates it, given
    a few images. `box_relation` contains the median margin and shift of the boxes, relative
    to the longer side of the reference, and as `jitter` a uniform distribution with the
    observed spread.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.detection import detect_boxes
    >>> photo = np.zeros((60, 80, 3), dtype=np.uint8)
    >>> detector = lambda image: [(38, 20, 20, 20), (2, 10, 25, 25)]
    >>> target = [[40, 20, 59, 39], [4, 10, 23, 29]]  # two faces in the photo
    >>> found = detect_boxes([photo, photo], detector, target=target)
    >>> found.boxes
    array([[38., 20., 20., 20.],
           [ 2., 10., 25., 25.]])
    >>> found.overlaps.round(2)
    array([0.82, 0.64])
    >>> print(found.report)
    2 of 2 samples found (100.0 %), in 1 photos; 0 detections belong to no sample.
    Overlap with the reference: median 0.73, minimum 0.64.
    Boxes are ...
    """
    images = as_boxed_images(images)
    detector = _check_detector(detector)
    check_choice(prefer, "prefer", ("largest", "score"))
    check_choice(fallback, "fallback", ("nan", "reference"))
    VERBOSE.check(verbose, "verbose")
    check_on_error(on_error)
    regressor = _check_regressor(regressor)
    reference = _check_reference(images, target, reference)
    if reference is None and fallback == "reference":
        raise ValueError("fallback='reference' requires a target or a reference.")
    match_boxes([], [], min_overlap=min_overlap)  # validate the parameter early
    photos = images.by_image()
    detections, unreadable = detect_in_photos(
        images, photos, detector, prefer, n_jobs, verbose, on_error
    )
    rows, n_detections, n_extra = _assign(photos, detections, reference, min_overlap)
    boxes, scores = rows[:, :4], rows[:, 4]
    hits = ~np.isnan(boxes[:, 0])
    overlaps, relation = np.full(len(images), np.nan), None
    if reference is not None and hits.any():
        overlaps[hits] = overlaps_of(boxes[hits], reference[hits])
        relation = box_relation(boxes[hits], reference[hits])
    found = DetectedBoxes(
        boxes=_filled(boxes, hits, reference, relation) if fallback == "reference" else boxes,
        scores=scores,
        overlaps=overlaps,
        hits=hits,
        missed=np.flatnonzero(~hits),
        unreadable=unreadable,
        n_detections=n_detections,
        n_extra=n_extra,
        box_relation=relation,
    )
    found.data = images.with_boxes(found.boxes)
    found.confidence = _confidence(regressor, found.data)
    found.report = report_of_boxes(images, found, len(photos), fallback)
    return found


def detect_all(
    images: ImagesLike,
    detector: Detector | None = None,
    *,
    prefer: Preference = "largest",
    regressor: Predictor | None = None,
    n_jobs: int | None = None,
    verbose: int = False,
    on_error: OnError = "raise",
) -> Detections:
    """Find all objects with a detector, with one sample per detection.

    Parameters
    ----------
    images : array, sequence, DataFrame or BoxedImages of shape (n,)
        Images. A photo that occurs several times is searched once, at its first position.
    detector, regressor, n_jobs, verbose, on_error
        See :func:`detect_boxes`.
    prefer : {"largest", "score"}, default="largest"
        Order of the detections of a photo.

    Returns
    -------
    found : Bunch
        With the attributes

        data : BoxedImages of shape (m,)
            One sample with its box for each detection, grouped by photo.
        source : ndarray of int of shape (m,)
            Index of the photo of each sample in `images`.
        scores : ndarray of shape (m,)
            Score of each detection; NaN without scores.
        confidence : ndarray of shape (m,) or None
            With `regressor`, the probability that its landmarks are right. Use
            ``found.data[found.confidence > 0.5]`` to drop false detections.
        missed : ndarray of int
            Indices in `images` of the photos without a detection.
        unreadable : ndarray of int
            Indices in `images` of the missed photos that cannot be read.
        report : str
            Summary as text.

    Raises
    ------
    NotFittedError, TypeError, ValueError, RuntimeError, FileNotFoundError
        See :func:`detect_boxes`.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.detection import detect_all
    >>> photos = np.zeros((2, 60, 80, 3), dtype=np.uint8)
    >>> photos[1] = 255
    >>> def two_faces(photo):
    ...     return [(5, 5, 20, 20), (40, 8, 30, 30)] if photo.any() else None
    >>> found = detect_all(photos, two_faces)
    >>> found.data.boxes
    array([[40.,  8., 30., 30.],
           [ 5.,  5., 20., 20.]])
    >>> found.source, found.missed
    (array([1, 1]), array([0]))
    """
    images = as_boxed_images(images)
    detector = _check_detector(detector)
    check_choice(prefer, "prefer", ("largest", "score"))
    VERBOSE.check(verbose, "verbose")
    check_on_error(on_error)
    regressor = _check_regressor(regressor)
    photos = images.by_image()
    detections, unreadable = detect_in_photos(
        images, photos, detector, prefer, n_jobs, verbose, on_error
    )
    first = np.array([samples[0] for samples in photos], dtype=np.int64)
    source = np.repeat(first, np.array([len(rows) for rows in detections], dtype=np.int64))
    rows = np.concatenate([np.empty((0, 5)), *detections])
    empty = [samples for samples, rows in zip(photos, detections, strict=True) if not len(rows)]
    missed = np.sort(np.concatenate([np.empty(0, np.int64), *empty]))
    data = images[source].with_boxes(rows[:, :4])
    found = Detections(
        data=data,
        source=source,
        scores=rows[:, 4],
        confidence=_confidence(regressor, data),
        missed=missed,
        unreadable=unreadable,
    )
    found.report = report_of_detections(images, found, len(photos), len(empty))
    return found


def _check_detector(detector: Detector | None) -> Detector:
    if detector is None:
        return SkimageCascade()
    if not callable(detector):
        raise TypeError(
            "detector must be callable: a function of an RGB image that returns boxes (x, y, "
            f"width, height), or SkimageCascade or YuNet; got {detector!r:.60}."
        )
    return detector


def _check_regressor(regressor: Any) -> Any:
    """Predictor of a fitted estimator that gives confidences, or None."""
    if regressor is None:
        return None
    if not isinstance(regressor, BaseEstimator):
        raise TypeError(
            f"regressor is of type {type(regressor).__name__}, expected a calibrated regressor, or "
            "a pipeline or search with one: others, such as exported files, give no confidence."
        )
    check_is_fitted(regressor)
    if not gives_confidence(regressor):
        raise NotFittedError(
            "the regressor gives no confidence: call calibrate(X, y) with held-out samples."
        )
    return unwrapped(regressor)


def _confidence(regressor: Any, data: BoxedImages) -> Floats | None:
    """Confidence of a regressor in each box, NaN without a box."""
    if regressor is None:
        return None
    confidence = np.full(len(data), np.nan)
    boxed = np.flatnonzero(~data.missing_boxes)
    if len(boxed):
        confidence[boxed] = regressor.predict(data[boxed], return_confidence=True)[1]
    return confidence


def _check_reference(
    images: BoxedImages, target: ArrayLike | None, reference: ArrayLike | None
) -> Floats | None:
    """Boxes of the known objects, or None."""
    if target is not None and reference is not None:
        raise ValueError("pass a target or a reference, not both.")
    if reference is not None:
        return check_boxes(reference, len(images), images.describe)
    if target is None:
        return None
    points = as_points(target, name="target")
    if len(points) != len(images):
        raise ValueError(
            f"target has {len(points)} samples, images has {len(images)}.{one_sample_hint(target)}"
        )
    return boxes_of(points)


def _assign(
    photos: list[Ints], detections: list[Floats], reference: Floats | None, min_overlap: float
) -> tuple[Floats, Ints, int]:
    """Box and score of each sample, (n, 5), the number of detections, and of extra ones."""
    n_samples = sum(map(len, photos))
    rows = np.full((n_samples, 5), np.nan)
    n_detections = np.zeros(n_samples, dtype=np.int64)
    n_extra = 0
    for samples, found in zip(photos, detections, strict=True):
        chosen = _choose(found, samples, reference, min_overlap)
        rows[samples[chosen >= 0]] = found[chosen[chosen >= 0]]
        n_detections[samples] = len(found)
        n_extra += len(found) - len(set(chosen.tolist()) - {-1})
    return rows, n_detections, n_extra


def _choose(
    detections: Floats, samples: Ints, reference: Floats | None, min_overlap: float
) -> Ints:
    """Row of `detections` for each sample of a photo, -1 if there is none."""
    if reference is None:
        return np.full(len(samples), 0 if len(detections) else -1)
    return match_boxes(detections[:, :4], reference[samples], min_overlap=min_overlap)[0]


def _filled(boxes: Floats, hits: Flags, reference: Any, relation: Any) -> Floats:
    """Fill in the boxes of missed samples, computed from their references."""
    if hits.all():
        return boxes
    if relation is None:
        raise ValueError(
            "the detector found none of the objects, so the relation of its boxes to the reference "
            "is unknown; fallback='reference' cannot be used."
        )
    made = adjust_boxes(reference, **{**relation, "jitter": 0.0})
    return np.where(hits[:, None], boxes, made)
