"""Thumbnails: excerpts of images around their boxes, for plots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skwing.runtime import check_box_inside

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from skwing._utils.types import Floats
    from skwing.images import BoxedImages


@dataclass(frozen=True)
class Thumbnail:
    """Excerpt of an image, and its position in the image.

    Attributes
    ----------
    pixels : ndarray of shape (height, width, 3)
        RGB, uint8.
    extent : tuple of float
        Left, right, bottom and top edge in image pixels, as for ``imshow``.
    """

    pixels: NDArray[np.uint8]
    extent: tuple[float, float, float, float]


def make_thumbnail(
    images: BoxedImages,
    i: int,
    points: Floats | None = None,
    margin: float = 0.25,
    max_size: int = 400,
) -> Thumbnail:
    """Cut the box of a sample, with a margin, from its image.

    Parameters
    ----------
    images : BoxedImages
    i : int
    points : ndarray of shape (n_landmarks, 2), default=None
        In image pixels, NaN = missing; the excerpt is extended to include them.
    margin : float, default=0.25
        Margin on each side, as a fraction of the longer side of the box.
    max_size : int, default=400
        If the longer side has at least twice as many pixels, blocks are averaged.

    Returns
    -------
    thumbnail : Thumbnail

    Raises
    ------
    ValueError, FileNotFoundError
        See :meth:`skwing.BoxedImages.decode`; also if the box is outside the image.
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
    return Thumbnail(pixels, (left - 0.5, left + columns - 0.5, top + rows - 0.5, top - 0.5))


def _averaged(pixels: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    """Means of blocks; incomplete blocks at the edges are dropped."""
    if step == 1:
        return pixels.copy()  # a view would keep the whole image in memory
    rows, columns = (n // step for n in pixels.shape[:2])
    blocks = pixels[: rows * step, : columns * step].reshape(rows, step, columns, step, 3)
    return blocks.mean((1, 3)).round().astype(np.uint8)


def show_thumbnail(ax: Any, thumbnail: Thumbnail, **keywords: Any) -> None:
    """Draw a thumbnail in the pixel coordinates of its image, without ticks."""
    extent = thumbnail.extent
    ax.imshow(thumbnail.pixels, extent=extent, interpolation="bilinear", **keywords)
    ax.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[])
