"""Validation of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.landmarks import FARTHEST, as_numbers

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import Column, Flags, Floats

_LEAST_SIDE = 1e-6  # minimum side for which matrices have finite values


def check_boxes(
    boxes: ArrayLike | Column, n_samples: int, describe: Callable[[int], str] = "sample {}".format
) -> Floats:
    """Validate an array with one box per sample.

    Parameters
    ----------
    boxes : array-like of shape (n_samples, 4)
        ``(x, y, width, height)`` in image pixels. A row of NaN stands for no box.
    n_samples : int
    describe : callable, default="sample {}".format
        Returns the description of a sample for error messages, given its index.

    Returns
    -------
    boxes : ndarray of shape (n_samples, 4)
        A copy, float64.

    Raises
    ------
    ValueError
        If the shape is wrong, or a box has values that are not finite, too large, or no area.

    Examples
    --------
    >>> from skwing._utils.boxes import check_boxes
    >>> check_boxes([[10, 20, 64, 48]], n_samples=1)
    array([[10., 20., 64., 48.]])
    """
    try:
        boxes = np.array(as_numbers(boxes))
    except (TypeError, ValueError) as error:
        raise ValueError(f"boxes must be numbers (x, y, width, height): {error}.") from None
    if boxes.shape != (n_samples, 4):
        raise ValueError(
            f"boxes have shape {boxes.shape}, expected ({n_samples}, 4): x, y, width, height "
            "for each sample."
        )
    absent = np.isnan(boxes).all(axis=1)
    for wrong, expected in (
        (~np.isfinite(boxes).all(axis=1), "finite values, or NaN in all four for no box"),
        ((abs(boxes) > FARTHEST).any(axis=1), f"image pixels, at most {FARTHEST:g} from 0"),
        ((boxes[:, 2:] < _LEAST_SIDE).any(axis=1), "a width and height above 0"),
    ):
        if (wrong := wrong & ~absent).any():
            first = int(np.flatnonzero(wrong)[0])
            raise ValueError(
                f"{describe(first)}: the box (x, y, width, height) is "
                f"{tuple(boxes[first].tolist())}, expected {expected}."
            )
    return boxes


def check_box_inside(box: Floats, image_shape: tuple[int, ...], describe: str) -> Floats:
    """Return the box of a decoded image, or the whole image if the box is NaN.

    Parameters
    ----------
    box : array of shape (4,)
        ``(x, y, width, height)`` in image pixels; NaN for no box.
    image_shape : tuple
        ``(height, width, ...)`` in pixels.
    describe : str
        Description of the sample for error messages, see
        :meth:`skwing.BoxedImages.describe`.

    Returns
    -------
    box : ndarray of shape (4,)
        `box`, or ``(0, 0, width, height)`` of the image if `box` is NaN.

    Raises
    ------
    ValueError
        If the box is outside the image.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._utils.boxes import check_box_inside
    >>> check_box_inside(np.full(4, np.nan), (48, 64, 3), "sample 0")
    array([ 0.,  0., 64., 48.])
    """
    height, width = image_shape[:2]
    if np.isnan(box).any():
        return np.array([0.0, 0.0, width, height])
    x, y, box_width, box_height = box
    if x >= width or y >= height or x + box_width <= 0 or y + box_height <= 0:
        raise ValueError(
            f"{describe}: the box (x, y, width, height) = {tuple(np.asarray(box).tolist())} lies "
            f"outside the image, which is {width} pixels wide and {height} high."
        )
    return np.asarray(box, dtype=np.float64)


def without_box(data: Any, which: Flags) -> str:
    """State which samples have no box: the beginning of a sentence that ends in "no box"."""
    first = int(np.flatnonzero(which)[0])
    if which.sum() == 1:
        return f"{data.describe(first)}, 1 of {len(data)} samples, has"
    return f"{which.sum()} of {len(data)} samples, the first is {data.describe(first)}, have"


def are_whole_images(boxes: Floats, sizes: Floats | None) -> bool:
    """Whether each known box is the whole image, as some formats store images without boxes.

    Parameters
    ----------
    boxes : ndarray of shape (n, 4)
    sizes : ndarray of shape (n, 2) or None
        Width and height of the images; NaN or None if unknown.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._utils.boxes import are_whole_images
    >>> are_whole_images(np.array([[0, 0, 64, 48]]), np.array([[64, 48]]))
    True
    """
    if sizes is None:
        return False
    known = ~np.isnan(boxes).any(axis=1)
    whole = np.concatenate([np.zeros_like(sizes), sizes], axis=1)
    return bool((boxes[known] == whole[known]).all())
