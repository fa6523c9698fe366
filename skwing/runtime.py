"""Predict landmarks with an ONNX file, without PyTorch and scikit-learn.

:class:`OnnxLocalizer` runs a file written by :func:`skwing.export.to_onnx`. This module is one
file that imports NumPy and OpenCV and, when a file is loaded, ONNX Runtime or OpenVINO. The
distribution `skwing-runtime` contains the same file as the module `skwing_runtime`.

:func:`chip_matrix` and :func:`cut_chip` prepare the input of the file for other engines. Training
and `CascadeLandmarkRegressor.predict` cut chips with the same function.
"""

from __future__ import annotations

import functools
import json
import math
import os
import threading
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

try:
    import cv2
except ImportError as error:
    raise ImportError(
        f"skwing requires OpenCV, but `import cv2` failed: {error}. Install `opencv-python`, which "
        "on Debian and Ubuntu needs `apt-get install libgl1 libglib2.0-0`, or "
        "`opencv-python-headless`, which does not.",
        name="cv2",
    ) from error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

__all__ = ["OnnxLocalizer", "chip_matrix", "cut_chip"]

_PORTION = 32  # chips per run of the network; larger batches do not fit into caches
FARTHEST = 1e9  # maximum absolute coordinate in pixels
_LEAST_SIDE = 1e-6  # minimum side of a box


