"""Chips that several processes cut together."""

import torch

from skwing._crops.chips import Chips, cut_chips, placed
from skwing._utils import ranks


def cut_together(data, frame, device="cpu", *, check_sizes=False, cache=None):
    """Cut the chips of a data set; each process decodes some of them, and gets all.

    For one process, it is :func:`skwing._crops.chips.cut_chips`, which documents the parameters.
    Processes that share a folder of chips divide the work by that.
    """
    if ranks.n_processes() == 1 or cache is not None:
        return cut_chips(data, frame, device, check_sizes=check_sizes, cache=cache)
    device, part = torch.device(device), ranks.part_of(len(data))
    own = cut_chips(data[part.first : part.last], frame)
    pixels, matrices, sizes = (
        ranks.joined_rows(rows, part) for rows in (own.pixels, own.matrices, own.image_sizes)
    )
    if check_sizes:
        data.warn_of_sizes(sizes)
    return Chips(placed(pixels, device), matrices, frame, device, {}, sizes)
