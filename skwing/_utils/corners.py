"""Detection of boxes given as corners, (x1, y1, x2, y2), by the sizes of their images."""

import numpy as np


def boxes_as_corners(boxes, sizes, describe):
    """Detect boxes that extend far outside their images, but would not as corners.

    Parameters
    ----------
    boxes : array of shape (n, 4)
    sizes : array of shape (n, 2)
        Width and height of each image.
    describe : callable

    Returns
    -------
    message : str or None
    """
    beyond = reaches_beyond(boxes, sizes, 1.25)
    if not fit_as_corners(boxes, sizes) or beyond.mean() < 0.5:
        return None
    first = int(np.flatnonzero(beyond)[0])
    what = f"lie inside of their images, which {beyond.sum()} of {len(boxes)} leave by far"
    return corners_message(describe(first), boxes[first], sizes[first], what)


def reaches_beyond(boxes, sizes, factor):
    """Mask of the boxes that extend beyond `factor` times the size of their image."""
    return (boxes[:, :2] + boxes[:, 2:] > factor * sizes + 1).any(1)


def fit_as_corners(boxes, sizes):
    """Whether nearly all boxes are inside their images if read as corners."""
    fits = (boxes[:, 2:] > boxes[:, :2]).all(1) & (boxes[:, 2:] <= 1.02 * sizes + 1).all(1)
    return len(boxes) > 0 and fits.mean() >= 0.95


def corners_message(sample, box, size, what):
    """Message about boxes that may be corners, with one sample as an example."""
    return (
        f"the boxes would {what} if they were read as corners, (x1, y1, x2, y2): a box is (x, y, "
        f"width, height). {sample} has {rounded(box)} in an image of {rounded(size)} pixels. If "
        "these are corners, subtract: boxes[:, 2:] -= boxes[:, :2]"
    )


def rounded(values):
    """Numbers with two decimals, for messages."""
    return tuple(round(float(value), 2) for value in values)