class OnnxLocalizer:
    """Predict landmarks with a file written by :func:`skwing.export.to_onnx`.

    Parameters
    ----------
    path : str or path-like
        Path of the ONNX file.
    engine : {"onnxruntime", "openvino"}, default="onnxruntime"
        Library that runs the file, on the CPU. It must be installed.
    n_threads : int or None, default=1
        Number of threads that compute one call. None leaves the choice to the engine, usually one
        per core. One thread is fastest for single faces, see Notes.

    Attributes
    ----------
    n_landmarks_ : int
        Number of landmarks.
    landmark_names_ : list of str or None
        Names of the landmarks, in the order of the predictions; None if the model has no schema.
    notice_ : str or None
        Terms of use of the weights.
    chip_size_ : int
        Side of the input of the file, in pixels.
    chip_margin_ : float
        Margin of a chip on each side, as a fraction of the longer side of the box.
    box_relation_ : dict or None
        Relation of boxes to landmarks in training, see :func:`skwing.boxes.box_relation`. None if
        the model was trained without boxes, and in files of versions before 0.17.
    metadata_ : dict of str to str
        All metadata of the file.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the engine is not installed.
    ValueError
        If the file is not an ONNX model, or was not written by :func:`skwing.export.to_onnx`.

    Notes
    -----
    The landmarks are those of `predict` with ``retry=False``, up to rounding: see the page on
    deployment. Several threads may call `predict` of one object at once. With ONNX Runtime and
    ``n_threads=1``, each call runs in the thread of its caller, so that calls from several threads
    use several cores. OpenVINO computes such calls one after the other, and loads the file a second
    time for the first batch.

    Examples
    --------
    >>> from skwing.runtime import OnnxLocalizer
    >>> localizer = OnnxLocalizer("landmarks.onnx")  # doctest: +SKIP
    >>> localizer.predict("photo.jpg", [[120, 80, 64, 64]]).shape  # doctest: +SKIP
    (1, 68, 2)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        engine: Literal["onnxruntime", "openvino"] = "onnxruntime",
        n_threads: int | None = 1,
    ) -> None:
        path = os.path.abspath(path)
        if not isinstance(engine, str) or engine not in _ENGINES:
            raise ValueError(f"engine must be one of {', '.join(_ENGINES)}, got {engine!r}.")
        if n_threads is not None and (not isinstance(n_threads, int) or n_threads < 1):
            raise ValueError(f"n_threads must be an integer of 1 or more, or None: {n_threads!r}.")
        if not os.path.isfile(path):
            raise FileNotFoundError(f"there is no file {path}.")
        library = _import_engine(engine)
        try:
            self._engine = _ENGINES[engine](library, path, n_threads)
        except Exception as error:  # OpenVINO lists all nodes
            raise ValueError(f"{path} is no ONNX model for {engine}: {error!s:.500}") from error
        told = self.metadata_ = self._engine.metadata
        if missing := [name for name in ("chip_size", "chip_margin") if name not in told]:
            raise ValueError(
                f"{path} was not written by skwing.export.to_onnx: its metadata have no "
                f"{' and no '.join(missing)}, which state how the input is cut from an image."
            )
        self.chip_size_, self.chip_margin_ = int(told["chip_size"]), float(told["chip_margin"])
        self.landmark_names_: list[str] | None = json.loads(told.get("landmarks", "null"))
        self.notice_: str | None = told.get("notice")
        self.box_relation_: dict[str, Any] | None = json.loads(told.get("box_relation", "null"))
        self.n_landmarks_: int = self._engine.n_landmarks
        self._again = functools.partial(type(self), path, engine=engine, n_threads=n_threads)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._again, ()

    def predict(self, images: Any, boxes: ArrayLike | None = None) -> NDArray[np.float64]:
        """Predict landmarks.

        Parameters
        ----------
        images : image, sequence of images, or BoxedImages
            An image is an array of shape (height, width[, channels]), uint8 or float in [0, 1], in
            the order RGB, or the path of a file. A sequence is a list, or an array of shape
            (n, height, width[, channels]).
        boxes : array-like of shape (4,) or (n, 4), default=None
            ``(x, y, width, height)`` in image pixels; integers are pixel centres. For one image,
            one box or any number of boxes; for a sequence, one box per image. NaN marks a missing
            box. None uses the boxes of `images` if it is a :class:`skwing.BoxedImages` with boxes,
            else whole images.

        Returns
        -------
        points : ndarray of float64 of shape (n_landmarks, 2) or (n, n_landmarks, 2)
            Landmarks ``(x, y)`` in image pixels, for one image without boxes or with a box of shape
            (4,), or for n boxes. NaN where the box is missing, and where the network returns NaN.

        Raises
        ------
        FileNotFoundError, OSError
            If a file cannot be read; the message names the sample.
        TypeError, ValueError
            If an image or a box is invalid; the message names the sample.

        Notes
        -----
        Files are JPEG, PNG, BMP, TIFF or WebP. They are rotated upright according to their EXIF
        orientation. As everywhere in skwing, grey images are converted to three channels and
        transparent pixels are blended with white; 16-bit images and files with several pages raise
        an error. Truncated JPEG files raise an error too, but OpenCV ignores some other kinds of
        damage that :class:`skwing.BoxedImages` detects.

        Memory does not grow with the number of files.
        """
        if hasattr(images, "has_boxes"):  # a BoxedImages
            X, boxes = images, images.boxes if boxes is None and images.has_boxes else boxes
            images = list(map(X.decode, range(len(X)))) if X.paths is None else X.paths
        one = _is_one(images)
        items = [images] if one else _as_items(images)
        table = np.full((len(items), 4), np.nan) if boxes is None else _as_boxes(boxes)
        single = one and (boxes is None or table.ndim == 1)
        table = np.atleast_2d(table) if one else table
        samples = _Samples(items * len(table) if one else items, table)
        points = np.full((len(table), self.n_landmarks_, 2), np.nan)
        rows = np.flatnonzero(~np.isnan(table).any(axis=1) | (boxes is None))
        n_most = self._engine.n_chips or _PORTION
        for part in np.split(rows, range(n_most, len(rows), n_most)) if len(rows) else ():
            points[part] = self._predict_some(samples, part)
        return points[0] if single else points

    def _predict_some(self, samples: _Samples, rows: NDArray[np.intp]) -> NDArray[np.float64]:
        """Landmarks of the samples in `rows`, in image pixels."""
        size = self.chip_size_
        chips = np.zeros((self._engine.n_chips or len(rows), size, size, 3), np.uint8)
        matrices = np.empty((len(rows), 2, 3))
        for k, i in enumerate(rows.tolist()):
            image = samples.image(i)
            box = check_box_inside(samples.boxes[i], image.shape, samples.describe(i))
            matrices[k] = chip_matrix(box, size, self.chip_margin_)
            chips[k] = cut_chip(image, matrices[k], size)
        points = self._engine.run(chips)[: len(rows)].astype(np.float64)
        return (points - matrices[:, None, :, 2]) / matrices[:, None, :1, 0]


# --- Engines, each with a thread-safe `run` of `n_chips` chips; None stands for any number.


def _import_engine(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        told = f"engine={name!r} needs {name}: `pip install {name}`. The import gave: {error}."
        raise ImportError(told, name=name) from error


class _OnnxRuntime:
    def __init__(self, library: Any, path: str, n_threads: int | None) -> None:
        options = library.SessionOptions()
        options.intra_op_num_threads = n_threads or 0
        session = library.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)
        (inputs,), outputs = session.get_inputs(), session.get_outputs()
        self.n_chips = inputs.shape[0] if isinstance(inputs.shape[0], int) else None
        self.n_landmarks = outputs[0].shape[1]
        self.run = lambda chips: session.run(None, {inputs.name: chips})[0]


class _OpenVino:
    def __init__(self, library: Any, path: str, n_threads: int | None) -> None:
        # By default, some processors compute in bfloat16, which rounds coordinates to pixels.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": n_threads or 0}
        model = library.Core().read_model(path)
        told = model.get_rt_info(["framework"]).value if model.has_rt_info("framework") else {}
        self.metadata = {name: str(text) for name, text in told.items()}
        self.n_landmarks = model.output(0).partial_shape[1].get_length()
        shape = model.input(0).partial_shape
        self.n_chips = shape[0].get_length() if shape[0].is_static else None
        # Files of skwing 0.10, which do not tell the precision, are wrong in batches.
        self._has_batches = self.n_chips is None and "precision" in self.metadata
        if self.n_chips is None:
            shape[0] = 1  # faster for single chips
            model.reshape(shape)
        self._one = library.compile_model(model, "CPU", settings)
        self._many = functools.cache(lambda: library.compile_model(path, "CPU", settings))
        self._own = threading.local()

    def run(self, chips: NDArray[np.uint8]) -> NDArray[np.float32]:
        is_many = self._has_batches and len(chips) > 1
        requests = self._own.__dict__.setdefault("requests", {})  # not to be shared by threads
        if is_many not in requests:
            requests[is_many] = (self._many() if is_many else self._one).create_infer_request()
        parts = [chips] if is_many else np.split(chips, len(chips) // (self.n_chips or 1))
        return np.concatenate([requests[is_many].infer([part])[0] for part in parts])


_ENGINES: dict[str, Any] = {"onnxruntime": _OnnxRuntime, "openvino": _OpenVino}


# --- Chips. Plain numbers: arrays of two numbers would take ten times as long.


def chip_matrix(box: ArrayLike, size: int, margin: float) -> NDArray[np.float64]:
    """Matrix from image pixels to the pixels of the chip of a box.

    A chip is a square with the centre of the box. Its side is the longer side of the box, extended
    by a margin on each side.

    Parameters
    ----------
    box : array-like of shape (4,)
        ``(x, y, width, height)`` in image pixels; integers are pixel centres.
    size : int
        Side of the chip, in pixels.
    margin : float
        Margin on each side, as a fraction of the longer side of the box.

    Returns
    -------
    matrix : ndarray of shape (2, 3)
        A scale and a translation.

    Examples
    --------
    >>> from skwing.runtime import chip_matrix
    >>> chip_matrix([10, 20, 8, 8], size=16, margin=0)
    array([[  2. ,   0. , -19.5],
           [  0. ,   2. , -39.5]])
    """
    x, y, width, height = np.asarray(box, dtype=np.float64).tolist()
    scale = size / (max(width, height) * (1 + 2 * margin))
    middle = (size - 1) / 2
    shift_x = middle - scale * (x + (width - 1) / 2)
    shift_y = middle - scale * (y + (height - 1) / 2)
    return np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])


def cut_chip(image: NDArray[np.uint8], matrix: NDArray[np.float64], size: int) -> NDArray[np.uint8]:
    """Cut a chip from an image without aliasing.

    If the image is downsampled, pixels are averaged over areas first, because bilinear
    interpolation reads only four pixels. Outside the image, border pixels are replicated.

    Parameters
    ----------
    image : uint8 array of shape (height, width, 3)
    matrix : array of shape (2, 3)
        Scale and translation only, from image pixels to pixels of the chip, see
        :func:`chip_matrix`.
    size : int
        Side of the chip in pixels.

    Returns
    -------
    chip : uint8 array of shape (size, size, 3)

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.runtime import chip_matrix, cut_chip
    >>> image = np.arange(16, dtype=np.uint8).reshape(4, 4)[..., None].repeat(3, 2)
    >>> cut_chip(image, chip_matrix([0, 0, 4, 4], size=2, margin=0), 2)[..., 0]  # means of four
    array([[ 3,  5],
           [11, 13]], dtype=uint8)
    """
    (scale, _, shift_x), (_, _, shift_y) = np.asarray(matrix, dtype=np.float64).tolist()
    spans = _blocks if scale < 1 else _pixels
    # Edges of the chip, in pixels from the edges of the image.
    edge_x, edge_y = (
        -0.5 * (scale / (scale * scale)) - shift * scale / (scale * scale) + 0.5
        for shift in (shift_x, shift_y)
    )
    left, right, width = spans(edge_x, 1 / scale, size, image.shape[1])
    top, bottom, height = spans(edge_y, 1 / scale, size, image.shape[0])
    part = image[top:bottom, left:right]
    if scale < 1:
        part = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    # From image pixels to pixels of the part: p -> s p + t. Resizing keeps the edges.
    s_x, s_y = width / (right - left), height / (bottom - top)
    t_x, t_y = (0.5 - left) * s_x - 0.5, (0.5 - top) * s_y - 0.5
    det = s_x * s_y
    row_x = [scale * (s_y / det), 0.0, scale * (-t_x * s_y / det) + shift_x]
    row_y = [0.0, scale * (s_x / det), scale * (-s_x * t_y / det) + shift_y]
    to_chip = np.array([row_x, row_y])
    return cv2.warpAffine(part, to_chip, (size, size), borderMode=cv2.BORDER_REPLICATE)


# Consider a square whose edge is `start` pixels from the edge of the image and whose pixels are
# `step` image pixels wide. These functions return the range of image pixels for it (first and
# end), and the number of pixels to resize them to. Bilinear interpolation reads one pixel
# outside the square.


def _pixels(start: float, step: float, size: int, length: int) -> tuple[int, int, int]:
    first = min(max(math.floor(start) - 2, 0), length - 1)
    end = max(min(math.ceil(start + size * step) + 2, length), first + 1)
    return first, end, end - first


def _blocks(start: float, step: float, size: int, length: int) -> tuple[int, int, int]:
    # Blocks are aligned with the pixel grid of the square, up to whole pixels: less blur.
    first = max(math.ceil(-start / step - 1e-6), -2)
    n_blocks = max(min(math.floor((length - start) / step + 1e-6), size + 2) - first, 1)
    low = min(max(round(start + first * step), 0), length - 1)
    high = max(min(round(start + (first + n_blocks) * step), length), low + 1)
    return low, high, n_blocks


# --- Samples: images and boxes.


def _is_one(images: Any) -> bool:
    """Whether this is one image instead of a sequence."""
    if isinstance(images, np.ndarray) and images.dtype.kind not in "OUS":
        return images.ndim == 2 or (images.ndim == 3 and images.shape[-1] in (1, 3, 4))
    return isinstance(images, (str, bytes, os.PathLike))


def _as_items(images: Sequence[Any]) -> list[Any]:
    if hasattr(images, "__len__") and np.iterable(images) and not hasattr(images, "columns"):
        return list(images)
    expected = "an image (an array or a file path), or a sequence of images, with boxes as boxes="
    raise TypeError(f"images is of type {type(images).__name__}, expected {expected}.")


def _as_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    try:
        return np.array(boxes, np.float64) if np.size(boxes) else np.empty((0, 4))
    except (TypeError, ValueError) as error:
        raise ValueError(f"boxes must be numbers (x, y, width, height): {error}.") from None


def check_box_values(boxes: NDArray[np.float64], describe: Callable[[int], str]) -> None:
    """Raise an error that names the first sample whose box is invalid; NaN stands for no box."""
    absent = np.isnan(boxes).all(axis=1)
    for wrong, expected in (
        (~np.isfinite(boxes).all(axis=1), "finite values, or NaN in all four for no box"),
        ((abs(boxes) > FARTHEST).any(axis=1), f"image pixels, at most {FARTHEST:g} from 0"),
        ((boxes[:, 2:] < _LEAST_SIDE).any(axis=1), "a width and height above 0"),
    ):
        if (wrong & ~absent).any():
            first = int(np.flatnonzero(wrong & ~absent)[0])
            raise ValueError(
                f"{describe(first)}: the box (x, y, width, height) is "
                f"{tuple(boxes[first].tolist())}, expected {expected}."
            )


def check_box_inside(
    box: NDArray[np.float64], image_shape: tuple[int, ...], describe: str
) -> NDArray[np.float64]:
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
    >>> from skwing.runtime import check_box_inside
    >>> check_box_inside(np.full(4, np.nan), (48, 64, 3), "sample 0")
    array([ 0.,  0., 64., 48.])
    """
    height, width = image_shape[:2]
    x, y, box_width, box_height = numbers = np.asarray(box).tolist()
    if any(map(math.isnan, numbers)):
        return np.array([0.0, 0.0, width, height])
    if x >= width or y >= height or x + box_width <= 0 or y + box_height <= 0:
        raise ValueError(
            f"{describe}: the box (x, y, width, height) = {tuple(numbers)} lies "
            f"outside the image, which is {width} pixels wide and {height} high."
        )
    return np.asarray(box, dtype=np.float64)


