"""Geometric and photometric augmentation of batches.

Random numbers are drawn on the CPU from one generator, whatever the device, so that a seed
gives the same crops on all devices. All numbers of a batch are drawn, and moved to the device, at
once. What is computed from them on a GPU has shapes that do not depend on their values, so that
the GPU is never waited for, and the computation can be recorded as a CUDA graph.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F

from skwing import geometry


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
        :func:`skwing._crops.bend.bend`.
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

# Numbers of the uniform numbers that :func:`matrices_of` takes for a sample, by name.
OF_MATRICES = {"angle": 1, "scale": 1, "shift": 2, "mirror": 1}


def of_photometric(augmentation):
    """Names and numbers of the uniform numbers that :func:`photometric` takes for a sample."""
    names = {}
    if augmentation.blur > 0:
        names |= {"blur": 1}
    if augmentation.contrast > 0 or augmentation.brightness > 0:
        names |= {"contrast": 1, "brightness": 1}
    if augmentation.occlusion > 0:
        names |= {"sides": 2, "first": 2, "covered": 1, "plain": 1, "colour": 3}
    return names


def draw(n, names, generator):
    """Draw uniform numbers in [0, 1) for the changes of n samples, for :func:`by_name`.

    `names` has how many of them each sample takes, by name.
    """
    return torch.rand(n * sum(names.values()), generator=generator)


def draw_move(size, augmentation, generator):
    """Draw by how many pixels parts of other images are moved, an int tensor of shape (2,)."""
    if augmentation.occlusion > 0:
        return torch.randint(size, (2,), generator=generator)
    return torch.zeros(2, dtype=torch.int64)


def by_name(numbers, n, names):
    """Divide the result of :func:`draw` into tensors of shape (n, names[name]) by name.

    Examples
    --------
    >>> import torch
    >>> from skwing._crops.random_changes import by_name
    >>> by_name(torch.arange(6.0), 2, {"angle": 1, "shift": 2})
    {'angle': tensor([[0.],
            [1.]]), 'shift': tensor([[2., 3.],
            [4., 5.]])}
    """
    parts = numbers.split([n * each for each in names.values()])
    return {name: part.reshape(n, -1) for name, part in zip(names, parts, strict=True)}


def random_matrices(n, size, augmentation, generator):
    """Draw random similarity transforms of an input frame, see :func:`matrices_of`."""
    numbers = by_name(draw(n, OF_MATRICES, generator), n, OF_MATRICES)
    return matrices_of(numbers, size, augmentation)


def matrices_of(numbers, size, augmentation):
    """Random similarity transforms of an input frame, some of them mirrored.

    They are made from uniform numbers for the names in `OF_MATRICES`.

    Returns
    -------
    matrices : float32 tensor of shape (n, 2, 3)
        From the original frame to the augmented one.
    mirrored : bool tensor of shape (n,)
        Mask of the transforms with a reflection; their landmarks must be renamed.
    """
    angle = math.radians(augmentation.rotation) * _balanced(numbers["angle"][:, 0])
    scale = torch.exp(math.log1p(augmentation.scale) * _balanced(numbers["scale"][:, 0]))
    shift = augmentation.shift * size * _balanced(numbers["shift"])
    mirrored = numbers["mirror"][:, 0] < augmentation.mirror
    matrices = geometry.from_parts(angle, scale, shift, (size - 1) / 2)
    reflection = _reflection(size, matrices.device).expand_as(matrices)
    reflected = geometry.compose(matrices, reflection)
    return torch.where(mirrored[:, None, None], reflected, matrices), mirrored


def _balanced(numbers):
    """Uniform numbers in [-1, 1) from those in [0, 1)."""
    return 2 * numbers - 1


@lru_cache
def _reflection(size, device):
    return torch.as_tensor(geometry.reflect(size), dtype=torch.float32).to(device)


def rename_mirrored(points, mirrored, permutation):
    """Rename the landmarks of mirrored shapes, of shape (n, L, 2).

    Landmark i of a mirrored shape is landmark ``permutation[i]`` of the original.
    """
    return torch.where(mirrored[:, None, None], points[:, permutation], points)


def photometric(images, augmentation, numbers, move, rows=slice(None)):
    """Apply blur, brightness, contrast and occlusion to a batch, or to some rows of it.

    Parameters
    ----------
    images : float32 tensor of shape (n_rows, 3, size, size)
        In [0, 1]; modified in place.
    augmentation : StageAugmentation
    numbers : dict of str to float32 tensor of shape (n, ...)
        Uniform numbers of the whole batch for the names of :func:`of_photometric`, on the device
        of the images.
    move : int tensor of shape (2,)
        See :func:`draw_move`; on the same device.
    rows : int tensor of shape (n_rows,) or slice
        Consecutive rows of the whole batch. A row may be occluded with a part of the next one;
        the last row is therefore correct only if these are all rows.

    Returns
    -------
    images : the same tensor, in [0, 1]
    """
    own = {name: numbers[name][rows] for name in of_photometric(augmentation)}
    if augmentation.blur > 0:
        blurred = own["blur"] < augmentation.blur
        chosen = _rows_of(blurred[:, 0])
        some = images[chosen]
        images[chosen] = torch.where(_by_image(blurred[chosen]), _blur(some), some)
    if augmentation.contrast > 0 or augmentation.brightness > 0:
        factor = 1 + augmentation.contrast * _by_image(_balanced(own["contrast"]))
        offset = augmentation.brightness * _by_image(_balanced(own["brightness"]))
        # Contrast is relative to mid-grey, so that it does not change the mean brightness.
        images.mul_(factor).add_(offset + 0.5 * (1 - factor)).clamp_(0, 1)
    if augmentation.occlusion > 0:
        _cover(images, augmentation.occlusion, own, move)
    return images


def _by_image(values):
    """Values of shape (n, k) as those of k channels of images, of shape (n, k, 1, 1)."""
    return values[:, :, None, None]


def _is_at_hand(device):
    """Whether numbers on a device can be read without waiting for other work."""
    return device.type == "cpu"


def _rows_of(chosen):
    """Indices of chosen images, or of all if their number cannot be read without waiting."""
    if _is_at_hand(chosen.device):
        return chosen.nonzero()[:, 0]
    return torch.arange(len(chosen), device=chosen.device)


def _cover(images, probability, numbers, move):
    """Occlude a rectangle of some images, in place."""
    n_shown, _, _, size = images.shape
    low, high = _COVERED
    sides = size * (low + (high - low) * numbers["sides"])
    first = size * numbers["first"] - sides / 2
    covered = numbers["covered"][:, 0] < probability
    plain = _by_image(numbers["plain"]) < 0.5
    colours = _by_image(numbers["colour"])
    rows = _rows_of(covered)
    axis = torch.arange(size, device=images.device)
    inside = (axis >= first[..., None]) & (axis < (first + sides)[..., None])
    inside = inside & covered[:, None, None]
    mask = (inside[:, 0, :, None] & inside[:, 1, None, :])[rows, None]
    # The next image of the batch, moved so that its landmarks have other positions.
    pieces = _moved(images[(rows + 1) % n_shown], move)
    filled = torch.where(plain[rows], colours[rows], pieces)
    images[rows] = torch.where(mask, filled, images[rows])


def _moved(images, move):
    """Move images cyclically by numbers of pixels, an int tensor of shape (2,)."""
    if _is_at_hand(move.device):
        return images.roll(move.tolist(), (2, 3))
    size = images.shape[-1]
    down, right = (torch.arange(size, device=move.device) - move[:, None]) % size
    return images[:, :, down[:, None], right]


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
