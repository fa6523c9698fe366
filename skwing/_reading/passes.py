"""Chips read in passes of a size that suits the device."""

import numpy as np
import torch

from skwing import geometry
from skwing._reading.confidence import spread_in_crops
from skwing._reading.stages import locate_in_stages

_CROPS_A_PASS = {"cpu": 64}  # more would leave the caches
_CROPS_A_PASS_ELSEWHERE = 512  # fills a GPU, whose memory it hardly touches


def crops_a_pass(device):
    """How many crops a forward pass of predict reads."""
    return _CROPS_A_PASS.get(device.type, _CROPS_A_PASS_ELSEWHERE)


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
