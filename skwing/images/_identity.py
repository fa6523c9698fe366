"""What identifies an image without decoding it, for stores of what is derived from images."""

from __future__ import annotations

import hashlib
import math
import os
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skwing.images._boxed_images import BoxedImages

_REMEMBERED = 4096  # number of images, of which several samples in sequence are common
_N_BYTES = 16
_MOST_PIXELS, _MOST_BYTES = 256, 1024  # of an array or of a file, for a mark


def sample_keys(data: BoxedImages) -> NDArray[np.void]:
    """Key of each sample, which differs if its image or its box does.

    A file is identified by its absolute path, its size and the time of its last modification,
    an array by its content.

    Parameters
    ----------
    data : BoxedImages

    Returns
    -------
    keys : array of 16 bytes, of shape (n,)

    Raises
    ------
    FileNotFoundError, OSError, ValueError
        If a file does not exist or cannot be read; names the sample.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> from skwing.images._identity import sample_keys
    >>> keys = sample_keys(BoxedImages([np.zeros((9, 9)), np.zeros((9, 9)), np.ones((9, 9))]))
    >>> bool(keys[0] == keys[1]), bool(keys[0] == keys[2])
    (True, False)
    """
    source, index = data._store
    of_file = lru_cache(_REMEMBERED)(_of_file)
    of_array = lru_cache(_REMEMBERED)(lambda row: _of_array(source[row]))
    boxes = data.boxes
    keys = np.empty(len(data), dtype=f"V{_N_BYTES}")
    for i, row in enumerate(index.tolist()):
        item = source[row] if source.dtype == object else None
        if isinstance(item, str):
            try:
                image = of_file(item)
            except (OSError, ValueError):
                data.decode(i)  # raises an error that names the sample
                raise
        else:
            image = of_array(row)
        box = b"" if np.isnan(boxes[i, 0]) else boxes[i].tobytes()
        keys[i] = _digest(image, box)
    return keys


def images_digest(data: BoxedImages) -> str:
    """Digest of the images of all samples, in their order, without boxes and repeats.

    An array is identified by its content, a file only by its size, since it may have been moved.

    Parameters
    ----------
    data : BoxedImages

    Returns
    -------
    digest : str

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> from skwing.images._identity import images_digest
    >>> images = BoxedImages(np.arange(128, dtype=np.uint8).reshape(2, 8, 8))
    >>> images_digest(images) == images_digest(images[[0, 1]])
    True
    >>> images_digest(images) == images_digest(images[[1, 0]])
    False
    """
    source, index = data._store
    total = hashlib.blake2b(digest_size=_N_BYTES)
    for row in index.tolist():
        item = source[row]
        total.update(_of_size(item) if isinstance(item, str) else _of_array(item))
    return total.hexdigest()


def image_marks(data: BoxedImages) -> list[bytes]:
    """Marks of the image of each sample that take little time, without its box.

    Different images may have the same mark: that of a file is its size and a part in its middle,
    that of an array some of its pixels.

    Parameters
    ----------
    data : BoxedImages

    Returns
    -------
    marks : list of bytes

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> from skwing.images._identity import image_marks
    >>> marks = image_marks(BoxedImages([np.zeros((9, 9)), np.zeros((9, 9)), np.ones((9, 9))]))
    >>> marks[0] == marks[1], marks[0] == marks[2]
    (True, False)
    """
    source, index = data._store
    items = (source[row] for row in index.tolist())
    return [_of_middle(item) if isinstance(item, str) else _of_some(item) for item in items]


def _of_middle(path: str) -> bytes:
    """Digest of the size of a file and a part of its content."""
    try:
        if not os.path.isfile(path):  # reading others may wait forever
            return _digest(b"missing")
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size // 2)
            return _digest(b"middle", str(size).encode(), file.read(_MOST_BYTES))
    except (OSError, ValueError):  # is reported where the image is read
        return _digest(b"missing")


def _of_some(image: NDArray[Any]) -> bytes:
    """Digest of the pixels in some of the rows and columns of an array."""
    height, width = image.shape[:2]
    step = max(1, math.ceil(math.sqrt(height * width / _MOST_PIXELS)))
    kind = repr((image.shape, image.dtype.str)).encode()
    return _digest(kind, image[::step, ::step].tobytes())


def _of_size(path: str) -> bytes:
    try:
        return _digest(b"size", str(os.stat(path).st_size).encode())
    except (OSError, ValueError):  # is reported where the image is read
        return _digest(b"missing")


def _of_file(path: str) -> bytes:
    found = os.stat(path)
    state = f"\0{found.st_size}\0{found.st_mtime_ns}"
    return _digest(b"file", os.fsencode(os.path.abspath(path)), state.encode())


def _of_array(image: NDArray[Any]) -> bytes:
    return _digest(b"array", repr((image.shape, image.dtype.str)).encode(), image.tobytes())


def _digest(*parts: bytes) -> bytes:
    joined = hashlib.blake2b(digest_size=_N_BYTES)
    for part in parts:
        joined.update(part)
    return joined.digest()
