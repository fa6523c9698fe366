"""The only door to the pixels: every resampling of an image happens here.

All functions follow the convention of :mod:`skwing.geometry`: integer coordinates are
pixel centres, matrices map source pixels to result pixels. Outside an image its border
pixels go on.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._utils.opencv import cv2

_BORDER = cv2.BORDER_REPLICATE


def cut(image, matrix, size):
    """Cut a square out of an image, free of aliasing.

    A bilinear sample of a large image reads 4 of many pixels, so what is shrunk is
    averaged over areas first.

    Parameters
    ----------
    image : uint8 array of shape (height, width, 3)
    matrix : array of shape (2, 3)
        Scale and shift only, from image pixels to pixels of the result.
    size : int
        Side of the result in pixels.

    Returns
    -------
    chip : uint8 array of shape (size, size, 3)
    """
    scale = float(geometry.scale_of(matrix))
    corner = geometry.apply(geometry.invert(matrix), np.array([[-0.5, -0.5]]))[0]
    spans = _blocks if scale < 1 else _pixels
    left, right, width = spans(corner[0] + 0.5, 1 / scale, size, image.shape[1])
    top, bottom, height = spans(corner[1] + 0.5, 1 / scale, size, image.shape[0])
    part = image[top:bottom, left:right]
    if scale < 1:
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    sx, sy = width / (right - left), height / (bottom - top)
    to_part = np.array(
        [[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5]], dtype=float
    )
    return _warp_one(part, geometry.compose(matrix, geometry.invert(to_part)), size)


# Of a square whose edge lies `start` pixels from that of an image and whose pixels are
# `step` image pixels wide: the image pixels that it is made from, as first and end, and the
# number of pixels that they become. Bilinear interpolation reads one beyond the square.


def _pixels(start, step, size, length):
    first = min(max(math.floor(start) - 2, 0), length - 1)
    end = max(min(math.ceil(start + size * step) + 2, length), first + 1)
    return first, end, end - first


def _blocks(start, step, size, length):
    # Blocks that are averaged lie on the grid of the square, as nearly as whole pixels
    # allow: what is left for interpolation is little, and so is the blur that it adds.
    first = max(math.ceil(-start / step - 1e-6), -2)
    n_blocks = max(min(math.floor((length - start) / step + 1e-6), size + 2) - first, 1)
    low = min(max(round(start + first * step), 0), length - 1)
    high = max(min(round(start + (first + n_blocks) * step), length), low + 1)
    return low, high, n_blocks


def _warp_one(image, matrix, size, out=None):
    return cv2.warpAffine(
        image, matrix, (size, size), dst=out, flags=cv2.INTER_LINEAR, borderMode=_BORDER
    )


def halve(images):
    """Images of half the side, each pixel the mean of four.

    Parameters
    ----------
    images : uint8 array or tensor of shape (n, 2 * size, 2 * size, 3)
        A tensor is halved on its own device.

    Returns
    -------
    images : uint8 array or tensor of shape (n, size, size, 3)
        Related to the input by :func:`skwing.geometry.halving`.
    """
    n, side = images.shape[:2]
    if isinstance(images, torch.Tensor):
        blocks = images.unflatten(2, (side // 2, 2)).unflatten(1, (side // 2, 2))
        # As OpenCV rounds: a half goes up.
        return blocks.sum((2, 4), dtype=torch.int32).add(2).div(4, rounding_mode="floor").byte()
    halves = np.empty((n, side // 2, side // 2, 3), dtype=np.uint8)
    for image, half in zip(images, halves, strict=True):
        cv2.resize(image, half.shape[:2], dst=half, interpolation=cv2.INTER_AREA)
    return halves


def to_device(tensor, device):
    """Tensor on another device; a CUDA device takes it in its turn, while the CPU goes on.

    Only there: others may read the memory when it is freed already.
    """
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")


def sample(images, matrices, size, field=None):
    """Sample a batch of squares, bilinearly, each through its own matrix.

    The same on the CPU (OpenCV, which is several times faster there) and on a GPU (one
    call for the batch). The result lies in memory channel by channel for each pixel, the
    layout in which convolutions are fastest on both.

    Parameters
    ----------
    images : sequence of n uint8 arrays of shape (height, width, 3), or one uint8 tensor
        A tensor, of shape (n, height, width, 3), is sampled on its own device.
    matrices : float tensor of shape (n, 2, 3)
        From pixels of `images` to pixels of the result.
    size : int
        Side of the result in pixels.
    field : float tensor of shape (n, 2, n_nodes, n_nodes), default=None
        Bends the squares: from places in the result to where they are read, in pixels of
        the square as it would be without. The places are nodes evenly spaced from its
        first pixel to its last; between them it is interpolated.

    Returns
    -------
    batch : float32 tensor of shape (n, 3, size, size)
        In [0, 1], on the device of `images`.
    """
    if isinstance(images, torch.Tensor):
        return _grid_sample(images, matrices, size, field)
    batch = np.empty((len(images), size, size, 3), dtype=np.uint8)
    if field is None:
        matrices = np.asarray(matrices, dtype=np.float64)
        for image, matrix, out in zip(images, matrices, batch, strict=True):
            _warp_one(image, matrix, size, out)
    else:
        places = _places(matrices, size, field).numpy()
        for image, (x, y), out in zip(images, places, batch, strict=True):
            cv2.remap(image, x, y, cv2.INTER_LINEAR, dst=out, borderMode=_BORDER)
    return torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _grid_sample(images, matrices, size, field=None):
    places = _places(matrices.to(images.device), size, field).permute(0, 2, 3, 1)
    batch = _bilinear(images.permute(0, 3, 1, 2).to(torch.float32).div_(255), places)
    return batch.contiguous(memory_format=torch.channels_last)


def _places(matrices, size, field):
    """Where the pixels of squares are read, of shape (n, 2, size, size)."""
    n_nodes = size if field is None else field.shape[-1]
    axis = torch.linspace(0, size - 1, n_nodes, device=matrices.device)
    nodes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))
    nodes = nodes[None] if field is None else nodes + field
    inverse = geometry.invert(matrices.to(torch.float32))
    places = geometry.apply(inverse, nodes.flatten(2).mT).mT.unflatten(2, (n_nodes, n_nodes))
    if n_nodes == size:
        return places
    # A matrix keeps straight lines straight: before it or after it, interpolation is the same.
    return F.interpolate(
        places.contiguous(), size=(size, size), mode="bilinear", align_corners=True
    )


def read_at(maps, points, stride):
    """Values of feature maps at points of the image that they were computed from.

    Differentiable in both. A cell of a map stands for a square of `stride` pixels, and its
    centre for the centre of the square.

    Parameters
    ----------
    maps : float tensor of shape (n, n_channels, height, width)
    points : float tensor of shape (n, n_points, 2)
        In image pixels; beyond the map its border goes on.
    stride : int

    Returns
    -------
    values : float tensor of shape (n, n_channels, n_points)

    Examples
    --------
    >>> import torch
    >>> from skwing._crops.warp import read_at
    >>> columns = torch.tensor([[[[0.0, 1.0, 2.0, 3.0]]]])
    >>> read_at(columns, torch.tensor([[[0.5, 0.5], [1.5, 0.5], [9.0, 0.5]]]), stride=2)
    tensor([[[0.0000, 0.5000, 3.0000]]])
    """
    cells = (points + 0.5) / stride - 0.5
    return _bilinear(maps, cells[:, :, None])[..., 0]


def _bilinear(maps, points):
    """Values of maps (n, c, height, width) at points (n, a, b, 2) in their own pixels."""
    height, width = maps.shape[2:]
    x, y = points.unbind(-1)
    # What padding_mode="border" does; not every kind of device has that.
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    # align_corners=False puts -1 and 1 on the outer edges of the border pixels.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return F.grid_sample(maps, grid, mode="bilinear", align_corners=False)
