"""From arrays and files of many kinds to RGB pixels of 8 bits."""

import os

import numpy as np

from skwing._cv2 import cv2

__all__ = ["as_rgb", "as_source", "as_uint8", "read_image"]

_EXPECTED = (
    "expected an array of images (n, height, width) or (n, height, width, 3), a list of image "
    "arrays or of file paths, a DataFrame with a path column, or a BoxedImages"
)


def _jpeg_is_cut_short(data):
    """Whether a JPEG stream ends before its end-of-image marker.

    OpenCV 4 fills what is missing with grey and says nothing, so a download that broke off
    would train and predict on a blank half.
    """
    raw, position = data.tobytes(), 2
    while position + 4 <= len(raw) and raw[position] == 0xFF:
        if raw[position + 1] == 0xFF:  # padding between segments
            position += 1
            continue
        if raw[position + 1] == 0xDA:  # start of scan: in what follows FFD9 is the end, only
            return raw.find(b"\xff\xd9", position) < 0
        position += 2 + int.from_bytes(raw[position + 2 : position + 4], "big")
    return True


def _read_file(path, describe):
    """Bytes of a file, as an array; np.fromfile takes any file name on any system."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise FileNotFoundError(f"{describe}: there is no such file.") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        if os.path.isdir(path):
            raise ValueError(f"{describe}: this is a folder, expected an image file.") from None
        raise OSError(f"{describe}: the file cannot be read: {error}.") from error
    if data.size == 0:
        raise ValueError(f"{describe}: the file is empty, expected an image.")
    return data


def read_image(path, describe):
    """Decode a file to RGB, turned upright as its EXIF orientation says."""
    data = _read_file(path, describe)
    try:
        # Any depth: otherwise OpenCV would reduce 16 bits to 8 without a word. Any colour:
        # it cannot read grey float files as colours.
        image = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error as error:
        raise ValueError(f"{describe}: the image cannot be decoded: {error.err}.") from error
    if image is None:
        raise ValueError(f"{describe}: the file is broken, or not an image that OpenCV reads.")
    if data[:3].tobytes() == b"\xff\xd8\xff" and _jpeg_is_cut_short(data):
        raise ValueError(f"{describe}: the file is broken: its JPEG data end too early.")
    image = as_uint8(image, describe)
    return as_rgb(image) if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def _check_dtype(dtype, describe):
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(
            f"{describe}: the image is of dtype {dtype}, expected uint8 or float in [0, 1]. "
            "Which of its grey levels matter is for you to say: rescale it to uint8."
        )


def as_uint8(image, describe):
    """8 bits from 8 bits or from float in [0, 1]."""
    _check_dtype(image.dtype, describe)
    if image.dtype == np.uint8:
        return image
    low, high = image.min(), image.max()
    # Resizing overshoots by rounding; anything more is another range. NaN fails as well.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise ValueError(
            f"{describe}: float images must lie in [0, 1], found values from {low:g} to "
            f"{high:g}. Images in [0, 255] should be passed as uint8."
        )
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def as_rgb(image):
    """Three channels: grey is repeated, alpha dropped."""
    if image.ndim == 2:
        image = image[..., None]
    if image.shape[2] == 1:
        return np.repeat(image, 3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def _check_stack(images):
    """Check an array of all images; the usual slip is one image in place of many."""
    shape, channels = images.shape, images.shape[-1] if images.ndim else 0
    single = images.ndim == 3 and channels in (1, 3, 4)
    if single or images.ndim == 2:
        raise ValueError(
            f"X is an array of shape {shape}, {_EXPECTED}. For one image, pass a list with "
            "that image, or image[None]."
        )
    if images.ndim == 4 and channels not in (1, 3, 4):
        hint = " Move the channels last: X.transpose(0, 2, 3, 1)." if shape[1] in (1, 3, 4) else ""
        raise ValueError(
            f"X is an array of shape {shape}, expected 1, 3 or 4 channels in the last axis.{hint}"
        )
    if images.ndim not in (3, 4):
        raise ValueError(f"X is an array of shape {shape}, {_EXPECTED}.")
    if 0 in shape[1:]:
        raise ValueError(f"X is an array of shape {shape}: its images have no pixels.")
    _check_dtype(images.dtype, "sample 0, like all of X")
    return np.asarray(images)


def _check_item(item, number):
    """One image array, or one path as a str."""
    if type(item) is str:
        return item
    if isinstance(item, (str, bytes, os.PathLike)):
        return str(os.fsdecode(item))
    if not isinstance(item, np.ndarray):
        raise TypeError(
            f"sample {number} is {item!r:.60} of type {type(item).__name__}, expected a numpy "
            "array (height, width[, channels]) or a file path."
        )
    if item.ndim not in (2, 3) or (item.ndim == 3 and item.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"sample {number} is an array of shape {item.shape}, expected (height, width) or "
            "(height, width, channels) with 1, 3 or 4 channels."
        )
    if item.size == 0:
        raise ValueError(f"sample {number} is an array of shape {item.shape}: no pixels.")
    _check_dtype(item.dtype, f"sample {number}")
    return item


def as_source(images):
    """Array (n, height, width[, channels]), or object array of paths and image arrays."""
    if isinstance(images, (str, bytes, os.PathLike)):
        raise TypeError(f"X is the single path {str(images)!r}: pass a list of paths.")
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        return _check_stack(images)
    if hasattr(images, "columns"):
        raise TypeError("images is a DataFrame: skwing.images.as_boxed_images reads its columns.")
    # A pandas or polars Series; a generator would be used up by counting.
    if not (isinstance(images, (list, tuple, np.ndarray)) or hasattr(images, "to_numpy")):
        raise TypeError(f"X is of type {type(images).__name__}, {_EXPECTED}.")
    if isinstance(images, np.ndarray):
        if images.ndim != 1:
            raise ValueError(
                f"X is an array of shape {images.shape} of {images.dtype}, expected one path or "
                "image per sample, in one dimension."
            )
        images = images.tolist()
    items = (_check_item(item, number) for number, item in enumerate(images))
    # fromiter, as np.array would stack image arrays of equal shape.
    return np.fromiter(items, dtype=object, count=len(images))
