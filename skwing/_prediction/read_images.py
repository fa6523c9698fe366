"""Prediction for many images: in portions of images, and batches of crops."""

from dataclasses import dataclass

import numpy as np
import torch

from skwing import geometry
from skwing._crops.chips import iter_chips
from skwing._prediction.confidence import crop_spread
from skwing._prediction.passes import crops_a_pass, samples_a_search
from skwing._prediction.retry import doubts_of, read_again
from skwing._prediction.stages import Reading, read_stages
from skwing._prediction.warn import warn_of_corners, warn_of_lost, warn_of_unread
from skwing._utils.random import drawing
from skwing._utils.threads import side_by_side
from skwing.networks import PatchCNN, PlainCNN, ShapeIndexedCNN

# Small networks whose batches can be computed in several threads. Larger networks and those of
# users, which may not be thread-safe, use the threads of torch instead.
_SIDE_BY_SIDE = (PatchCNN, PlainCNN, ShapeIndexedCNN)


def for_each_batch(function, stages, chips, rows=None, size=None):
    """Apply a function to the indices of each batch of chips; its results are in their order.

    It uses the networks of `stages`. By default, these are batches of all chips, of as many as the
    networks read at once; `rows` and `size` choose others.
    """
    rows = torch.arange(len(chips)) if rows is None else rows
    batches = list(enumerate(rows.split(size or crops_a_pass(chips.device))))

    def compute(batch):
        number, indices = batch
        with drawing(number):  # for custom networks that draw random numbers in evaluation mode
            return function(indices)

    small = all(type(stage.network) in _SIDE_BY_SIDE for stage in stages)
    if small and chips.device.type == "cpu":
        return side_by_side(compute, batches)
    return [compute(batch) for batch in batches]


def read_chips(stages, chips, retry=None, changes=None, rows=None):
    """Predict the landmarks of all stages on all chips, or on some without `retry`.

    Parameters
    ----------
    stages, chips
    retry : Retry or None, default=None
        If given, doubtful predictions are repeated from other crops.
    changes : float32 tensor of shape (n, 2, 3), default=None
        Transforms of the crop of the first stage, in pixels of its input; None uses the crop of
        the box.
    rows : int tensor, default=None
        Indices of the chips to use, on the CPU; None means all.

    Returns
    -------
    points : list of float64 arrays of shape (n, L, 2)
        In image pixels, one array per stage.
    doubts : float64 array of shape (n,)
        See :func:`skwing._prediction.retry.doubts_of`.
    """

    def crops_of(rows):
        crops = stages[0].crop.matrices(len(rows), chips.device)
        if changes is not None:
            crops = geometry.compose(changes[rows].to(chips.device), crops)
        return crops

    def read(rows):
        return read_stages(stages, chips, rows, crops_of(rows))

    def repeat(rows):
        some = reading.rows(rows.to(chips.device))
        return read_again(stages, chips, rows, some, retry, crops_of(rows))

    reading = Reading.joined(for_each_batch(read, stages, chips, rows))
    doubts = doubts_of(reading)
    if retry is not None:
        doubtful = torch.nonzero(doubts > retry.limit)[:, 0]
        if len(doubtful):
            size = samples_a_search(chips.device)
            repeated = Reading.joined(for_each_batch(repeat, stages, chips, doubtful.cpu(), size))
            reading = reading.replaced(doubtful, repeated)
            doubts = doubts_of(reading)
    points = [own.cpu().numpy().astype(np.float64) for own in reading.points]
    doubts = doubts.cpu().numpy().astype(np.float64)
    matrices = geometry.invert(chips.matrices if rows is None else chips.matrices[rows.numpy()])
    return [geometry.apply(matrices, own) for own in points], doubts


def chip_spread(stages, chips, before):
    """Spread of the predictions of the last stage under small changes of the crop.

    It is of shape (n, L), in image pixels, as are `before`, the landmarks of the stage before it.
    """
    last, points = stages[-1], None
    if before is not None:
        points = torch.as_tensor(chips.to_chip(before), dtype=torch.float32, device=chips.device)

    def spread_of(indices):
        known = None if points is None else points[indices.to(chips.device)]
        matrices = last.crop.matrices(len(indices), chips.device, known)
        return crop_spread(last, chips, indices, matrices, known).cpu().numpy()

    spreads = for_each_batch(spread_of, [last], chips)
    return np.concatenate(spreads) / geometry.scale_of(chips.matrices)[:, None]


@dataclass(frozen=True)
class Found:
    """Predictions for n samples, in image pixels.

    Attributes
    ----------
    points : list of float64 arrays of shape (n, L, 2)
        One array for each stage to return; NaN for samples without a box.
    doubt : float64 array of shape (n,)
        See :func:`skwing._prediction.retry.doubts_of`; NaN for samples without a box.
    spread : float64 array of shape (n, L)
        See :func:`chip_spread`; of shape (n, 0) unless `spread`.
    sides : float64 array of shape (n,)
        Side of the square around each box.
    """

    points: list[np.ndarray]
    doubt: np.ndarray
    spread: np.ndarray
    sides: np.ndarray


def read_images(
    data,
    stages,
    frame,
    n_landmarks,
    *,
    first,
    spread=False,
    on_error="raise",
    retry=None,
    changes=None,
):
    """Predict landmarks in image pixels, reading the images in portions.

    Parameters
    ----------
    data, stages, frame, n_landmarks
    first : int
        Index of the first stage to return.
    spread : bool, default=False
        Whether to compute the spread of the landmarks of the last stage.
    on_error : {"raise", "skip"}, default="raise"
        Whether samples that cannot be read raise an error, or give NaN and a warning.
    retry, changes
        See :func:`read_chips`.
    """
    n, boxed = len(data), np.flatnonzero(~data.missing_boxes)
    # Filled in place, because concatenating portions would double the memory.
    answers = [np.full((n, n_landmarks, 2), np.nan) for _ in stages[first:]]
    spreads, sides = np.full((n, n_landmarks if spread else 0), np.nan), np.full(n, np.nan)
    doubts = np.full(n, np.nan)
    sizes, failures, lost, start = np.full((n, 2), np.nan), {}, [], 0
    device = next(stages[0].network.parameters()).device
    for chips in iter_chips(data[boxed], frame, device, on_error=on_error):
        rows = boxed[start : start + len(chips)]
        own = None if changes is None else changes[torch.from_numpy(rows)]
        found, doubts[rows] = read_chips(stages, chips, retry, own)
        for answer, points in zip(answers, found[first:], strict=True):
            answer[rows] = points
        if spread:
            spreads[rows] = chip_spread(stages, chips, found[-2] if len(found) > 1 else None)
        sizes[rows], sides[rows] = chips.image_sizes, chips.box_sides
        lost.extend(rows[np.isnan(found[-1]).any((1, 2))])
        failures.update((rows[i], message) for i, message in chips.failures.items())
        start += len(chips)
    for array in (*answers, spreads, doubts):
        array[list(failures)] = np.nan
    warn_of_lost(lost, n)
    warn_of_corners(data, sizes)
    warn_of_unread(failures, n)
    return Found(answers, doubts, spreads, sides)
