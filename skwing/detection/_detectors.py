"""Detectors for `detect_boxes`, which take an RGB image and return boxes."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from skwing._utils.checks import Number, check_table, count
from skwing._utils.opencv import cv2
from skwing.boxes import box_overlaps

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.checks import Constraint
    from skwing._utils.types import FilePath, Floats

_WINDOW = 24  # size of the smallest window in pixels; nearly all cascades are trained with it


_SKIMAGE_SETTINGS = {
    "min_size": Number(0, 1, ends="(]"),
    "scale_factor": Number(1, ends="(]"),
    "step_ratio": Number(0, ends="(]"),
    "min_neighbors": count(0),
    "max_side": count(_WINDOW),
}
_YUNET_SETTINGS = {
    "score_threshold": Number(0, 1),
    "nms_threshold": Number(0, 1),
    "top_k": count(),
    "max_side": count(_WINDOW),
}


class Detector(Protocol):
    """Protocol of detectors: any function that finds boxes in an image.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.detection import Detector, detect_boxes
    >>> def upper_half(image):
    ...     height, width, _ = image.shape
    ...     return [[0, 0, width, height // 2]]
    >>> detector: Detector = upper_half  # what a type checker verifies
    >>> detect_boxes(np.zeros((1, 8, 6, 3), dtype=np.uint8), detector).boxes
    array([[0., 0., 6., 4.]])
    """

    def __call__(self, image: NDArray[np.uint8], /) -> ArrayLike | None:
        """Find boxes in one image.

        Parameters
        ----------
        image : ndarray of shape (height, width, 3)
            RGB, uint8.

        Returns
        -------
        boxes : array-like of shape (k, 4) or (k, 5), or None
            ``(x, y, width, height)`` in image pixels, optionally with a score; None if there
            are no boxes.
        """


@dataclass(frozen=True)
class SkimageCascade:
    """Cascade of local binary patterns, from scikit-image.

    scikit-image includes a cascade for upright frontal faces, so no download is needed. It
    misses rotated faces and has false detections: of 60 faces of AFW (300-W), each in a
    separate crop, it finds 50, and in 42 of the crops its largest box is the face. Its boxes
    are squares of about the same size as the bounding boxes of the 68 landmarks, but shifted
    up by 0.16 of their side. For other purposes than first experiments, use a better
    detector, such as :class:`YuNet`.

    Parameters
    ----------
    file : str or os.PathLike, default=None
        A cascade of local binary patterns in OpenCV's XML format, for other objects;
        cascades of Haar features are not supported. None uses that of scikit-image.
    min_size : float, default=0.15
        Side of the smallest box, as a fraction of the image's shorter side. The time is
        proportional to its inverse square.
    scale_factor : float, default=1.1
        Ratio between consecutive sizes of boxes; above 1.
    step_ratio : float, default=1.25
        Step between neighbouring positions, in pixels of the cascade's window of 24 pixels.
    min_neighbors : int, default=3
        Minimum number of raw detections that are merged into a box.
    max_side : int, default=640
        Images with a longer side are downsampled to this size before detection.

    Raises
    ------
    ImportError
        If scikit-image is not installed.
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not such a cascade, or a parameter is out of range.

    Notes
    -----
    There are no scores. The detection uses a single thread, because the grouping of raw
    detections depends on the order in which threads finish. Use `n_jobs` of
    :func:`detect_boxes` to process images in parallel.

    References
    ----------
    Liao et al., Learning Multi-scale Block Local Binary Patterns for Face Recognition,
    ICB 2007.

    Examples
    --------
    >>> from skwing.detection import SkimageCascade
    >>> detector = SkimageCascade(min_size=0.3)  # doctest: +SKIP
    >>> detector(photo)  # doctest: +SKIP
    array([[ 84.,  61., 146., 146.]])
    """

    file: FilePath | None = None
    min_size: float = 0.15
    scale_factor: float = 1.1
    step_ratio: float = 1.25
    min_neighbors: int = 3
    max_side: int = 640

    def __post_init__(self) -> None:
        _set_checked(self, _SKIMAGE_SETTINGS)
        _loaded(self)

    def __call__(self, image: NDArray[np.uint8]) -> Floats:
        """Detect in one image.

        Parameters
        ----------
        image : ndarray of shape (height, width, 3)
            RGB, uint8.

        Returns
        -------
        boxes : ndarray of shape (k, 4)
            ``(x, y, width, height)`` in image pixels. Of boxes that overlap by 0.3
            (intersection over union) or more, only the largest, as they are of one object.
        """
        cascade, threads = _loaded(self)
        small, factor = _shrunk(image, self.max_side)
        longest = min(small.shape[:2])
        if longest <= _WINDOW:
            return np.empty((0, 4))
        shortest = max(_WINDOW, self.min_size * longest)
        with threads.limit(limits=1, user_api="openmp"):
            # Positional arguments, because a name changed between versions.
            found = cascade.detect_multi_scale(
                small,
                self.scale_factor,
                self.step_ratio,
                (shortest, shortest),
                (longest, longest),
                self.min_neighbors,
            )
        boxes = [(box["c"], box["r"], box["width"], box["height"]) for box in found]
        return _distinct(np.array(boxes, dtype=np.float64).reshape(-1, 4) * factor)

    def _load(self) -> Any:
        try:
            from skimage.data import lbp_frontal_face_cascade_filename
            from skimage.feature import Cascade
        except ImportError as error:
            raise ImportError(
                "the default detector is scikit-image's: `pip install scikit-image`, or pass a "
                "detector, such as skwing.detection.YuNet(model_file) or any function of an RGB "
                f"image that returns boxes (x, y, width, height). The import gave: {error}.",
                name="skimage",
            ) from error
        from threadpoolctl import ThreadpoolController

        file = lbp_frontal_face_cascade_filename() if self.file is None else _existing(self.file)
        try:
            cascade = Cascade(file)
        except Exception as error:  # scikit-image raises many kinds of errors for invalid XML
            raise ValueError(
                f"{file}: expected a cascade of local binary patterns in OpenCV's XML format; "
                f"reading it gave {type(error).__name__}: {error}"
            ) from error
        return cascade, ThreadpoolController()


def _distinct(boxes: Floats, max_overlap: float = 0.3) -> Floats:
    """Boxes that overlap no larger one, in their order."""
    kept: list[int] = []
    overlaps = box_overlaps(boxes, boxes)
    for i in np.argsort(-boxes[:, 2] * boxes[:, 3], kind="stable").tolist():
        if (overlaps[i, kept] < max_overlap).all():
            kept.append(i)
    return boxes[sorted(kept)]


@dataclass(frozen=True)
class YuNet:
    """OpenCV's face detector YuNet (``cv2.FaceDetectorYN``), with a local model file.

    The model, ``face_detection_yunet_*.onnx`` of 0.2 MB, is published in the "model zoo" of
    OpenCV; it is not downloaded automatically. It finds rotated and partly occluded faces,
    and its boxes are upright rectangles from the forehead to the chin.

    Parameters
    ----------
    model_file : str or os.PathLike
        Path of the model.
    score_threshold : float, default=0.9
        Minimum score of a detection, as in OpenCV. Use lower values to find more faces if
        detections are matched to known faces.
    nms_threshold : float, default=0.3
        Threshold of non-maximum suppression: of detections with a larger overlap
        (intersection over union), only one is kept.
    top_k : int, default=5000
        Maximum number of detections before non-maximum suppression.
    max_side : int, default=640
        Images with a longer side are downsampled to this size. The network was trained with
        faces of about 10 to 300 pixels and misses much larger ones.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If OpenCV cannot read the model.

    References
    ----------
    Wu, Peng, Yu, YuNet: A Tiny Millisecond-level Face Detector, Machine Intelligence
    Research 2023.

    Examples
    --------
    >>> from skwing.detection import YuNet, detect_boxes
    >>> detector = YuNet("face_detection_yunet_2023mar.onnx")  # doctest: +SKIP
    >>> found = detect_boxes(faces.data, detector, target=faces.target)  # doctest: +SKIP
    """

    model_file: FilePath
    score_threshold: float = 0.9
    nms_threshold: float = 0.3
    top_k: int = 5000
    max_side: int = 640

    def __post_init__(self) -> None:
        _set_checked(self, _YUNET_SETTINGS)
        _loaded(self)

    def __call__(self, image: NDArray[np.uint8]) -> Floats:
        """Detect in one image.

        Parameters
        ----------
        image : ndarray of shape (height, width, 3)
            RGB, uint8.

        Returns
        -------
        boxes : ndarray of shape (k, 5)
            ``(x, y, width, height, score)`` in image pixels.
        """
        network = _loaded(self)
        small, factor = _shrunk(image, self.max_side)
        height, width = small.shape[:2]
        network.setInputSize((width, height))
        _, faces = network.detect(cv2.cvtColor(small, cv2.COLOR_RGB2BGR))
        if faces is None:
            return np.empty((0, 5))
        # Columns 4 to 13 are five landmarks.
        faces = np.asarray(faces, dtype=np.float64)[:, [0, 1, 2, 3, 14]]
        faces[:, :4] *= factor
        return faces

    def _load(self) -> Any:
        file = _existing(self.model_file)
        try:
            return cv2.FaceDetectorYN.create(
                file,
                "",
                (320, 320),
                score_threshold=self.score_threshold,
                nms_threshold=self.nms_threshold,
                top_k=self.top_k,
            )
        except cv2.error as error:
            raise ValueError(f"{file}: OpenCV cannot load it as a YuNet model: {error}") from error


def _loaded(detector: SkimageCascade | YuNet) -> Any:
    """The model of a detector, loaded once per thread.

    It is cached outside the detector, which can therefore be pickled. Each thread has its own
    model, because models of OpenCV cannot be shared between threads.
    """
    return _load_once(detector, threading.get_ident())


@lru_cache(maxsize=16)
def _load_once(detector: SkimageCascade | YuNet, _thread: int) -> Any:
    return detector._load()


def _existing(file: FilePath) -> str:
    file = os.fspath(file)
    if not os.path.isfile(file):
        raise FileNotFoundError(f"there is no file {file}.")
    return file


def _set_checked(detector: object, table: Mapping[str, Constraint]) -> None:
    """Validate the parameters of a frozen detector and convert them to plain values."""
    for name, value in vars(check_table(table, detector)).items():
        object.__setattr__(detector, name, value)


def _shrunk(image: NDArray[np.uint8], max_side: int) -> tuple[NDArray[Any], float]:
    """Downsample an image to a maximum side; also return the factor to its original pixels.

    Boxes extend between edges of pixels, so multiplication by the factor is sufficient.
    """
    height, width = image.shape[:2]
    factor = max(height, width) / max_side
    if factor <= 1:
        return image, 1.0
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor
