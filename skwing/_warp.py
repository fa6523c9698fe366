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
    left, top, right, bottom = _needed(image.shape, matrix, size, scale)
    part = image[top:bottom, left:right]
    to_part = np.array([[1.0, 0, -left], [0, 1, -top]])
    if scale < 1:
        part, shrink = _shrink(part, scale)
        to_part = geometry.compose(shrink, to_part)
    return _warp_one(part, geometry.compose(matrix, geometry.invert(to_part)), size)


def _needed(image_shape, matrix, size, scale):
    """Rows and columns of an image that a square is made from, at least one of each.

    Where the square lies outside, these are the nearest: as the border goes on, they say
    all. OpenCV warps no image wider than 32767 pixels, so a scan must not reach it whole.
    """
    ends = np.array([[-0.5, -0.5], [size - 0.5, size - 0.5]])
    ends = geometry.apply(geometry.invert(matrix), ends)
    reach = math.ceil(2 / min(scale, 1))  # what bilinear interpolation reads beyond
    last = np.array([image_shape[1], image_shape[0]]) - 1
    first = np.clip(np.floor(ends[0]) - reach, 0, last)
    end = np.clip(np.ceil(ends[1]) + reach, first + 1, last + 1)
    return (*first.astype(int).tolist(), *end.astype(int).tolist())


def _shrink(image, scale):
    """Average an image over areas; also the matrix that did it."""
    height, width = image.shape[:2]
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    image = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA)
    sx, sy = new_width / width, new_height / height
    return image, np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2]])


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


def send(tensor, device):
    """Tensor on another device; a CUDA device takes it in its turn, while the CPU goes on.

    Only there: others may read the memory when it is freed already.
    """
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")


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
    x, y = geometry.apply(inverse, points).unbind(-1)
    # What padding_mode="border" does; not every kind of device has that.
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    # align_corners=False puts -1 and 1 on the outer edges of the border pixels.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    grid = grid.reshape(len(images), size, size, 2)
    images = images.permute(0, 3, 1, 2).to(torch.float32).div_(255)
    batch = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
    return batch.contiguous(memory_format=torch.channels_last)
