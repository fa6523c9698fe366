"""The part of an image round its box, small enough to be drawn."""

from dataclasses import dataclass

import numpy as np

from skwing._utils.boxes import check_box_inside


@dataclass(frozen=True)
class Crop:
    """Pixels, and where in their image they lie.

    Attributes
    ----------
    pixels : ndarray of shape (height, width, 3)
        RGB, uint8.
    extent : tuple of float
        Left, right, bottom and top edge in pixels of the image, as ``imshow`` takes it.
    """

    pixels: np.ndarray
    extent: tuple


def cut_crop(images, i, points=None, margin=0.25, max_size=400):
    """Cut one sample's box with a margin out of its image.

    Parameters
    ----------
    images : BoxedImages
    i : int
    points : ndarray of shape (n_landmarks, 2), default=None
        In image pixels, NaN = missing; the crop is widened to show them.
    margin : float, default=0.25
        On each side, as a fraction of the longer side of the box.
    max_size : int, default=400
        Where the longer side has twice as many pixels or more, blocks are averaged.

    Returns
    -------
    crop : Crop

    Raises
    ------
    ValueError, FileNotFoundError
        As :meth:`skwing.BoxedImages.decode`, and if the box lies outside the image.
    """
    image = images.decode(i)
    x, y, width, height = check_box_inside(images.boxes[i], image.shape, images.describe(i))
    pad = margin * max(width, height)
    corners = np.array([[x - pad, y - pad], [x + width + pad - 1, y + height + pad - 1]])
    if points is not None:
        known = points[~np.isnan(points).any(-1)]
        corners = np.concatenate([corners, known])
    last = np.array(image.shape[1::-1]) - 1
    left, top = np.clip(np.floor(corners.min(0)), 0, last).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(0)), 0, last).astype(int)
    pixels = image[top : bottom + 1, left : right + 1]
    step = max(1, max(pixels.shape[:2]) // max_size)
    pixels = _averaged(pixels, min(step, *pixels.shape[:2]))
    rows, columns = (step * n for n in pixels.shape[:2])
    return Crop(pixels, (left - 0.5, left + columns - 0.5, top + rows - 0.5, top - 0.5))


def _averaged(pixels, step):
    """Means of blocks; rows and columns that fill no block are cut off."""
    if step == 1:
        return pixels.copy()  # not to keep the whole image alive
    rows, columns = (n // step for n in pixels.shape[:2])
    blocks = pixels[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    return blocks.mean((1, 3)).round().astype(np.uint8)


def show_crop(ax, crop, **keywords):
    """Draw a crop in the pixel coordinates of its image, without ticks."""
    ax.imshow(crop.pixels, extent=crop.extent, interpolation="bilinear", **keywords)
    ax.set(xlim=crop.extent[:2], ylim=crop.extent[2:], xticks=[], yticks=[])
