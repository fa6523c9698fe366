"""Training of a cascade, stage after stage, on chips."""

import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import torch

from skwing import _engine, geometry
from skwing._asymmetry import Sided
from skwing._chips import ChipFrame, cut_chips
from skwing._confidence import spread_in_crops
from skwing._divergence import check_predictions
from skwing._graphs import can_record
from skwing._landmarks import numbered
from skwing._settings import check_mixed
from skwing._stages import (
    Crop,
    Truth,
    crop_variants,
    endless_draws,
    locate_in_stages,
    training_batches,
)
from skwing._threads import made_ahead
from skwing._warnings import warn_caller, warn_of_data
from skwing.losses import LOSSES
from skwing.shapes import mean_shape, symmetric

_FLAT = 0.1  # as wide as that, for its length, a shape is no line
_CHIP_MARGIN = 0.5  # least room around the box for turned, shifted and corrected crops
_REACH = 1.5  # side of a chip at the least, in sides of the widest crop
_MOST_BYTES = 2e9  # of chips that are cut finer than their boxes ask for
# In a side of the input: at the usual rate, a hundred steps then learn a hundredth of it.
_ASYMMETRY_UNITS = 16
_CROPS_A_PASS = {"cpu": 64}  # more would leave the caches
_CROPS_A_PASS_ELSEWHERE = 512  # fills a GPU, whose memory it hardly touches


def chip_frame(sizes, margins):
    """Frame of the chips that serves all stages: as fine as the finest of their crops.

    Parameters
    ----------
    sizes : list of int
        Side of each stage's input in pixels.
    margins : list of float
        What each stage's crop shows around the box, as a fraction of its side.
    """
    finest = max(size / (1 + 2 * margin) for size, margin in zip(sizes, margins, strict=True))
    side = max(1 + 2 * _CHIP_MARGIN, _REACH * (1 + 2 * max(margins)))
    return ChipFrame(8 * math.ceil(finest * side / 8), (side - 1) / 2)


def finer_frame(chips, points, sizes, margins):
    """Frame that serves later stages where shapes are small in their boxes.

    A later stage magnifies a shape to the size of its crop, and needs the pixels for that:
    chips are doubled in side until they have half of them, or all that the images have, or
    would take too much memory.

    Parameters
    ----------
    chips : Chips
    points : array of shape (n, L, 2)
        Landmarks in chip pixels, NaN = missing.
    sizes, margins : list
        As in :func:`chip_frame`.

    Returns
    -------
    frame : ChipFrame
        The chips' own where that is fine enough.
    """
    wanted = [size / (1 + 2 * margin) for size, margin in zip(sizes, margins, strict=True)][1:]
    extents = geometry.boxes_of(points)[:, 2:].max(-1)
    extents = extents[extents > 1]  # of one landmark: a pixel
    if not wanted or not len(extents):
        return chips.frame
    magnified = max(wanted) / np.median(extents)
    there = 1 / np.median(geometry.scale_of(chips.matrices))
    room = math.sqrt(_MOST_BYTES / chips.pixels.nbytes)
    doublings = max(0, math.floor(math.log2(min(magnified, there, room))))
    return replace(chips.frame, size=chips.frame.size * 2**doublings)


def cut_to_learn_on(samples, sizes, margins, device):
    """Chips of samples, fine enough for every stage."""
    chips = cut_chips(samples.data, chip_frame(sizes, margins), device, check_sizes=True)
    frame = finer_frame(chips, chips.to_chip(samples.points), sizes, margins)
    return chips if frame == chips.frame else cut_chips(samples.data, frame, device)


def can_mirror(schema):
    """Whether it is known how the landmarks of a mirrored shape are named."""
    return schema is not None and schema.mirror is not None


def mirror_permutation(schema, device):
    """Permutation that renames the landmarks of a mirrored shape, or None."""
    return torch.as_tensor(schema.mirror, device=device) if can_mirror(schema) else None


