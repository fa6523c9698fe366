"""Landmarks of many images: read portion by portion, chip by chip, in passes of a fixed size."""

import numpy as np
import torch

from skwing import geometry
from skwing._crops.chips import iter_chips
from skwing._reading.confidence import crop_spread
from skwing._reading.stages import read_stages
from skwing._reading.warn import warn_of_corners, warn_of_lost, warn_of_unread

_CROPS_A_PASS = {"cpu": 64}  # more would leave the caches
_CROPS_A_PASS_ELSEWHERE = 512  # fills a GPU, whose memory it hardly touches


def crops_a_pass(device):
    """How many crops a forward pass of predict reads."""
    return _CROPS_A_PASS.get(device.type, _CROPS_A_PASS_ELSEWHERE)


def read_chips(stages, chips):
    """Landmarks that each stage finds on all chips.

    Returns
    -------
    points : list of float64 arrays of shape (n, L, 2)
        In image pixels, one a stage.
    """
    size = crops_a_pass(chips.device)
    answers = [
        [points.cpu().numpy() for points in read_stages(stages, chips, indices)]
        for indices in torch.arange(len(chips)).split(size)
    ]
    return [
        chips.to_image(np.concatenate(points).astype(np.float64))
        for points in zip(*answers, strict=True)
    ]


def chip_spread(stages, chips, before):
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
        spreads.append(crop_spread(last, chips, indices, matrices).cpu().numpy())
    return np.concatenate(spreads) / geometry.scale_of(chips.matrices)[:, None]


def read_images(data, stages, frame, n_landmarks, *, first, spread=False, on_error="raise"):
    """Landmarks in image pixels that stages find, the images read in portions.

    Parameters
    ----------
    data : BoxedImages
    stages : list of Stage
    frame : ChipFrame
    n_landmarks : int
    first : int
        Stage to answer from, as an index of the list.
    spread : bool, default=False
        Whether to measure how stable the landmarks of the last stage are.
    on_error : {"raise", "skip"}, default="raise"
        Whether a sample that cannot be read is an error, or NaN and part of a warning.

    Returns
    -------
    points : list of float64 arrays of shape (n, L, 2)
        One for each stage from `first` on; NaN for a sample without a box.
    spread : float64 array of shape (n, L)
        See :func:`chip_spread`; NaN unless `spread`.
    sides : float64 array of shape (n,)
        Of the square around each box, in image pixels.
    """
    n, boxed = len(data), np.flatnonzero(~data.missing_boxes)
    # Filled in place: joining portions would take the memory of a second answer.
    answers = [np.full((n, n_landmarks, 2), np.nan) for _ in stages[first:]]
    spreads, sides = np.full((n, n_landmarks if spread else 0), np.nan), np.full(n, np.nan)
    sizes, failures, lost, start = np.full((n, 2), np.nan), {}, [], 0
    device = next(stages[0].network.parameters()).device
    for chips in iter_chips(data[boxed], frame, device, on_error=on_error):
        rows = boxed[start : start + len(chips)]
        found = read_chips(stages, chips)
        for answer, points in zip(answers, found[first:], strict=True):
            answer[rows] = points
        if spread:
            spreads[rows] = chip_spread(stages, chips, found[-2] if len(found) > 1 else None)
        sizes[rows], sides[rows] = chips.image_sizes, chips.box_sides
        lost.extend(rows[np.isnan(found[-1]).any((1, 2))])
        failures.update((rows[i], message) for i, message in chips.failures.items())
        start += len(chips)
    for array in (*answers, spreads):
        array[list(failures)] = np.nan
    warn_of_lost(lost, n)
    warn_of_corners(data, sizes)
    warn_of_unread(failures, n)
    return answers, spreads, sides
