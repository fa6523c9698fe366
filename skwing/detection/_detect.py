"""Boxes from a detector: which of them belongs to which sample, and what was missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import Bunch
from tqdm.auto import tqdm

from skwing._utils.boxes import check_box_inside, check_boxes
from skwing._utils.checks import VERBOSE, check_choice
from skwing._utils.landmarks import as_points
from skwing.boxes import adjust_boxes, box_overlaps, box_relation, match_boxes
from skwing.detection._detectors import SkimageCascade
from skwing.geometry import boxes_of
from skwing.images import as_boxed_images

if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    from numpy.typing import ArrayLike

    from skwing._utils.types import Flags, Floats, Ints
    from skwing.boxes import BoxRelation
    from skwing.detection._detectors import Detector
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike

    Preference: TypeAlias = Literal["largest", "score"]
    Fallback: TypeAlias = Literal["nan", "reference"]
    from typing import Any

__all__ = ["detect_all", "detect_boxes"]

_CHUNK = 8  # photos that a worker gets at a time
_NAMED = 10  # missed samples that a report names


class DetectedBoxes(Bunch):
    """What :func:`detect_boxes` returns."""

    data: BoxedImages
    boxes: Floats
    scores: Floats
    overlaps: Floats
    hits: Flags
    missed: Ints
    n_detections: Ints
    n_extra: int
    box_relation: BoxRelation | None
    report: str


class Detections(Bunch):
    """What :func:`detect_all` returns."""

    data: BoxedImages
    source: Ints
    scores: Floats
    missed: Ints
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
    n_jobs: int | None = None,
    verbose: int = False,
) -> DetectedBoxes:
    """One box for each sample, from a detector.

    With `target` or `reference`, for annotated images, a sample gets the detection that
    overlaps its own object best, and a detection goes to one sample at most. Without, for
    prediction, it gets the largest detection in its image, or the best.

    Parameters
    ----------
    images : array, sequence, DataFrame or BoxedImages of shape (n,)
        What estimators take as X. Boxes that it has are not looked at. Samples that share
        a file or an array count as one photo: it is decoded and searched once, and its
        samples are matched together.
    detector : callable, default=None
        Takes an RGB image, a uint8 array of shape (height, width, 3), and returns an
        array-like of shape (k, 4), ``(x, y, width, height)`` in image pixels, or (k, 5)
        with a score; nothing found is an empty one, or None. None takes
        :class:`SkimageCascade`, which needs scikit-image.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks), default=None
        Known landmarks in image pixels, NaN where missing. The smallest boxes around them
        say which detection is whose.
    reference : array-like of shape (n, 4), default=None
        Boxes that say so, in place of `target`; a sample without (NaN) gets none.
    min_overlap : float, default=0.3
        Least overlap (intersection over union) with the reference, above 0. A detector's
        box of a face and the box of its 68 landmarks overlap by 0.4 and more.
    prefer : {"largest", "score"}, default="largest"
        Which detection is taken where there is no reference.
    fallback : {"nan", "reference"}, default="nan"
        Box of a sample that was missed: NaN, so that regressors do not train on it and
        predict NaN; or, where there is a reference, that one moved and scaled as the
        detector's boxes lie to theirs, by the median over the samples found.
    n_jobs : int, default=None
        Number of processes, as in joblib; None for one.
    verbose : bool, default=False
        Show a progress bar.

    Returns
    -------
    found : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            `images` with the boxes found. ``found.data[found.hits]`` are those that the
            detector did find.
        boxes : ndarray of shape (n, 4)
        scores : ndarray of shape (n,)
            NaN where missed, or the detector gives none.
        overlaps : ndarray of shape (n,)
            With the reference; NaN where missed, or there is none.
        hits : ndarray of bool of shape (n,)
        missed : ndarray of int
            Samples without a detection, as positions in `images`.
        n_detections : ndarray of int of shape (n,)
            In the photo of each sample.
        n_extra : int
            Detections that no sample got.
        box_relation : dict or None
            Parameters for :func:`skwing.boxes.landmark_boxes` that make boxes lie around
            landmarks as this detector's do, see Notes. None without hits or a reference.
        report : str
            All that in words.

    Raises
    ------
    TypeError
        If the detector cannot be called.
    ValueError
        If it returns something else than boxes, or a parameter is wrong; the message
        names the sample.
    RuntimeError
        If the detector itself fails, caused by its error.
    FileNotFoundError, ValueError
        If an image is missing or broken.

    Notes
    -----
    Train with boxes of the same kind as there will be at prediction. Detectors disagree on
    what part of a face their box holds, and a regressor learns where landmarks lie in the
    boxes that it saw: trained with boxes around landmarks, its first stage goes astray in a
    detector's. Where the detector cannot be run on the training images, or
    misses too many, ``landmark_boxes(target, **found.box_relation, random_state=0)`` imitates it
    from a sample of images: `box_relation` holds the median margin and shift of its boxes, by the
    longer side of the reference, and as jitter the even spread that scatters as much.

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
    Overlap with the reference: median 0.73, least 0.64.
    Boxes are ...
    """
    images = as_boxed_images(images)
    detector = _check_detector(detector)
    check_choice(prefer, "prefer", ("largest", "score"))
    check_choice(fallback, "fallback", ("nan", "reference"))
    VERBOSE.check(verbose, "verbose")
    reference = _check_reference(images, target, reference)
    if reference is None and fallback == "reference":
        raise ValueError("fallback='reference' needs a target or a reference.")
    match_boxes([], [], min_overlap=min_overlap)  # complains before the work, not after
    photos = images.by_image()
    detections = _detect(images, photos, detector, prefer, n_jobs, verbose)
    rows, n_detections, n_extra = _assign(photos, detections, reference, min_overlap)
    boxes, scores = rows[:, :4], rows[:, 4]
    hits = ~np.isnan(boxes[:, 0])
    overlaps, relation = np.full(len(images), np.nan), None
    if reference is not None and hits.any():
        pairs = zip(boxes[hits], reference[hits], strict=True)
        overlaps[hits] = [box_overlaps([box], [other])[0, 0] for box, other in pairs]
        relation = box_relation(boxes[hits], reference[hits])
    found = DetectedBoxes(
        boxes=_filled(boxes, hits, reference, relation) if fallback == "reference" else boxes,
        scores=scores,
        overlaps=overlaps,
        hits=hits,
        missed=np.flatnonzero(~hits),
        n_detections=n_detections,
        n_extra=n_extra,
        box_relation=relation,
    )
    found.data = images.with_boxes(found.boxes)
    found.report = _report(images, found, len(photos), fallback)
    return found


def detect_all(
    images: ImagesLike,
    detector: Detector | None = None,
    *,
    prefer: Preference = "largest",
    n_jobs: int | None = None,
    verbose: int = False,
) -> Detections:
    """Every object that a detector finds, a sample each: for photos of several faces.

    Parameters
    ----------
    images : array, sequence, DataFrame or BoxedImages of shape (n,)
        A photo that comes several times is searched once, and counts where it comes first.
    detector, n_jobs, verbose
        See :func:`detect_boxes`.
    prefer : {"largest", "score"}, default="largest"
        Which detections of a photo come first.

    Returns
    -------
    found : Bunch
        With the attributes

        data : BoxedImages of shape (m,)
            A sample for each detection, with its box, photo by photo.
        source : ndarray of int of shape (m,)
            Position of its photo in `images`.
        scores : ndarray of shape (m,)
            NaN where the detector gives none.
        missed : ndarray of int
            Positions in `images` where nothing was found.
        report : str

    Raises
    ------
    TypeError, ValueError, RuntimeError, FileNotFoundError
        As :func:`detect_boxes`.

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
    photos = images.by_image()
    detections = _detect(images, photos, detector, prefer, n_jobs, verbose)
    first = np.array([samples[0] for samples in photos], dtype=np.int64)
    source = np.repeat(first, np.array([len(rows) for rows in detections], dtype=np.int64))
    rows = np.concatenate([np.empty((0, 5)), *detections])
    empty = [samples for samples, rows in zip(photos, detections, strict=True) if not len(rows)]
    missed = np.sort(np.concatenate([np.empty(0, np.int64), *empty]))
    report = f"{len(rows)} detections in {len(photos)} photos, none in {len(empty)} of them."
    return Detections(
        data=images[source].with_boxes(rows[:, :4]),
        source=source,
        scores=rows[:, 4],
        missed=missed,
        report="\n".join([report, *_names(images, missed)]),
    )


