"""Geometric and photometric augmentation of batches.

Random numbers are drawn on the CPU from one generator, whatever the device, so that a seed
gives the same crops on all devices.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._crops.warp import to_device


@dataclass(frozen=True)
class StageAugmentation:
    """Strength of the augmentation of one stage.

    Attributes
    ----------
    rotation : float
        Maximum in-plane rotation in both directions, in degrees.
    scale : float
        Maximum change of scale: the factor is between 1 / (1 + scale) and 1 + scale.
    shift : float
        Maximum shift along each axis, as a fraction of the input's side.
    mirror, blur : float
        Probability of mirroring, and of a Gaussian blur with a standard deviation of one
        pixel.
    brightness, contrast : float
        Maximum changes: an offset as a fraction of white, and a factor between
        1 - contrast and 1 + contrast.
    occlusion : float
        Probability of occluding a rectangle, with a single colour or with a part of another
        image of the batch, with equal probability.
    deformation : float
        Maximum strength of the deformation towards the shape of a similar sample, see
        :class:`skwing._crops.bend.Bend`.
    """

    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    mirror: float = 0.0
    blur: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    occlusion: float = 0.0
    deformation: float = 0.0


_COVERED = (0.08, 0.43)  # range of the sides of occluding rectangles, relative to the crop


def _uniform(generator, *shape):
    """Uniform numbers in [-1, 1)."""
    return 2 * torch.rand(*shape, generator=generator) - 1


def random_matrices(n, size, augmentation, generator):
    """Draw random similarity transforms of an input frame, some of them mirrored.

    Parameters
    ----------
    n : int
    size : int
        Side of the frame in pixels.
    augmentation : StageAugmentation
    generator : torch.Generator

    Returns
    -------
    matrices : float32 tensor of shape (n, 2, 3)
        From the original frame to the augmented one.
    mirrored : bool tensor of shape (n,)
        Mask of the transforms with a reflection; their landmarks must be renamed.
    """
    angle = math.radians(augmentation.rotation) * _uniform(generator, n)
    scale = torch.exp(math.log1p(augmentation.scale) * _uniform(generator, n))
    shift = augmentation.shift * size * _uniform(generator, n, 2)
    mirrored = torch.rand(n, generator=generator) < augmentation.mirror
    matrices = geometry.from_parts(angle, scale, shift, (size - 1) / 2)
    reflection = torch.as_tensor(geometry.reflect(size), dtype=torch.float32)
    reflected = geometry.compose(matrices, reflection.expand_as(matrices))
    return torch.where(mirrored[:, None, None], reflected, matrices), mirrored


def rename_mirrored(points, mirrored, permutation):
    """Rename the landmarks of mirrored shapes.

    Parameters
    ----------
    points : tensor of shape (n, L, 2)
    mirrored : bool tensor of shape (n,)
    permutation : int tensor of shape (L,)
        Landmark i of a mirrored shape is landmark ``permutation[i]`` of the original.

    Returns
    -------
    points : tensor of shape (n, L, 2)
    """
    return torch.where(mirrored[:, None, None], points[:, permutation], points)


def photometric(images, augmentation, generator, n=None, rows=slice(None)):
    """Apply blur, brightness, contrast and occlusion to a batch, or to some rows of it.

    Parameters
    ----------
    images : float32 tensor of shape (n_rows, 3, size, size)
        In [0, 1]; modified in place.
    augmentation : StageAugmentation
    generator : torch.Generator
    n : int, default=None
        Number of rows of the whole batch, for which numbers are drawn; None means all.
    rows : int tensor of shape (n_rows,) or slice
        Consecutive rows of the whole batch. A row may be occluded with a part of the next one;
        the last row is therefore correct only if these are all rows.

    Returns
    -------
    images : the same tensor, in [0, 1]
    """
    n, device = len(images) if n is None else n, images.device
    if augmentation.blur > 0:
        blurred = (torch.rand(n, generator=generator) < augmentation.blur)[rows]
        chosen = to_device(blurred.nonzero()[:, 0], device)
        images[chosen] = _blur(images[chosen])
    if augmentation.contrast > 0 or augmentation.brightness > 0:
        factor = 1 + augmentation.contrast * _uniform(generator, n, 1, 1, 1)
        offset = augmentation.brightness * _uniform(generator, n, 1, 1, 1)
        # Contrast is relative to mid-grey, so that it does not change the mean brightness.
        factor, offset = factor[rows], (offset + 0.5 * (1 - factor))[rows]
        images.mul_(to_device(factor, device)).add_(to_device(offset, device)).clamp_(0, 1)
    if augmentation.occlusion > 0:
        _cover(images, augmentation.occlusion, generator, n, rows)
    return images


def _cover(images, probability, generator, n, part):
    """Occlude a rectangle of some images, in place."""
    n_shown, channels, _, size = images.shape
    device = images.device
    low, high = _COVERED
    sides = size * (low + (high - low) * torch.rand(n, 2, generator=generator))
    first = size * torch.rand(n, 2, generator=generator) - sides / 2
    covered = torch.rand(n, generator=generator) < probability
    plain = torch.rand(n, generator=generator) < 0.5
    colours = torch.rand(n, channels, 1, 1, generator=generator)
    shift = torch.randint(size, (2,), generator=generator).tolist()
    sides, first, covered, plain, colours = (
        drawn[part] for drawn in (sides, first, covered, plain, colours)
    )
    rows = to_device(covered.nonzero()[:, 0], device)
    axis = torch.arange(size)
    inside = (axis >= first[..., None]) & (axis < (first + sides)[..., None])
    mask = to_device(inside[:, 0, :, None] & inside[:, 1, None, :], device)[rows, None]
    # The next image of the batch, shifted so that its landmarks have other positions.
    pieces = images[(rows + 1) % n_shown].roll(shift, (2, 3))
    filled = torch.where(
        to_device(plain, device)[rows, None, None, None], to_device(colours, device)[rows], pieces
    )
    images[rows] = torch.where(mask, filled, images[rows])


def _blur(images):
    """Separable Gaussian blur with a standard deviation of one pixel."""
    taps = torch.exp(-0.5 * torch.arange(-2.0, 3.0, device=images.device) ** 2)
    taps = taps / taps.sum()
    channels = images.shape[1]
    across = taps.reshape(1, 1, 1, 5).expand(channels, 1, 1, 5)
    down = taps.reshape(1, 1, 5, 1).expand(channels, 1, 5, 1)
    images = F.pad(images, (2, 2, 2, 2), mode="replicate")
    images = F.conv2d(images, across, groups=channels)
    return F.conv2d(images, down, groups=channels)
