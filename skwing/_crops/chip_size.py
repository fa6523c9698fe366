"""Size and margin of chips, as required by the crops of all stages."""

import math
from dataclasses import replace
from functools import partial

import numpy as np

from skwing import geometry
from skwing._crops.chips import ChipFrame
from skwing._crops.shared_chips import cut_together

_CHIP_MARGIN = 0.5  # minimum margin around the box, for rotated, shifted and corrected crops
_REACH = 1.5  # minimum side of a chip, relative to the side of the widest crop
_STEP = 32  # sides of fine chips are multiples of it, so that they can be halved
_MOST_BYTES = 2e9  # memory limit for chips of increased resolution


def chip_frame(sizes, margins):
    """Frame of chips with the resolution of the finest crop of all stages.

    Each stage has a side of its input in pixels, and a margin of its crop around the box, as a
    fraction of its side.
    """
    finest = max(size / (1 + 2 * margin) for size, margin in zip(sizes, margins, strict=True))
    side = max(1 + 2 * _CHIP_MARGIN, _REACH * (1 + 2 * max(margins)))
    return ChipFrame(8 * math.ceil(finest * side / 8), (side - 1) / 2)


def finer_frame(chips, extents, sizes, margins):
    """Frame of chips with higher resolution, if shapes are small relative to their boxes.

    Later stages magnify shapes to the size of their crops. The side of chips is doubled until they
    have at least half the resolution of these crops, the full resolution of the images, or the
    maximum size in memory. `extents` are the longer sides of the boxes around the landmarks, in
    chip pixels.
    """
    wanted = [size / (1 + 2 * margin) for size, margin in zip(sizes, margins, strict=True)][1:]
    if not wanted:
        return chips.frame
    doublings = max(0, math.floor(math.log2(_magnification(chips, extents, max(wanted)))))
    return replace(chips.frame, size=chips.frame.size * 2**doublings)


def frame_for_patches(frame, chips, extents, size, margin):
    """Frame of chips with the resolution of patches, which are small parts of their frame.

    It is at least as fine as `frame`, that for the other stages; its resolution is at most that of
    the images, and limited by the size in memory. The frame of the patches has a side of `size`
    pixels, and a margin around the mean shape, as a fraction of its longer side.
    """
    factor = _magnification(chips, extents, size / (1 + 2 * margin))
    wanted = _STEP * math.floor(factor * chips.frame.size / _STEP)
    return replace(frame, size=max(frame.size, wanted))


def _magnification(chips, extents, size):
    """Factor between the resolution of chips and that of crops with shapes of a size in pixels.

    It is at most that to the full resolution of the images, and that to the limit of memory; 1
    without shapes.
    """
    extents = extents[extents > 1]  # ignore samples with a single landmark
    if not len(extents):
        return 1.0
    there = 1 / np.median(geometry.scale_of(chips.matrices))
    room = math.sqrt(_MOST_BYTES / chips.pixels.nbytes)
    return min(size / np.median(extents), there, room)


def cut_to_learn_on(samples, sizes, margins, device, patch_sizes=None, cache=None):
    """Cut the chips of samples with sufficient resolution for all stages.

    `patch_sizes` are the sides of the patches that stages read, None for those that read crops.
    """
    stages = list(zip(sizes, margins, patch_sizes or [None] * len(sizes), strict=True))
    sizes, margins = zip(*[stage[:2] for stage in stages if stage[2] is None], strict=True)
    cut = partial(cut_together, samples.data, device=device, cache=cache)
    chips = cut(chip_frame(sizes, margins), check_sizes=True)
    extents = chips.extents(samples.points)
    frame = finer_frame(chips, extents, sizes, margins)
    for size, margin, patch_size in stages:
        if patch_size is not None:
            frame = frame_for_patches(frame, chips, extents, size, margin)
    return chips if frame == chips.frame else cut(frame)