def upright_shape(points, n_stages, schema):
    """Mean shape that later stages bring faces onto; a single landmark has none.

    It is made symmetric where the schema tells how, unless that makes a line of it.
    """
    if points.shape[1] == 1:
        if n_stages == 1:
            return np.zeros((1, 2))
        raise ValueError(
            f"y has 1 landmark, but a cascade of {n_stages} networks brings each face onto the "
            "mean shape, which takes two: pass a single network"
        )
    shape = mean_shape(points)
    lonely = np.flatnonzero(np.isnan(shape).any(-1)).tolist()
    if lonely and n_stages > 1:
        raise ValueError(
            f"{numbered(lonely)} are known only in samples without a second landmark: their "
            "place in the mean shape can not be learned"
        )
    if not can_mirror(schema):
        return shape
    even = symmetric(shape, schema.mirror)
    return shape if _collapses(shape, even) else even


def _collapses(shape, even):
    """Whether a shape that is made symmetric is no longer the shape of the same object.

    An object seen from the side has no axis that its landmarks lie on or on both sides of:
    the mean of its shape and the mirror image of that is a line, or nearly one.
    """
    across, along = _principal_extents(shape)
    return across > _FLAT * along and _principal_extents(even)[0] < across / 3


def _principal_extents(shape):
    """Standard deviations of the points of a shape, across and along its longer axis."""
    return np.sqrt(np.linalg.eigvalsh(np.cov(shape[~np.isnan(shape).any(-1)].T, ddof=0)).clip(0))


def is_symmetric(shape, schema):
    """Whether a mean shape is its own mirror image, so that mirrored crops lie as others do."""
    if not can_mirror(schema):
        return False
    image = shape[list(schema.mirror)] * [-1, 1]
    return np.allclose(image, shape, atol=1e-6, equal_nan=True)


def mirrored_as_known(settings, shape, schema):
    """Settings of stages without mirrored crops where it is not known what they show.

    A first stage mirrors crops of the box, which takes a schema that says how landmarks are
    renamed. Later stages bring landmarks onto the mean shape: a mirrored crop is one that
    they meet in predict only where that shape is its own mirror image.

    Parameters
    ----------
    settings : list of StageSettings
    shape : array of shape (L, 2)
        The mean shape.
    schema : LandmarkSchema or None

    Returns
    -------
    settings : list of StageSettings
    """
    known = [can_mirror(schema)] + [is_symmetric(shape, schema)] * (len(settings) - 1)
    wanted = [own.augmentation.mirror > 0 for own in settings]
    if known[0] and any(wants and not knows for wants, knows in zip(wanted, known, strict=True)):
        warn_of_data(
            f"the mirror image that schema {schema.name!r} describes is no shape like those of "
            "y, as of an object seen from the side: only the first stage learns on mirrored "
            "crops. mirror=None in the schema mirrors nothing, mirror=(0.5, 0) in the regressor "
            "does the same as now without this warning"
        )
    return [
        own if knows else replace(own, augmentation=replace(own.augmentation, mirror=0.0))
        for own, knows in zip(settings, known, strict=True)
    ]


def make_truth(chips, samples, schema):
    """What training knows of its samples, in chip pixels on the device of the chips."""
    device = chips.device
    points = torch.as_tensor(chips.to_chip(samples.points), dtype=torch.float32, device=device)
    permutation = mirror_permutation(schema, device)
    weights = None if samples.weights is None else torch.tensor(samples.weights, device=device)
    return Truth(points, permutation, weights)


def make_crops(sizes, margins, frame, mean_shape, mean_points):
    """Crop of each stage: the box first, then the face brought onto the mean shape."""
    crops = [Crop.of_box(sizes[0], margins[0], frame)]
    for size, margin in zip(sizes[1:], margins[1:], strict=True):
        crops.append(Crop.of_shape(size, margin, mean_shape, mean_points))
    return crops


