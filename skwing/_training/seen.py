"""Marks of the training samples, by which a model recognises them later.

A mark is a number that depends on the landmarks of a sample and on its image, but not on its box.
Copies of a sample have the same mark, and others practically never do.
"""

import hashlib

import numpy as np

from skwing._utils.warnings import warn_of_data
from skwing.images._identity import image_marks

_MOST = 4096  # marks that a model keeps; of more samples, the same number of them at random


def marks_of(samples):
    """Marks of samples, an int64 array of shape (n,).

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> from skwing._training.samples import Samples
    >>> from skwing._training.seen import marks_of
    >>> images = BoxedImages(np.arange(192, dtype=np.uint8).reshape(3, 8, 8))
    >>> samples = Samples(images, np.arange(12.0).reshape(3, 2, 2))
    >>> bool((marks_of(samples[[2, 0]]) == marks_of(samples)[[2, 0]]).all())
    True
    """
    images = _numbers(image_marks(samples.data))
    return _of_shapes(samples.points) | images


def _of_shapes(points):
    """The upper half of the bits of marks, which depends on the landmarks."""
    points = np.float32(points) + np.float32(0)  # float32, as y may be; no -0.0
    points[np.isnan(points)] = np.nan
    return _numbers(shape.tobytes() for shape in points) << 32


def _numbers(parts):
    """Numbers of 32 bits for bytes, an int64 array."""
    digests = b"".join(hashlib.blake2b(part, digest_size=4).digest() for part in parts)
    return np.frombuffer(digests, "<u4").astype(np.int64)


def kept_marks(samples, before=None):
    """Marks of training samples for the fitted state of a regressor, an int64 array.

    `before` are those of the samples that the weights at the beginning were trained on, if known.
    Of too many, the lowest marks are kept: they depend on the samples only.
    """
    rows = np.argsort(_of_shapes(samples.points), kind="stable")[:_MOST]
    marks = marks_of(samples[rows])  # opens no more files than needed
    return np.unique(marks if before is None else np.concatenate([before, marks]))[:_MOST]


def told_of_seen(samples, marks):
    """Statement how many samples were used for training; None if no such sample is known."""
    if marks is None:
        return None
    likely = np.isin(_of_shapes(samples.points) >> 32, marks >> 32)
    n_seen = int(np.isin(marks_of(samples[likely]), marks).sum())
    if not n_seen:
        return None
    least = "at least " if len(marks) >= _MOST else ""
    return f"{least}{n_seen} of {len(samples)} samples were used for training"


def warn_of_seen(samples, marks):
    """Warn if held-out samples were used for training, see :func:`told_of_seen`."""
    if told := told_of_seen(samples, marks):
        warn_of_data(
            f"calibrate: {told}. Errors on them are smaller than on new samples, so that standard "
            "deviations are too low and confidences too high: pass held-out samples"
        )