class _Samples:
    """Images with boxes. Images that follow each other and are the same are read once."""

    def __init__(self, items: list[Any], boxes: NDArray[np.float64]) -> None:
        self._items, self.boxes = items, boxes
        self._last: tuple[int, NDArray[np.uint8]] | None = None
        if boxes.shape != (len(items), 4):
            expected = f"({len(items)}, 4): x, y, width, height for each sample"
            raise ValueError(f"boxes have shape {boxes.shape}, expected {expected}.")
        check_box_values(boxes, self.describe)

    def describe(self, i: int) -> str:
        """Description of a sample for error messages."""
        path = self._path(i)
        return f"sample {i}" if path is None else f"sample {i} ({path})"

    def image(self, i: int) -> NDArray[np.uint8]:
        """RGB image of a sample, uint8 of shape (height, width, 3)."""
        if self._last is None or not self._is_same(i, self._last[0]):
            path, describe = self._path(i), self.describe(i)
            if path is None:
                self._last = i, as_rgb(as_uint8(check_array(self._items[i], describe), describe))
            else:
                self._last = i, _read_image(path, describe)
        return self._last[1]

    def _path(self, i: int) -> str | None:
        may_be = isinstance(self._items[i], (str, bytes, os.PathLike))  # bytes also of an image
        return path if may_be and "\0" not in (path := os.fsdecode(self._items[i])) else None

    def _is_same(self, i: int, j: int) -> bool:
        path = self._path(i)
        return path == self._path(j) if path is not None else self._items[i] is self._items[j]


