"""Digest of images, which tells whether data are the same as before."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from skwing.images._boxed_images import BoxedImages

__all__ = ["images_digest"]


def images_digest(images: BoxedImages) -> str:
    """Digest of the images of all samples, in their order, without boxes and repeats.

    Of arrays, all pixels count; of files, only their sizes, since they may have been moved.

    Parameters
    ----------
    images : BoxedImages

    Returns
    -------
    digest : str

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> from skwing.images._digest import images_digest
    >>> images = BoxedImages(np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    >>> images_digest(images) == images_digest(images[[0, 1]])
    True
    >>> images_digest(images) == images_digest(images[[1, 0]])
    False
    """
    source, index = images._store
    total = hashlib.sha256()
    for i in index.tolist():
        item = source[i]
        if isinstance(item, str):
            total.update(f"file of {_size(item)} bytes;".encode())
            continue
        array = np.ascontiguousarray(item)
        total.update(f"array {array.shape} {array.dtype};".encode())
        total.update(array.data)
    return total.hexdigest()


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:  # is reported where the image is read
        return -1