def train_last(stages, chips, truth, repeats, settings, loss, *, seed, validate, report):
    """Train the last stage of a cascade on what the others, trained already, let it see.

    Parameters
    ----------
    stages : list of Stage
        The last one's network is changed in place and left in evaluation mode; its
        asymmetry is learned as well, from the one that it has.
    chips : Chips
    truth : Truth
    repeats : int array of shape (n,)
    settings : StageSettings
        Of the last stage.
    loss : callable
        Residuals in input pixels in, values of the same shape out.
    seed : int
    validate : callable or None
        Takes no argument, gives the error of the stages on data held out.
    report : callable
        Takes a row of history; True stops the training.

    Returns
    -------
    rows : list of dict
        A row an epoch, see :func:`skwing._engine.train`.

    Raises
    ------
    Diverged
        With the weights of the best epoch in the network.
    """
    stage, size = stages[-1], settings.batch_size
    generator = torch.Generator().manual_seed(seed)
    variants = crop_variants(stages, chips, truth, settings.refine_on, generator)
    # A copy, as views of the data forbid writing and torch warns of such arrays.
    draws = endless_draws(torch.tensor(repeats), size, generator)
    mirrors = stage.augmentation.mirror > 0
    unit = stage.crop.size / _ASYMMETRY_UNITS
    sided = Sided(stage.network, stage.asymmetry, truth.permutation if mirrors else None, unit)

    def validate_now():
        stage.asymmetry = sided.asymmetry
        return validate()

    def check_now():
        stage.asymmetry = sided.asymmetry
        check_predictions(stages, chips, truth)

    batches = training_batches(stage, variants, chips, truth, draws, generator)
    # A GPU works beside the CPU anyway, and records its work in the thread that asks for it.
    ready = made_ahead(batches) if chips.device.type == "cpu" else nullcontext(batches)
    try:
        with ready as batches:
            return _engine.train(
                sided,
                batches,
                loss,
                _engine.make_optimizer(
                    settings.optimizer,
                    sided.parameters(),
                    settings.learning_rate,
                    settings.momentum,
                    settings.weight_decay,
                ),
                _engine.SCHEDULES[settings.schedule],
                n_epochs=settings.max_epochs,
                n_steps=math.ceil(len(chips) / size),
                mixed=check_mixed(settings.precision, chips.device, stage.network),
                recorded=can_record(stage.network)
                and getattr(loss, "func", loss) in LOSSES.values(),
                validate=None if validate is None else validate_now,
                patience=settings.patience,
                on_epoch=report,
                check=check_now,
            )
    finally:
        stage.asymmetry = sided.asymmetry


def crops_a_pass(device):
    """How many crops a forward pass of predict reads."""
    return _CROPS_A_PASS.get(device.type, _CROPS_A_PASS_ELSEWHERE)


def warn_of_lost(lost, n_samples):
    """Warn of samples, by their numbers, that a network answers NaN for."""
    if len(lost):
        warn_caller(
            f"the networks answer NaN or infinite numbers for {len(lost)} of {n_samples} "
            f"samples, the first of which is sample {lost[0]}: their landmarks are NaN. The "
            "weights are damaged, or training diverged"
        )


def locate_all(stages, chips):
    """Landmarks that each stage finds on all chips.

    Returns
    -------
    points : list of float64 arrays of shape (n, L, 2)
        In image pixels, one a stage.
    """
    size = crops_a_pass(chips.device)
    answers = [
        [points.cpu().numpy() for points in locate_in_stages(stages, chips, indices)]
        for indices in torch.arange(len(chips)).split(size)
    ]
    return [
        chips.to_image(np.concatenate(points).astype(np.float64))
        for points in zip(*answers, strict=True)
    ]


def spread_all(stages, chips, before):
    """How much each landmark of the last stage moves when its crop does.

    Parameters
    ----------
    stages : list of Stage
    chips : Chips
    before : array of shape (n, L, 2) or None
        Landmarks of the stage before the last in image pixels; None for a single stage.

    Returns
    -------
    spread : float64 array of shape (n, L)
        In image pixels.
    """
    last, spreads = stages[-1], []
    points = None
    if before is not None:
        points = torch.as_tensor(chips.to_chip(before), dtype=torch.float32, device=chips.device)
    for indices in torch.arange(len(chips)).split(crops_a_pass(chips.device)):
        rows = indices.to(chips.device)
        known = None if points is None else points[rows]
        matrices = last.crop.matrices(len(indices), chips.device, known)
        spreads.append(spread_in_crops(last, chips, indices, matrices).cpu().numpy())
    return np.concatenate(spreads) / geometry.scale_of(chips.matrices)[:, None]