def check_array(image: Any, describe: str) -> NDArray[Any]:
    """Return the array of an image, or raise an error if it is none."""
    if not isinstance(image, np.ndarray):
        raise TypeError(
            f"{describe} is {image!r:.60} of type {type(image).__name__}, expected a numpy "
            "array (height, width[, channels]) or a file path."
        )
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (1, 3, 4)):
        raise ValueError(
            f"{describe} is an array of shape {image.shape}, expected (height, width) or "
            "(height, width, channels) with 1, 3 or 4 channels."
        )
    if image.size == 0:
        raise ValueError(f"{describe} is an array of shape {image.shape}: no pixels.")
    check_dtype(image.dtype, describe)
    return image


def check_dtype(dtype: np.dtype[Any], describe: str) -> None:
    """Raise an error for images that are neither uint8 nor float."""
    if dtype != np.uint8 and dtype.kind != "f":
        raise ValueError(
            f"{describe}: the image is of dtype {dtype}, expected uint8 or float in [0, 1]. "
            "Choose the relevant range of grey levels and rescale it to uint8."
        )


def as_uint8(image: NDArray[Any], describe: str) -> NDArray[np.uint8]:
    """Convert uint8, or float in [0, 1], to uint8."""
    check_dtype(image.dtype, describe)
    if image.dtype == np.uint8:
        return image
    low, high = image.min(), image.max()
    # Tolerate rounding errors of resizing; larger values have another range. NaN fails too.
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        found = "NaN" if np.isnan(low) else f"values from {low:g} to {high:g}"
        expected = "float images must lie in [0, 1]"
        hint = "Images in [0, 255] should be passed as uint8."
        raise ValueError(f"{describe}: {expected}, found {found}. {hint}")
    return np.round(np.clip(image, 0, 1) * 255).astype(np.uint8)


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Convert to three channels: grey is repeated, transparency is blended with white."""
    if image.ndim == 2 or image.shape[2] == 1:
        return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_GRAY2RGB)
    return np.ascontiguousarray(image) if image.shape[2] == 3 else on_white(image)


def on_white(image: NDArray[np.uint8], is_multiplied: bool = False) -> NDArray[np.uint8]:
    """Convert RGBA to RGB by blending with white, as viewers do.

    Constant alpha, as in arrays with an unused fourth channel, is ignored.
    """
    colors, alpha = image[..., :3], image[..., 3:]
    if alpha.min() == alpha.max():
        return np.ascontiguousarray(colors)
    colors, alpha = colors.astype(np.uint16), alpha.astype(np.uint16)
    shown = colors * 255 if is_multiplied else colors * alpha
    return np.minimum((shown + 255 * (255 - alpha) + 127) // 255, 255).astype(np.uint8, order="C")


# --- Files: formats by their first bytes.
_BY_START = {b"\xff\xd8\xff": "JPEG", b"\x89PNG": "PNG", b"BM": "BMP", b"RIFF": "WebP"}
_BY_START |= dict.fromkeys([b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"], "TIFF")


def _read_image(path: str, describe: str) -> NDArray[np.uint8]:
    """Decode a file to RGB, upright according to its EXIF orientation."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{describe}: this is a folder or a device, expected an image file.")
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise type(error)(f"{describe}: the file cannot be read: {error}.") from None
    kind = next((kind for start, kind in _BY_START.items() if data.startswith(start)), None)
    if kind is None:
        told = "expected a JPEG, PNG, BMP, TIFF or WebP file. Decode others and pass an array."
        raise ValueError(f"{describe}: {told}")
    # OpenCV decodes in part. The end marker of a JPEG follows the last scan, unlike a preview's.
    ends = {"JPEG": data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda"), "PNG": b"IEND" in data}
    if not ends.get(kind, True):
        raise ValueError(f"{describe}: the {kind} file is damaged: it is truncated.")
    if kind in ("TIFF", "WebP", "PNG") and cv2.imcount(path) > 1:
        told = "several pages or frames, expected one image. Save the intended one"
        raise ValueError(f"{describe}: the {kind} file contains {told} to a separate file.")
    # ANYDEPTH: otherwise OpenCV silently reduces 16 bits to 8.
    image = as_uint8(imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH, describe), describe)
    is_clear = kind == "PNG" and (data[25] & 4 or b"tRNS" in data[: data.find(b"IDAT")])
    if is_clear or kind in ("TIFF", "WebP"):
        # UNCHANGED keeps transparency, but does not apply the orientation.
        stored = as_uint8(imdecode(data, cv2.IMREAD_UNCHANGED, describe), describe)
        if stored.shape[2:] == (4,):
            if kind == "TIFF" or not np.array_equal(stored[..., :3], image):
                raise ValueError(
                    f"{describe}: transparent pixels of {kind} files with an EXIF orientation, and "
                    "of TIFF files, are not read. Decode the image and pass an array."
                )
            return on_white(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA))
    return as_rgb(image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def imdecode(data: bytes, flags: int, describe: str) -> NDArray[Any]:
    """Decode the content of a file by OpenCV; the error names the sample."""
    try:
        image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), flags)
    except cv2.error as error:
        raise ValueError(f"{describe}: the image cannot be decoded: {error.err}.") from error
    if image is None:
        raise ValueError(f"{describe}: the file is damaged, or not an image that OpenCV can read.")
    return image
