"""Detectors in the form that `detect_boxes` calls: RGB pixels in, boxes out."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from skwing._utils.checks import Number, check_table, count
from skwing._utils.opencv import cv2

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.checks import Constraint
    from skwing._utils.types import FilePath, Floats

__all__ = ["Detector", "SkimageCascade", "YuNet"]

_WINDOW = 24  # pixels; a cascade's smallest window, as good as all were trained with it


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
    """Any function that finds boxes in an image, for type checkers.

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
        """Boxes in one image.

        Parameters
        ----------
        image : ndarray of shape (height, width, 3)
            RGB, uint8.

        Returns
        -------
        boxes : array-like of shape (k, 4) or (k, 5), or None
            ``(x, y, width, height)`` in image pixels, and a score where it has one; None is
            no box.
        """


@dataclass(frozen=True)
class SkimageCascade:
    """Cascade of local binary patterns, as scikit-image runs it.

    scikit-image brings a cascade for upright frontal faces, so that it needs no download.
    It misses faces that are turned and takes some other things for faces: of 60 faces of
    AFW (300-W), each in a crop of its own, it finds 50, and in 42 of the crops its largest
    box is the face. Its boxes are squares about as large as those around the 68 landmarks,
    but lie higher by 0.16 of their side. For more than a first trial use a better detector,
    such as :class:`YuNet`.

    Parameters
    ----------
    file : str or os.PathLike, default=None
        A cascade of local binary patterns in OpenCV's XML format, for other objects;
        cascades of Haar features are not read. None takes scikit-image's own.
    min_size : float, default=0.15
        Side of the smallest box to look for, as a fraction of the image's shorter side.
        The time goes with the inverse square.
    scale_factor : float, default=1.1
        Each size is so many times the one before; above 1.
    step_ratio : float, default=1.25
        Step between neighbouring places, in the pixels of the cascade's window of 24.
    min_neighbors : int, default=3
        How many raw detections have to agree on a box.
    max_side : int, default=640
        Images with a longer side are shrunk to it before the search.

    Raises
    ------
    ImportError
        If scikit-image is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no such cascade, or a parameter is out of range.

    Notes
    -----
    It gives no scores. The search runs on one thread, as the order in which threads
    finish would change what is grouped into a box; `n_jobs` of :func:`detect_boxes`
    shares out the images.

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
            ``(x, y, width, height)`` in image pixels.
        """
        cascade, threads = _loaded(self)
        small, factor = _shrunk(image, self.max_side)
        longest = min(small.shape[:2])
        if longest <= _WINDOW:
            return np.empty((0, 4))
        shortest = max(_WINDOW, self.min_size * longest)
        with threads.limit(limits=1, user_api="openmp"):
            # By position, as the last one's name was respelled between versions.
            found = cascade.detect_multi_scale(
                small,
                self.scale_factor,
                self.step_ratio,
                (shortest, shortest),
                (longest, longest),
                self.min_neighbors,
            )
        boxes = [(box["c"], box["r"], box["width"], box["height"]) for box in found]
        return np.array(boxes, dtype=np.float64).reshape(-1, 4) * factor

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
        except Exception as error:  # many kinds, whatever its reading of the XML runs into
            raise ValueError(
                f"{file}: expected a cascade of local binary patterns in OpenCV's XML format; "
                f"reading it gave {type(error).__name__}: {error}"
            ) from error
        return cascade, ThreadpoolController()


@dataclass(frozen=True)
class YuNet:
    """OpenCV's face detector YuNet (``cv2.FaceDetectorYN``), with a model file of yours.

    The model, ``face_detection_yunet_*.onnx`` of 0.2 MB, is published by OpenCV in its
    "model zoo"; nothing is downloaded here. It finds turned and partly hidden faces, and
    its boxes are upright rectangles from the forehead to the chin.

    Parameters
    ----------
    model_file : str or os.PathLike
    score_threshold : float, default=0.9
        Least score of a detection, as in OpenCV. Lower ones find more, which does no harm
        where detections are matched to known faces.
    nms_threshold : float, default=0.3
        Of detections that overlap by more (intersection over union), one is kept.
    top_k : int, default=5000
        How many detections are looked at before that.
    max_side : int, default=640
        Images with a longer side are shrunk to it: the network was trained with faces of
        about 10 to 300 pixels, and misses those that are much larger.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
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
    """The model of a detector, loaded once a thread.

    It is kept beside the detector, which so remains a value that pickles, and OpenCV's
    models cannot be shared by threads.
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
    """Replace the settings of a frozen detector by plain values."""
    for name, value in vars(check_table(table, detector)).items():
        object.__setattr__(detector, name, value)


def _shrunk(image: NDArray[np.uint8], max_side: int) -> tuple[NDArray[Any], float]:
    """Image with its longer side at most so long, and the factor back to its pixels.

    Boxes are measured between the edges of pixels, so they need the factor only.
    """
    height, width = image.shape[:2]
    factor = max(height, width) / max_side
    if factor <= 1:
        return image, 1.0
    size = (max(1, round(width / factor)), max(1, round(height / factor)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), factor
