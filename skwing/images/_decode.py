"""Decode files and convert arrays to 8-bit RGB images."""

from __future__ import annotations

import io
import os
import re
from typing import TYPE_CHECKING

import numpy as np
import simplejpeg
from joblib import cpu_count

from skwing._utils.files import read_bytes, there_is_no
from skwing._utils.opencv import cv2
from skwing.images._headers import read_header
from skwing.runtime import (
    as_rgb,
    as_uint8,
    check_array,
    check_dtype,
    imdecode,
    on_white,
)

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from skwing.images._headers import Header
    from skwing.images._types import SourceLike

# Limit for files, checked in the header before decoding: a small file can decode to gigabytes.
MAX_PIXELS = 200_000_000

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wmv"})

# Some encoders write a few bytes of padding before the end marker.
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_PADDING = 3

# Transforms from the stored to the displayed image, by EXIF orientation, starting from 1.
_FLIP_X, _FLIP_Y, _TRANSPOSE = (
    lambda image: cv2.flip(image, 1),
    lambda image: cv2.flip(image, 0),
    lambda image: cv2.transpose(image),
)
_TURNS = (
    (),
    (_FLIP_X,),
    (_FLIP_X, _FLIP_Y),
    (_FLIP_Y,),
    (_TRANSPOSE,),
    (_TRANSPOSE, _FLIP_X),
    (_TRANSPOSE, _FLIP_X, _FLIP_Y),
    (_TRANSPOSE, _FLIP_Y),
)

_EXPECTED = (
    "expected an array of images (n, height, width) or (n, height, width, 3), a list of image "
    "arrays or of file paths, a DataFrame with a path column, or a BoxedImages"
)


def no_such_file(path: str, describe: str) -> FileNotFoundError:
    """Error about a missing image, which names a file that differs in upper and lower case."""
    folder, name = os.path.split(path)
    stem, suffix = os.path.splitext(name)
    others = (stem + suffix.lower(), stem + suffix.upper(), name.lower(), name.upper())
    other = next((o for o in others if os.path.exists(os.path.join(folder, o))), None)
    if other is not None:
        told = f"There is {other!r}, in upper and lower case unlike {name!r}."
        return FileNotFoundError(f"{describe}: there is no such file. {told}")
    error = FileNotFoundError(f"{describe}: {there_is_no('such file', path)}.")
    if folder and os.path.isdir(folder):
        error.add_note("If a reader returned this path, pass it the folder of the images.")
    return error


def _read_file(path: str, describe: str) -> bytes:
    """Read a file, with errors that name the sample."""
    try:
        data = read_bytes(path)
    except FileNotFoundError:
        raise no_such_file(path, describe) from None
    except OSError as error:
        raise OSError(f"{describe}: the file cannot be read: {error}.") from error
    except ValueError as error:  # not a regular file, or an invalid name
        if "\0" in str(path):
            raise OSError(f"{describe}: the file cannot be read: {error}.") from None
        what = str(error).removeprefix(f"{path}: ").removesuffix(" a file.")
        raise ValueError(f"{describe}: {what} an image file.") from None
    if not data:
        raise ValueError(f"{describe}: the file is empty, expected an image.")
    return data


def _check_header(header: Header, describe: str) -> None:
    """Reject images that are too large, or that OpenCV decodes differently from viewers."""
    _check_n_pixels(header.width, header.height, describe)
    if header.is_cut:
        raise ValueError(f"{describe}: the {header.kind} file is damaged: it is truncated.")
    if header.n_images > 1:
        raise ValueError(
            f"{describe}: the {header.kind} file contains several pages or frames, expected one "
            "image. Save the intended one to a separate file."
        )
    if header.changes:
        raise ValueError(
            f"{describe}: according to its header, this {header.kind} image is displayed "
            f"{' and '.join(header.changes)}, which OpenCV does not support. Save it as PNG or "
            "JPEG."
        )


def _check_n_pixels(width: int, height: int, describe: str) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{describe}: the image has {width} x {height} pixels, expected at most "
            f"{MAX_PIXELS:,}. Crop or resize it, or pass an array."
        )


def read_image(path: str, describe: str) -> NDArray[np.uint8]:
    """Decode a file to RGB, rotated upright according to its EXIF orientation."""
    data = _read_file(path, describe)
    header = read_header(io.BytesIO(data))
    if header is not None:
        _check_header(header, describe)
        if header.kind == "JPEG":
            return _decode_jpeg(data, header, describe)
    elif os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES:
        raise ValueError(f"{describe}: this is a video; skwing.tracking.read_video reads frames.")
    has_alpha = header is not None and header.has_alpha
    # ANYDEPTH: otherwise OpenCV silently reduces 16 bits to 8. ANYCOLOR: it cannot decode grey
    # float files as colour. UNCHANGED keeps alpha, but does not apply the orientation.
    flags = cv2.IMREAD_UNCHANGED if has_alpha else cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
    image = imdecode(data, flags, describe)
    _check_n_pixels(*image.shape[1::-1], describe)
    image = as_uint8(image, describe)
    if image.ndim == 2:
        return as_rgb(image)
    if image.shape[2] != 4:
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    image = cv2.cvtColor(image, cv2.COLOR_BGRA2RGBA)
    if header is not None and header.kind == "TIFF":
        # libtiff applies the orientation in any case, and returns premultiplied colours.
        return on_white(image, is_multiplied=True)
    return on_white(image if header is None else _turn(image, header.orientation))


