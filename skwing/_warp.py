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
from skwing._cv2 import cv2

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
    scale = geometry.scale_of(matrix)
    if scale < 1:
        image, shrink = _shrink(image, matrix, size, scale)
        matrix = geometry.compose(matrix, geometry.invert(shrink))
    return _warp_one(image, matrix, size)


def _shrink(image, matrix, size, scale):
    """Area-average the part of the image that is needed; also the matrix that did it."""
    corners = geometry.apply(
        geometry.invert(matrix), np.array([[-0.5, -0.5], [size - 0.5, size - 0.5]])
    )
    reach = math.ceil(2 / scale)  # pixels that bilinear interpolation reads beyond the square
    height, width = image.shape[:2]
    (left, top) = np.floor(corners[0]).astype(int) - reach
    (right, bottom) = np.ceil(corners[1]).astype(int) + reach
    left, right = max(left, 0), min(right, width)
    top, bottom = max(top, 0), min(bottom, height)
    if right <= left or bottom <= top:  # the square lies outside the image
        left, top, right, bottom = 0, 0, width, height
    part = image[top:bottom, left:right]
    new_width = max(1, round((right - left) * scale))
    new_height = max(1, round((bottom - top) * scale))
    part = cv2.resize(part, (new_width, new_height), interpolation=cv2.INTER_AREA)
    sx, sy = new_width / (right - left), new_height / (bottom - top)
    shrink = np.array(
        [[sx, 0, (0.5 - left) * sx - 0.5], [0, sy, (0.5 - top) * sy - 0.5]], dtype=float
    )
    return part, shrink


def _warp_one(image, matrix, size, out=None):
    return cv2.warpAffine(
        image, matrix, (size, size), dst=out, flags=cv2.INTER_LINEAR, borderMode=_BORDER
    )


def halve(images):
    """Images of half the side, each pixel the mean of four.

    Parameters
    ----------
    images : uint8 array of shape (n, 2 * size, 2 * size, 3)

    Returns
    -------
    images : uint8 array of shape (n, size, size, 3)
        Related to the input by :func:`skwing.geometry.halving`.
    """
    n, side = images.shape[:2]
    halves = np.empty((n, side // 2, side // 2, 3), dtype=np.uint8)
    for image, half in zip(images, halves, strict=True):
        cv2.resize(image, half.shape[:2], dst=half, interpolation=cv2.INTER_AREA)
    return halves


def sample(images, matrices, size):
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

    Returns
    -------
    batch : float32 tensor of shape (n, 3, size, size)
        In [0, 1], on the device of `images`.
    """
    if isinstance(images, torch.Tensor):
        return _grid_sample(images, matrices, size)
    matrices = np.asarray(matrices, dtype=np.float64)
    batch = np.empty((len(images), size, size, 3), dtype=np.uint8)
    for image, matrix, out in zip(images, matrices, batch, strict=True):
        _warp_one(image, matrix, size, out)
    return torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def _grid_sample(images, matrices, size):
    height, width = images.shape[1:3]
    inverse = geometry.invert(matrices.to(images.device, torch.float32))
    axis = torch.arange(size, device=images.device, dtype=torch.float32)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)
    points = geometry.apply(inverse, points)
    # align_corners=False puts -1 and 1 on the outer edges of the border pixels.
    span = torch.tensor([width, height], device=images.device, dtype=torch.float32)
    grid = ((2 * points + 1) / span - 1).reshape(len(images), size, size, 2)
    images = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    batch = F.grid_sample(
        images, grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    return batch.contiguous(memory_format=torch.channels_last)
