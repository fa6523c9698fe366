"""All resampling of images, except for chips, which :func:`skwing.runtime.cut_chip` cuts.

All functions use the convention of :mod:`skwing.geometry`: integer coordinates are pixel
centres, and matrices map source pixels to result pixels. Outside an image, border pixels are
replicated.
"""

import numpy as np
import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._utils.opencv import cv2

_BORDER = cv2.BORDER_REPLICATE


def halve(images):
    """Downsample uint8 images of shape (n, side, side, 3) by two, each pixel is the mean of four.

    A tensor is processed on its device. Its matrix is :func:`skwing.geometry.halving`.
    """
    n, side = images.shape[:2]
    if isinstance(images, torch.Tensor):
        blocks = images.unflatten(2, (side // 2, 2)).unflatten(1, (side // 2, 2))
        # Round half up, as OpenCV does.
        return blocks.sum((2, 4), dtype=torch.int32).add(2).div(4, rounding_mode="floor").byte()
    halves = np.empty((n, side // 2, side // 2, 3), dtype=np.uint8)
    for image, half in zip(images, halves, strict=True):
        cv2.resize(image, half.shape[:2], dst=half, interpolation=cv2.INTER_AREA)
    return halves


def to_device(tensor, device):
    """Copy a tensor to another device, asynchronously for CUDA devices.

    On other devices, an asynchronous copy could read memory that is already freed.
    """
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")


def sample(images, matrices, size, field=None):
    """Sample a batch of squares with bilinear interpolation, each with its own matrix.

    Results are equal on the CPU (by OpenCV, which is several times faster there) and on a GPU
    (in one call for the batch). The memory format is channels-last, in which convolutions
    are fastest on both.

    Parameters
    ----------
    images : sequence of n uint8 arrays of shape (height, width, 3), or one uint8 tensor
        A tensor, of shape (n, height, width, 3), is sampled on its device.
    matrices : float tensor of shape (n, 2, 3)
        From pixels of `images` to pixels of the result.
    size : int
        Side of the result in pixels.
    field : float tensor of shape (n, 2, n_nodes, n_nodes), default=None
        Deformation: offsets, in pixels, from positions in the result to positions in the
        square without deformation. Nodes are evenly spaced from the first to the last pixel;
        offsets are interpolated between them.

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
            cv2.warpAffine(image, matrix, (size, size), out, cv2.INTER_LINEAR, _BORDER)
    else:
        places = _places(matrices, size, field).numpy()
        for image, (x, y), out in zip(images, places, batch, strict=True):
            cv2.remap(image, x, y, cv2.INTER_LINEAR, dst=out, borderMode=_BORDER)
    return torch.from_numpy(batch).permute(0, 3, 1, 2).to(torch.float32).div_(255)


def sample_patches(images, matrices, size):
    """Sample several squares from each image of a batch, see :func:`sample`.

    The matrices, of shape (n, n_patches, 2, 3), map pixels of the images to those of each patch.
    The result is of shape (n, n_patches, 3, size, size).
    """
    n, n_patches = matrices.shape[:2]
    if not isinstance(images, torch.Tensor):
        images = [image for image in images for _ in range(n_patches)]
        return sample(images, matrices.flatten(0, 1), size).unflatten(0, (n, n_patches))
    # All patches of an image are one tall square, so that images are not copied.
    places = _places(matrices.flatten(0, 1).to(images.device), size, None)
    places = places.permute(0, 2, 3, 1).unflatten(0, (-1, n_patches)).flatten(1, 2)
    tall = _bilinear(images.permute(0, 3, 1, 2).to(torch.float32).div_(255), places)
    return tall.unflatten(2, (n_patches, size)).transpose(1, 2)


def _grid_sample(images, matrices, size, field=None):
    places = _places(matrices.to(images.device), size, field).permute(0, 2, 3, 1)
    pixels = images.permute(0, 3, 1, 2).to(torch.float32)
    batch = _bilinear(pixels.div_(255), places)
    return batch.contiguous(memory_format=torch.channels_last)


def _places(matrices, size, field):
    """Positions at which the pixels of squares are sampled, of shape (n, 2, size, size)."""
    n_nodes = size if field is None else field.shape[-1]
    axis = torch.linspace(0, size - 1, n_nodes, device=matrices.device)
    nodes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))
    nodes = nodes[None] if field is None else nodes + field
    inverse = geometry.invert(matrices.to(torch.float32))
    x, y = nodes.flatten(2)[:, :1], nodes.flatten(2)[:, 1:]
    places = inverse[..., :1] * x + inverse[..., 1:2] * y + inverse[..., 2:]
    places = places.unflatten(2, (n_nodes, n_nodes))
    if n_nodes == size:
        return places
    # Linear interpolation and affine maps commute, so nodes are mapped before interpolation.
    return F.interpolate(
        places.contiguous(), size=(size, size), mode="bilinear", align_corners=True
    )


def read_at(maps, points, stride):
    """Sample feature maps at points of the image that they were computed from.

    Differentiable in both arguments. A cell of a map corresponds to a square of `stride`
    pixels, and its centre to the centre of the square.

    Parameters
    ----------
    maps : float tensor of shape (n, n_channels, height, width)
    points : float tensor of shape (n, n_points, 2)
        In image pixels; border cells are replicated outside the map.
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
    return _bilinear(maps, points[:, :, None], stride)[..., 0]


def read_square(maps, places):
    """Sample square maps by bilinear interpolation, in the fewest operations.

    Places, of shape (n, a, b, 2), are in units of half a map: -1 and 1 are its outer edges.
    Outside the map, the nearest border value is returned.
    """
    part = 1 / maps.shape[-1]
    places = places.clamp(part - 1, 1 - part)  # centres of the border pixels
    return F.grid_sample(maps, places, mode="bilinear", align_corners=False)


def _bilinear(maps, points, stride=1):
    """Sample maps (n, c, height, width) at points (n, a, b, 2), see :func:`read_at`."""
    height, width = maps.shape[2:]
    if width == height:  # few operations, and with scalars: GPUs and runtimes run them one by one
        unit = 1 / (width * stride)
        return read_square(maps, points * (2 * unit) + (unit - 1))
    cells = points if stride == 1 else (points + 0.5) / stride - 0.5
    x, y = cells.unbind(-1)
    # Equivalent to padding_mode="border", which is not available on all devices.
    x, y = x.clamp(0, width - 1), y.clamp(0, height - 1)
    # With align_corners=False, -1 and 1 are the outer edges of the border pixels.
    grid = torch.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1)
    return F.grid_sample(maps, grid, mode="bilinear", align_corners=False)