def _decode_jpeg(data: bytes, header: Header, describe: str) -> NDArray[np.uint8]:
    """Decode a JPEG file strictly; OpenCV would silently fill damaged parts.

    libjpeg warns of most kinds of damage: truncated scans, invalid codes, trailing bytes.
    simplejpeg turns these warnings into errors, and returns the same pixels as OpenCV.
    """
    try:
        space = simplejpeg.decode_jpeg_header(data)[2]
        target = {"Gray": "GRAY", "CMYK": "CMYK", "YCCK": "CMYK"}.get(space, "RGB")
        image = _decode_strictly(data, target)
    except ValueError as error:
        raise ValueError(f"{describe}: the JPEG file is damaged: {error}.") from None
    if target == "CMYK":
        image = imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, describe)
        image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    return _turn(as_rgb(image), header.orientation)


def _decode_strictly(data: bytes, target: str) -> NDArray[np.uint8]:
    try:
        return simplejpeg.decode_jpeg(data, target)
    except ValueError as error:
        left_over = _LEFT_OVER.search(str(error))
        if left_over is None or int(left_over[1]) > _PADDING:
            raise
    return simplejpeg.decode_jpeg(data, target, strict=False)


def _turn(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Apply the EXIF orientation to an image as stored."""
    for turn in _TURNS[orientation - 1]:
        image = turn(image)
    return image


def _check_stack(images: NDArray[Any]) -> NDArray[Any]:
    """Validate an array of images; a common mistake is to pass a single image."""
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
    check_dtype(images.dtype, "sample 0, like all of X")
    return np.asarray(images)


def _check_item(item: Any, number: int) -> str | NDArray[Any]:
    """Validate an item: an image array, or a path, which is converted to str."""
    if type(item) is str:
        return item
    is_content = isinstance(item, bytes) and b"\0" in item
    if isinstance(item, (str, bytes, os.PathLike)) and not is_content:
        return str(os.fsdecode(item))
    try:
        return check_array(item, f"sample {number}")
    except (TypeError, ValueError) as error:
        raise type(error)(f"{error}{_conversion_of(item)}") from None


def _conversion_of(image: Any) -> str:
    """Advice on how to convert an image of another library, or an empty text."""
    if isinstance(image, bytes):
        return " Decode it: cv2.imdecode(np.frombuffer(data, np.uint8), 1)[..., ::-1]."
    if hasattr(image, "getexif"):  # Pillow
        return " Convert it: np.asarray(ImageOps.exif_transpose(image).convert('RGB'))."
    if hasattr(image, "has_boxes"):  # a BoxedImages
        return " skwing.images.concatenate joins several BoxedImages."
    if hasattr(image, "detach"):
        return " Convert it, with the channels last: tensor.permute(1, 2, 0).cpu().numpy()."
    if isinstance(image, np.ndarray) and image.ndim == 3 and image.shape[2] not in (1, 3, 4):
        return " Move the channels last: image.transpose(1, 2, 0)." * (len(image) in (1, 3, 4))
    if image is None:
        return " cv2.imread returns None for a file that it cannot read."
    return ""


def _conversion_of_all(images: Any) -> str:
    """Advice on how to convert a batch of another library or an iterator, or an empty text."""
    if hasattr(images, "detach"):
        return " Convert it, with the channels last: tensor.permute(0, 2, 3, 1).cpu().numpy()."
    if hasattr(images, "getexif"):
        return f" For one image, pass a list.{_conversion_of(images)}"
    return " Convert it: list(X)." if hasattr(images, "__next__") else ""


def as_source(images: SourceLike) -> NDArray[Any]:
    """Convert to an array (n, height, width[, channels]) or an object array of items."""
    if isinstance(images, (str, bytes, os.PathLike)):
        told = f"X is the single path {str(images)!r:.400}: pass a list of paths"
        if os.path.isdir(images):
            told += ". It is a folder: pass sorted(Path(folder).glob('*.jpg')) or similar"
        raise TypeError(f"{told}.")
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        return _check_stack(images)
    if hasattr(images, "columns"):
        raise TypeError("images is a DataFrame: skwing.images.as_boxed_images reads its columns.")
    # Accept sequences and pandas or polars Series, but not generators, which have no length.
    if not (isinstance(images, (list, tuple, np.ndarray)) or hasattr(images, "to_numpy")):
        told = f"X is of type {type(images).__name__}, {_EXPECTED}."
        raise TypeError(told + _conversion_of_all(images))
    if isinstance(images, np.ndarray):
        if images.ndim != 1:
            raise ValueError(
                f"X is an array of shape {images.shape} of {images.dtype}, expected one path or "
                "image per sample, in one dimension."
            )
        images = images.tolist()
    items = (_check_item(item, number) for number, item in enumerate(images))
    # np.array would stack image arrays of equal shape.
    return np.fromiter(items, dtype=object, count=len(images))


def decoding_threads() -> int:
    """Number of threads for decoding images."""
    return min(8, cpu_count() or 1)
