"""Width and height of image files from their headers, without decoding."""

import os
import stat

import numpy as np

from skwing.images._decode import no_such_file, read_image
from skwing.images._headers import read_header


def image_sizes(paths, describe):
    """Width and height of image files; each file is read once.

    Parameters
    ----------
    paths : sequence of str
    describe : callable
        Returns the description of a file for error messages, given its index.

    Returns
    -------
    sizes : ndarray of shape (n, 2)
        Integers, as float64.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, or is not an image.
    """
    known = {}
    for i, path in enumerate(paths):
        if path not in known:
            known[path] = image_size(path, describe(i))
    return np.array([known[path] for path in paths], dtype=np.float64).reshape(-1, 2)


def image_size(path, describe):
    """Width and height of the image as decoded by BoxedImages, rotated upright.

    For most formats, only the header is read. Other formats, and files with unusual headers,
    are decoded.
    """
    try:
        # read_image rejects files that are not regular; opening them here could block.
        is_file = stat.S_ISREG(os.stat(path).st_mode)
        header = None
        if is_file:
            with open(path, "rb") as file:
                header = read_header(file)
    except FileNotFoundError:
        raise no_such_file(path, describe) from None
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{describe}: it cannot be read: {error}, expected an image file."
        ) from None
    if header is None or min(header.shown_size) <= 0:
        height, width = read_image(path, describe).shape[:2]
        return width, height
    return header.shown_size
