"""How large chips are, and how much of each image they show, for the crops cut from them."""

import math
from dataclasses import replace

import numpy as np

from skwing import geometry
from skwing._crops.chips import ChipFrame, cut_chips

_CHIP_MARGIN = 0.5  # least room around the box for turned, shifted and corrected crops
_REACH = 1.5  # side of a chip at the least, in sides of the widest crop
_MOST_BYTES = 2e9  # of chips that are cut finer than their boxes ask for


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
