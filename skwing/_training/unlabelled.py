"""Images without landmarks: training continues on them with the landmarks that were predicted."""

import os
from types import SimpleNamespace

import numpy as np

from skwing._training.agreement import check_same
from skwing._training.automatic import networks_of_model
from skwing._training.checkpoint import ENDING
from skwing._training.samples import Samples, drop_unboxed
from skwing._utils import ranks
from skwing._utils.warnings import warn_of_data
from skwing.images import as_boxed_images, concatenate
from skwing.images._identity import images_digest

_LABELLED = 1 / 3  # draws of labelled samples, relative to those of the others


def check_unlabelled(X_unlabelled, samples, schema, *, holds_out):
    """Validate images without landmarks before training.

    Parameters
    ----------
    X_unlabelled : images, as X in `fit`, or None
    samples : Samples
        The labelled ones.
    schema : LandmarkSchema or None
        That of the training, by the parameters of the regressor or the data.
    holds_out : bool
        Whether validation samples are chosen at random.

    Returns
    -------
    data : BoxedImages or None
        Without samples that have no box.

    Raises
    ------
    FileNotFoundError, ValueError, TypeError
        If a file is missing, there are no images, they have boxes and the labelled ones have
        none or vice versa, landmarks are defined otherwise, or labelled samples would be held
        out at random.
    """
    if X_unlabelled is None:
        return None
    data = as_boxed_images(X_unlabelled)
    if len(data) == 0:
        raise ValueError("X_unlabelled has 0 samples: at least one image is needed")
    if holds_out:
        raise ValueError(
            "early_stopping with X_unlabelled requires X_val and y_val: validation samples that "
            "are chosen at random would include predicted landmarks"
        )
    if data.has_boxes != samples.data.has_boxes:
        boxed, other = ("X_unlabelled", "X") if data.has_boxes else ("X", "X_unlabelled")
        raise ValueError(f"{boxed} has boxes, but {other} has none: expected both or neither")
    if data.schema not in (None, schema, samples.data.schema):
        raise ValueError(
            f"X_unlabelled has the schema {data.schema.name!r}, expected that of X, or none: "
            "X_unlabelled.with_schema(None) leaves it out"
        )
    data = data.with_schema(samples.data.schema)
    data = drop_unboxed(Samples(data, np.empty((len(data), 0, 2))), "X_unlabelled").data
    for i, path in enumerate([] if data.paths is None else data.paths):
        if not os.path.exists(path):
            raise FileNotFoundError(f"X_unlabelled: {data.describe(i)}: no such file")
    return data


def check_same_unlabelled(data):
    """Check that the images of :func:`check_unlabelled` are the same in all processes."""
    if ranks.n_processes() > 1:
        digest = None if data is None else images_digest(data)
        check_same({"images of X_unlabelled": ["", digest]})


def with_predicted(regressor, labelled, unlabelled):
    """Samples with labels, and others with landmarks that a regressor predicts.

    Returns
    -------
    samples : Samples
        The labelled ones are repeated so that they are about a quarter of all draws, or more if
        there are few others.
    max_epochs : tuple of int
        Number of epochs of each stage, with as many draws in all as in the previous training.
    """
    # A damaged file must not cost the training before.
    points = ranks.from_first(lambda: regressor._locate(unlabelled, on_error="skip").points[-1])
    found = ~np.isnan(points).any((1, 2))
    if not found.all():
        warn_of_data(
            f"no landmarks are found in {(~found).sum()} of {len(found)} samples of X_unlabelled, "
            f"the first is {unlabelled.describe(int((~found).argmax()))}: they are ignored"
        )
    n_labelled = int(labelled.repeats.sum())
    factor = max(1, round(_LABELLED * found.sum() / n_labelled))
    data = labelled.data.with_repeats(labelled.repeats * factor)
    data = concatenate([data, unlabelled[found].with_repeats(None)])
    weights = None
    if labelled.weights is not None:
        weights = np.r_[labelled.weights, np.full(found.sum(), labelled.weights.mean())]
    # An epoch has as many draws as there are samples.
    shorter = len(labelled) / len(data)
    max_epochs = tuple(max(1, round(n * shorter)) for n in regressor.n_iter_)
    return Samples(data, np.concatenate([labelled.points, points[found]]), weights), max_epochs


def further_parameters(regressor, max_epochs):
    """Parameters of the second training that differ from those of the first."""
    changed = {
        "start": SimpleNamespace(**vars(regressor)),
        "max_epochs": max_epochs,
        # "auto" could be another number of stages with the other images.
        "networks": networks_of_model(regressor.networks, regressor),
        "warm_start": False,
    }
    if regressor.checkpoint is not None:
        path = os.fsdecode(regressor.checkpoint)
        if path.endswith(ENDING):  # the file holds the first training
            changed["checkpoint"] = f"{path.removesuffix(ENDING)}-unlabelled{ENDING}"
    return changed
