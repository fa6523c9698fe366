"""Validation of boxes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.box_columns import box_columns, corner_columns
from skwing._utils.landmarks import as_numbers
from skwing.runtime import check_box_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import Column, Flags, Floats


def check_boxes(
    boxes: ArrayLike | Column, n_samples: int, describe: Callable[[int], str] = "sample {}".format
) -> Floats:
    """Validate an array with one box per sample.

    Parameters
    ----------
    boxes : array-like of shape (n_samples, 4)
        ``(x, y, width, height)`` in image pixels. A row of NaN stands for no box. Columns of a
        DataFrame are in this order, whatever their names.
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
        If the shape is wrong, columns of a DataFrame are named as corners or in another order,
        or a box has values that are not finite, too large, or no area.

    Examples
    --------
    >>> from skwing._utils.boxes import check_boxes
    >>> check_boxes([[10, 20, 64, 48]], n_samples=1)
    array([[10., 20., 64., 48.]])
    """
    if hasattr(boxes, "columns"):
        _check_columns([str(name) for name in boxes.columns])
    try:
        boxes = np.array(as_numbers(boxes))
    except (TypeError, ValueError) as error:
        told = "boxes must be numbers (x, y, width, height), NaN in all four for no box"
        raise ValueError(f"{told}: {error}.") from None
    if boxes.shape != (n_samples, 4):
        raise ValueError(
            f"boxes have shape {boxes.shape}, expected ({n_samples}, 4): x, y, width, height "
            "for each sample."
        )
    check_box_values(boxes, describe)
    return boxes


def _check_columns(names: list[str]) -> None:
    """Check that the columns of a DataFrame are not named as corners, or in another order."""
    order = box_columns(names)
    shown = f"boxes has the columns {', '.join(map(repr, names))}"
    if order and order != tuple(range(len(names))):
        raise ValueError(
            f"{shown}, and columns are read as x, y, width, height: expected them in this order, "
            f"as in boxes[[{', '.join(repr(names[i]) for i in order)}]]."
        )
    # Names with a prefix, too; numbered names, as x1, need one.
    if not order and (corner_columns(names) or corner_columns([f"box_{name}" for name in names])):
        raise ValueError(f"{shown}, which look like corners: expected x, y, width, height.")


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
    whole = (boxes[:, :2] == 0).all(axis=1) & (boxes[:, 2:] == sizes).all(axis=1)
    return bool(whole[known].all())
