"""Samples of the commands: images to predict, detected faces, and samples with landmarks."""

from pathlib import Path

import numpy as np

from skwing._cli.formats import IMAGE_SUFFIXES, find_images, read_landmarks
from skwing._cli.words import count, named, say
from skwing._utils.unwrap import predictor_of
from skwing.detection import SkimageCascade, YuNet, detect_all, detect_boxes
from skwing.images import BoxedImages

__all__ = ["count_found", "digitised", "images_to_read", "tell_missing", "with_boxes"]


def images_to_read(args):
    """Images to predict, and their data set if they are read from an annotation file, else {}."""
    first = Path(args.images[0])
    is_file = first.is_file() and first.suffix.lower() not in IMAGE_SUFFIXES
    if len(args.images) == 1 and (args.format or is_file):
        dataset = read_landmarks(first, args.format)
        return dataset.data, dataset
    return BoxedImages(find_images(args.images)), {}


def with_boxes(data, source, model, args):
    """Images with their own boxes, detected boxes, or none, as the model requires.

    Returns
    -------
    data : BoxedImages
    source : dict
        Names and scales of the samples.
    noun : str
        What the samples are: "faces" if they were detected.
    """
    if args.all_faces and (args.whole or data.has_boxes):
        other = "--whole" if args.whole else "the file, which has boxes"
        raise ValueError(f"--all-faces detects faces, which contradicts {other}")
    if args.whole:
        return data.with_boxes(None), source, "samples"
    was_boxed = getattr(predictor_of(model), "box_relation_", None) is not None
    if data.has_boxes or not (was_boxed or args.yunet or args.all_faces):
        return data, source, "samples"
    detector = YuNet(args.yunet) if args.yunet else SkimageCascade()
    why = ": the model was trained with boxes" if was_boxed else ""
    say(f"detecting faces with {type(detector).__name__}{why}")
    detect = _all_faces if args.all_faces else _largest_faces
    return *detect(data, source, detector, verbose=not args.quiet), "faces"


def _largest_faces(data, source, detector, verbose):
    found = detect_boxes(data, detector, verbose=verbose)
    several = _n_photographs(data, found.n_detections > 1)
    if several:
        say(
            f"largest of several faces used in {count(several, 'photographs')} "
            "(--all-faces locates all)"
        )
    return data.with_boxes(found.boxes), source


def _all_faces(data, source, detector, verbose):
    """A sample for each face; photographs without a face keep one sample, without a box."""
    found = detect_all(data, detector, verbose=verbose)
    rows = np.concatenate([found.source, found.missed])
    boxes = np.concatenate([found.data.boxes, np.full((len(found.missed), 4), np.nan)])
    order = np.argsort(rows, kind="stable")
    rows = rows[order]
    source = {key: source[key][rows] for key in ("names", "scale") if key in source}
    return data[rows].with_boxes(boxes[order]), source


def tell_missing(data, noun):
    """Name the samples without a box, which are not predicted."""
    missing = data.missing_boxes
    if not missing.any():
        return
    if noun == "faces":
        what, unit = "no face found", "images"
        n_missing, n_all = _n_photographs(data, missing), len(data.by_image())
    else:
        what, n_missing, n_all, unit = "no box", missing.sum(), len(data), "samples"
    empty = "its row is empty" if n_missing == 1 else "their rows are empty"
    say(f"{what} in {n_missing} of {count(n_all, unit)}: {_names(data, missing)} ({empty})")


def count_found(data, points, noun):
    """Numbers of the located objects and their images, in words."""
    found = ~np.isnan(points).all(axis=(1, 2))
    n_images = _n_photographs(data, found)
    if noun == "samples" and n_images == found.sum():
        return count(n_images, "images")
    return f"{count(found.sum(), noun)} in {count(n_images, 'images')}"


def digitised(dataset, path, purpose):
    """Indices of the samples with landmarks and, if there are boxes, with a box.

    Raises
    ------
    ValueError
        If there are none; the message contains the file and the purpose.
    """
    data, has_landmarks = dataset.data, ~np.isnan(dataset.target).any(-1).all(-1)
    if not has_landmarks.any():
        kind = "digitised specimens" if "scale" in dataset else "samples with landmarks"
        raise ValueError(f"{path} has no {kind}: {purpose} (use predict)")
    for lost, what in ((~has_landmarks, "landmarks"), (has_landmarks & data.missing_boxes, "box")):
        if lost.any():
            have = "has" if lost.sum() == 1 else "have"
            out = "is left out" if lost.sum() == 1 else "are left out"
            say(
                f"{lost.sum()} of {count(len(data), 'samples')} {have} no {what} and {out}: "
                f"{_names(data, lost)}"
            )
    rows = np.flatnonzero(has_landmarks & ~data.missing_boxes)
    if not len(rows):
        raise ValueError(f"{path} has no boxes for the samples with landmarks: {purpose}")
    return rows


def _n_photographs(data, mask):
    return sum(bool(mask[rows].any()) for rows in data.by_image())


def _names(data, mask):
    """Names of the images of some samples, or numbers of samples that are not in files."""
    rows = np.flatnonzero(mask)
    return named([f"sample {i}" for i in rows] if data.paths is None else data.paths[rows])
