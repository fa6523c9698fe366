"""Samples to predict, and detected faces."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from skwing._cli.formats import FORMATS, find_format, find_images, read_landmarks
from skwing._cli.further import Further
from skwing._cli.names import order_by_name
from skwing._cli.words import count, named, say
from skwing._utils.unwrap import predictor_of
from skwing.datasets._paths import IMAGE_SUFFIXES
from skwing.detection import SkimageCascade, YuNet, detect_all, detect_boxes
from skwing.images import BoxedImages
from skwing.images._decode import VIDEO_SUFFIXES

_ANNOTATION_SUFFIXES = frozenset(form.suffix for form in FORMATS.values() if form.suffix)
_UNSURE = 0.5  # confidence below which predictions are named
_LEAST_INSIDE = 0.5  # fraction of the landmarks of a sample inside its face


@dataclass(frozen=True)
class Samples:
    """Samples to predict.

    Attributes
    ----------
    data : BoxedImages
    further : Further
        Content of their annotation file.
    noun : str, default="samples"
        What the samples are: "faces" if they were detected.
    unreadable : ndarray of int
        Samples whose images cannot be read, as far as they were searched.
    known : ndarray of shape (n_samples, n_landmarks, 2) or None
        Landmarks of the annotation file.
    """

    data: BoxedImages
    further: Further
    noun: str = "samples"
    unreadable: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    known: np.ndarray | None = None


def images_to_read(args):
    """Samples to predict, of images or of an annotation file."""
    for path in map(Path, args.images):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            raise ValueError(f"{path} is a video: `skwing track` follows faces through videos")
        if len(args.images) > 1 and path.is_file() and path.suffix.lower() in _ANNOTATION_SUFFIXES:
            raise ValueError(f"{path} is an annotation file: pass it as the only one of IMAGES")
    first = Path(args.images[0])
    is_file = first.is_file() and first.suffix.lower() not in IMAGE_SUFFIXES
    if len(args.images) == 1 and (args.format or is_file):
        dataset = read_landmarks(first, args.format, category=args.category)
        further = find_format(first, args.format).further(dataset)
        return Samples(dataset.data, further, known=dataset.target)
    return Samples(BoxedImages(find_images(args.images)), Further())


def landmarks_to_keep(samples, model, args):
    """Landmarks of the annotation file in the order of the model, NaN for samples to predict.

    None with ``--all-faces``, which makes other samples.

    Raises
    ------
    ValueError
        If ``--keep`` is for images without an annotation file, or for other landmarks.
    """
    if args.all_faces:
        return None
    n_landmarks = predictor_of(model).n_landmarks_
    nothing = np.full((len(samples.data), n_landmarks, 2), np.nan)
    if samples.known is None or not samples.known.shape[1]:
        if args.keep and samples.known is None:
            raise ValueError("--keep requires an annotation file as IMAGES")
        return nothing
    n_known = int((~np.isnan(samples.known).any(axis=2).all(axis=1)).sum())
    if not args.keep:
        if 0 < n_known < len(samples.data):
            say(
                f"{n_known} of {count(len(samples.data), 'samples')} have landmarks in the file: "
                "they are predicted too (--keep keeps those of the file)"
            )
        return nothing
    dataset = SimpleNamespace(data=samples.data, target=samples.known)
    order = order_by_name(model, dataset, args.images[0])
    return samples.known if order is None else samples.known[:, order]


def needs_detector(samples, model, args):
    """Whether faces must be detected.

    Raises
    ------
    ValueError
        If ``--all-faces`` or ``--yunet`` contradicts other options or the boxes of the file.
    """
    has_boxes = samples.data.has_boxes
    option = "--all-faces" if args.all_faces else "--yunet" if args.yunet else None
    if option is not None and (args.whole or has_boxes):
        other = "--whole" if args.whole else "the file, which has boxes"
        raise ValueError(f"{option} detects faces, which contradicts {other}")
    return not (args.whole or has_boxes) and bool(_was_boxed(model) or args.yunet or args.all_faces)


def with_boxes(samples, model, args):
    """Samples with their own boxes, detected boxes, or none, as the model requires."""
    if not needs_detector(samples, model, args):
        return replace(samples, data=samples.data.with_boxes(None)) if args.whole else samples
    detector = detector_of(args)
    why = ": the model was trained with boxes" if _was_boxed(model) else ""
    say(f"detecting faces with {type(detector).__name__}{why}")
    options = {
        "verbose": not args.quiet,
        "on_error": "skip" if args.skip_unreadable else "raise",
    }
    return (_all_faces if args.all_faces else _largest_faces)(samples, detector, options)


def detector_of(args):
    """Face detector that the arguments ask for."""
    return YuNet(args.yunet) if args.yunet else SkimageCascade()


def _was_boxed(model):
    return getattr(predictor_of(model), "box_relation_", None) is not None


def _largest_faces(samples, detector, options):
    data = samples.data
    found = detect_boxes(data, detector, **options)
    several = _n_photographs(data, found.n_detections > 1)
    if several:
        say(
            f"largest of several faces used in {count(several, 'photographs')} "
            "(--all-faces locates all)"
        )
    data = data.with_boxes(found.boxes)
    return replace(samples, data=data, noun="faces", unreadable=found.unreadable)


def _all_faces(samples, detector, options):
    """A sample for each face; photographs without a face keep one sample, without a box."""
    found = detect_all(samples.data, detector, **options)
    rows = np.concatenate([found.source, found.missed])
    boxes = np.concatenate([found.data.boxes, np.full((len(found.missed), 4), np.nan)])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    data = samples.data[rows].with_boxes(boxes[order])
    unreadable = np.flatnonzero(np.isin(rows, found.unreadable))
    return Samples(data, samples.further.take(rows), "faces", unreadable)


def detect_matching(data, target, path, args):
    """Images with a detected face for each sample, and the mask of the samples that have one.

    Raises
    ------
    ValueError
        If the file has boxes, or no face matches any sample.
    """
    if data.has_boxes:
        raise ValueError(f"--detect detects faces, but {path} has boxes")
    detector = detector_of(args)
    say(f"detecting faces with {type(detector).__name__}")
    found = detect_all(data, detector, verbose=not args.quiet)
    boxes = np.full((len(data), 4), np.nan)
    for samples in data.by_image():
        faces = found.data.boxes[found.source == samples[0]]
        boxes[samples] = _faces_around(target[samples], faces)
    missed = np.isnan(boxes[:, 0])
    if missed.all():
        raise ValueError(f"no face was found that contains the landmarks of any sample of {path}")
    if missed.any():
        out = "is left out" if missed.sum() == 1 else "are left out"
        say(
            f"no face found for {missed.sum()} of {count(len(data), 'samples')}: "
            f"{names_of(data, missed)} ({out})"
        )
    return data.with_boxes(boxes), ~missed


def _faces_around(points, faces):
    """Box of the face with the most landmarks of each sample inside, NaN if they are few.

    Overlaps with the box around the landmarks would not do: these may be a few near each other.
    """
    boxes = np.full((len(points), 4), np.nan)
    low = faces[:, None, :2].copy()
    high = low + faces[:, None, 2:]
    for box, own in zip(boxes, points, strict=True):
        known = own[~np.isnan(own).any(axis=1)]
        inside = ((known >= low) & (known < high)).all(axis=2).mean(axis=1)
        # Faces are sorted by size, so the largest one is chosen of those with equal fractions.
        if len(faces) and inside.max() >= _LEAST_INSIDE:
            box[:] = faces[inside.argmax()]
            low[inside.argmax()], high[inside.argmax()] = np.nan, np.nan  # for one sample only
    return boxes


def tell_missing(samples):
    """Name the samples without a box, which are not predicted; unreadable ones were named."""
    data, noun = samples.data, samples.noun
    missing = data.missing_boxes
    missing[samples.unreadable] = False
    if not missing.any():
        return
    if noun == "faces":
        what, unit = "no face found", "images"
        n_missing, n_all = _n_photographs(data, missing), len(data.by_image())
    else:
        what, n_missing, n_all, unit = "no box", missing.sum(), len(data), "samples"
    empty = "its row is empty" if n_missing == 1 else "their rows are empty"
    say(f"{what} in {n_missing} of {count(n_all, unit)}: {names_of(data, missing)} ({empty})")


def tell_unsure(samples, confidence):
    """Name the samples whose landmarks are probably wrong; `confidence` is NaN if unknown."""
    unsure = confidence < _UNSURE
    if unsure.any():
        say(
            f"the landmarks of {unsure.sum()} of {count(len(unsure), samples.noun)} are probably "
            f"wrong (confidence below {_UNSURE:.0%}): {names_of(samples.data, unsure)}"
        )


def count_found(samples, points):
    """Numbers of the located objects and their images, in words."""
    data, noun = samples.data, samples.noun
    found = ~np.isnan(points).all(axis=(1, 2))
    n_images = _n_photographs(data, found)
    if noun == "samples" and n_images == found.sum():
        return count(n_images, "images")
    return f"{count(found.sum(), noun)} in {count(n_images, 'images')}"


def _n_photographs(data, mask):
    return sum(bool(mask[rows].any()) for rows in data.by_image())


def names_of(data, mask):
    """Names of the images of some samples, or numbers of samples that are not in files."""
    rows = np.flatnonzero(mask)
    return named([f"sample {i}" for i in rows] if data.paths is None else data.paths[rows])
