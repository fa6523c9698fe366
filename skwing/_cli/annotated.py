"""Annotated samples: what `train`, `evaluate`, `plot` and `export` read."""

from dataclasses import dataclass, replace

import numpy as np

from skwing._cli.formats import read_landmarks
from skwing._cli.names import order_by_name
from skwing._cli.pictures import draw_landmarks
from skwing._cli.samples import detect_matching, names_of
from skwing._cli.words import count, say
from skwing._utils.unwrap import predictor_of
from skwing.datasets._dataset import Dataset
from skwing.images import BoxedImages


@dataclass(frozen=True)
class Annotated:
    """Samples of an annotation file with landmarks and, if there are boxes, with a box.

    Attributes
    ----------
    dataset : Dataset
        All samples of the file.
    rows : ndarray of int of shape (n,)
        Indices of the samples in it.
    data : BoxedImages of shape (n,)
    target : ndarray of shape (n, n_landmarks, 2)
    """

    dataset: Dataset
    rows: np.ndarray
    data: BoxedImages
    target: np.ndarray

    def __getitem__(self, rows):
        own = {"rows": self.rows[rows], "data": self.data[rows], "target": self.target[rows]}
        return replace(self, **own)

    def with_detected(self, args):
        """Samples with a detected face around their landmarks, if ``--detect`` is passed."""
        if not args.detect:
            return self
        data, hits = detect_matching(self.data, self.target, args.data, args)
        return replace(self, data=data)[hits]


def read_data(args, path):
    """Data set of an annotation file by the options of a command."""
    return read_landmarks(path, args.format, args.images, args.schema, args.category)


def read_annotated(args, path, purpose, model=None):
    """Samples with landmarks of an annotation file, in the order of those of a model.

    Raises
    ------
    ValueError
        If there are none; the message contains the file and the purpose. Also if the file has
        other landmarks than the model.
    """
    dataset = read_data(args, path)
    rows = _digitised(dataset, path, purpose)
    dataset = _as_the_model(dataset, model, path)
    return Annotated(dataset, rows, dataset.data[rows], dataset.target[rows])


def draw_worst(path, samples, points, errors, **options):
    """Draw samples with predictions, those of the largest errors first."""
    everything = samples.dataset
    # All samples are passed, so that numbers in the picture are rows of the file.
    predicted = np.full_like(everything.target, np.nan)
    predicted[samples.rows] = points
    rows = samples.rows[np.argsort(-errors, kind="stable")]
    draw_landmarks(path, everything.data, everything.target, predicted, rows=rows, **options)


def _digitised(dataset, path, purpose):
    """Indices of the samples with landmarks and, if there are boxes, with a box."""
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
                f"{names_of(data, lost)}"
            )
    rows = np.flatnonzero(has_landmarks & ~data.missing_boxes)
    if not len(rows):
        raise ValueError(f"{path} has no boxes for the samples with landmarks: {purpose}")
    return rows


def _as_the_model(dataset, model, path):
    """Data set with its landmarks in the order of the model, if both have the same names."""
    order = None if model is None else order_by_name(model, dataset, path)
    if order is None:
        return dataset
    say(f"the landmarks of {path} are in another order than those of the model: matched by name")
    data, schema = dataset.data, predictor_of(model).schema_
    boxes = data.boxes if data.has_boxes else None
    matched = {
        "data": BoxedImages(data.paths, boxes=boxes, schema=schema),
        "target": dataset.target[:, order],
    }
    return Dataset(**{**dataset, **matched})
