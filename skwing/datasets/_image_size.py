"""Width and height of image files from their first bytes, without decoding."""

import os
import struct

import numpy as np

from skwing._decode import read_image

__all__ = ["image_size", "image_sizes"]

# Start-of-frame markers of JPEG; C4, C8 and CC are others.
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_WIDTH, _HEIGHT, _ORIENTATION = 256, 257, 274  # tags of TIFF, and of the EXIF in a JPEG


def image_sizes(paths, describe):
    """Width and height of files, each looked at once.

    Parameters
    ----------
    paths : sequence of str
    describe : callable
        Gives the words for the file of a number, in errors.

    Returns
    -------
    sizes : ndarray of shape (n, 2)
        Whole numbers, float64.

    Raises
    ------
    FileNotFoundError, ValueError
        If a file is missing, or no image.
    """
    known = {}
    for i, path in enumerate(paths):
        if path not in known:
            known[path] = image_size(path, describe(i))
    return np.array([known[path] for path in paths], dtype=np.float64).reshape(-1, 2)


def image_size(path, describe):
    """Width and height of the image as BoxedImages decodes it: turned upright.

    The header of PNG, JPEG, BMP and TIFF files is read; of others, and of those with
    something out of the ordinary in their header, the whole is decoded.
    """
    try:
        with open(path, "rb") as file:
            start = file.read(30)
            size = None
            for magic, read in _READERS:
                if start.startswith(magic):
                    size = read(file, start)
    except FileNotFoundError:
        raise FileNotFoundError(f"{describe}: there is no such file.") from None
    except (struct.error, OverflowError):  # the file ends within its header
        size = None
    except (OSError, ValueError) as error:
        what = "this is a folder" if os.path.isdir(path) else f"it cannot be read: {error}"
        raise ValueError(f"{describe}: {what}, expected an image file.") from None
    if size is None or min(size) <= 0:
        height, width = read_image(path, describe).shape[:2]
        return width, height
    return size


def _png(file, start):
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            return struct.unpack(">II", start[16:24])
        if kind == b"eXIf":  # may turn the image
            return None
        file.seek(length + 4, os.SEEK_CUR)
    return None


def _jpeg(file, start):
    file.seek(2)
    turned = False
    while (byte := file.read(1)) == b"\xff":
        while byte == b"\xff":
            byte = file.read(1)
        (length,) = struct.unpack(">H", file.read(2))
        if byte[0] in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return (height, width) if turned else (width, height)
        if byte[0] == 0xE1 and (segment := file.read(length - 2)).startswith(b"Exif\0\0"):
            orientation = _tags(segment[6:]).get(_ORIENTATION, 1)
            if not 1 <= orientation <= 8:
                return None
            turned = orientation >= 5
        elif byte[0] != 0xE1:
            file.seek(length - 2, os.SEEK_CUR)
    return None


def _bmp(file, start):
    header, width, height = struct.unpack("<Iii", start[14:26])
    return (width, abs(height)) if header >= 40 else None


def _tiff(file, start):
    file.seek(0)
    tags = _tags(file.read(8), file)
    plain = tags.get(_ORIENTATION, 1) == 1
    return (tags[_WIDTH], tags[_HEIGHT]) if plain and {_WIDTH, _HEIGHT} <= tags.keys() else None


def _tags(data, file=None):
    """Short and long numbers in the first directory of a TIFF file or block."""
    order = "<" if data[:2] == b"II" else ">"
    (offset,) = struct.unpack(order + "4xI", data[:8])
    if file is not None:
        file.seek(offset)
        data, offset = file.read(2 + 12 * 512), 0
    (count,) = struct.unpack_from(order + "H", data, offset)
    tags = {}
    for i in range(min(count, 512)):
        place = offset + 2 + 12 * i
        tag, kind, number = struct.unpack_from(order + "HHI", data, place)
        if kind in (3, 4) and number == 1:
            form = "H" if kind == 3 else "I"
            (tags[tag],) = struct.unpack_from(order + form, data, place + 8)
    return tags


_READERS = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"\xff\xd8\xff", _jpeg),
    (b"BM", _bmp),
    (b"II*\0", _tiff),
    (b"MM\0*", _tiff),
)