def _check_detector(detector: Detector | None) -> Detector:
    if detector is None:
        return SkimageCascade()
    if not callable(detector):
        raise TypeError(
            "detector must be callable: a function of an RGB image that returns boxes (x, y, "
            f"width, height), or SkimageCascade or YuNet; got {detector!r:.60}."
        )
    return detector


def _check_reference(
    images: BoxedImages, target: ArrayLike | None, reference: ArrayLike | None
) -> Floats | None:
    """Boxes of the known objects, or None."""
    if target is not None and reference is not None:
        raise ValueError("give a target or a reference, not both.")
    if reference is not None:
        return check_boxes(reference, len(images), images.describe)
    if target is None:
        return None
    points = as_points(target, name="target")
    if len(points) != len(images):
        raise ValueError(f"target has {len(points)} samples, images has {len(images)}.")
    return boxes_of(points)


def _detect(
    images: BoxedImages,
    photos: list[Ints],
    detector: Detector,
    prefer: Preference,
    n_jobs: int | None,
    verbose: int,
) -> list[Floats]:
    """Detections of each photo, (k, 5), the preferred ones first."""
    first = [int(samples[0]) for samples in photos]
    chunks = [first[i : i + _CHUNK] for i in range(0, len(first), _CHUNK)]
    work = Parallel(n_jobs=n_jobs, return_as="generator")
    results = work(delayed(_detect_in)(images[chunk], detector, prefer) for chunk in chunks)
    detections = []
    with tqdm(total=len(first), unit="photo", disable=not verbose) as bar:
        for result in results:
            detections += result
            bar.update(len(result))
    return detections


def _detect_in(images: BoxedImages, detector: Detector, prefer: Preference) -> list[Floats]:
    """Detections of each sample of a few."""
    detections = []
    for i in range(len(images)):
        image = images.decode(i)
        # A detector may draw into what it gets, which can be the user's own array.
        image = image if image.flags.owndata else image.copy()
        height_width = image.shape[:2]
        try:
            found = detector(image)
        except Exception as error:
            raise RuntimeError(
                f"{images.describe(i)}: the detector failed: {type(error).__name__}: {error}"
            ) from error
        rows = _check_detections(found, height_width, images.describe(i))
        detections.append(_sorted(rows, prefer, images.describe(i)))
    return detections


def _check_detections(
    found: ArrayLike | None, image_shape: tuple[int, ...], describe: str
) -> Floats:
    """Array (k, 5) of boxes and scores, NaN for no score, from what a detector returned."""
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
            "x, y, width, height, the latter two above 0, and perhaps a finite score."
        )
    for row in rows:
        check_box_inside(row[:4], image_shape, f"{describe}, as the detector returned it")
    if rows.shape[1] == 4:
        rows = np.concatenate([rows, np.full((len(rows), 1), np.nan)], axis=1)
    return rows


def _sorted(rows: Floats, prefer: Preference, describe: str) -> Floats:
    """The preferred detection first; the order they came in makes no difference."""
    if prefer == "score" and np.isnan(rows[:, 4]).any():
        raise ValueError(
            f"{describe}: the detector gave boxes without scores, which prefer='score' needs; "
            "use prefer='largest'."
        )
    area = np.log(rows[:, 2]) + np.log(rows[:, 3])
    score = np.nan_to_num(rows[:, 4])
    keys = [-area, -score] if prefer == "largest" else [-score, -area]
    return rows[np.lexsort([*rows[:, :4].T, *reversed(keys)])]


def _assign(
    photos: list[Ints], detections: list[Floats], reference: Floats | None, min_overlap: float
) -> tuple[Floats, Ints, int]:
    """Box and score of each sample, (n, 5), and the numbers of detections."""
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
    """Row of `detections` for each sample of a photo, -1 for none."""
    if reference is None:
        return np.full(len(samples), 0 if len(detections) else -1)
    return match_boxes(detections[:, :4], reference[samples], min_overlap=min_overlap)[0]


def _filled(boxes: Floats, hits: Flags, reference: Any, relation: Any) -> Floats:
    """Boxes with those of the missed samples made of their reference."""
    if hits.all():
        return boxes
    if relation is None:
        raise ValueError(
            "the detector found none of the objects, so that nothing says how its boxes lie to "
            "the reference; fallback='reference' is of no use here."
        )
    made = adjust_boxes(reference, **{**relation, "jitter": 0.0})
    return np.where(hits[:, None], boxes, made)


def _names(images: BoxedImages, missed: Ints) -> list[str]:
    """Lines that name the samples that were missed, the first of them."""
    if not len(missed):
        return []
    more = f" and {len(missed) - _NAMED} more" if len(missed) > _NAMED else ""
    return [f"Missed: {', '.join(images.describe(i) for i in missed[:_NAMED])}{more}."]


def _report(images: BoxedImages, found: Any, n_photos: int, fallback: Fallback) -> str:
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
            f"Overlap with the reference: median {np.median(overlaps):.2f}, least "
            f"{overlaps.min():.2f}.",
            f"Boxes are {1 + 2 * margin:.2f} times as large as the reference, give or take "
            f"{100 * jitter_scale:.0f} %, and their middles {shift[0]:+.2f} to the right and "
            f"{shift[1]:+.2f} down, by its longer side, give or take {jitter_shift:.2f}.",
        ]
    if len(found.missed):
        gets = "no box (NaN)" if fallback == "nan" else "a box made of its reference"
        lines.append(f"Each of the {len(found.missed)} missed gets {gets}.")
    return "\n".join(lines + _names(images, found.missed))
