"""Frames of video files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from skwing._utils.files import there_is_no
from skwing._utils.opencv import cv2
from skwing._utils.warnings import warn_caller

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from skwing._utils.types import FilePath

_UNSURE = 0.05  # tolerance for the number of frames that a video file states, as a fraction


def read_video(path: FilePath) -> Iterator[NDArray[np.uint8]]:
    """Iterate over the frames of a video file.

    Parameters
    ----------
    path : str or PathLike
        Path of the video file.

    Yields
    ------
    frame : ndarray of shape (height, width, 3)
        RGB, uint8.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If OpenCV cannot read the file as a video.

    Warns
    -----
    UserWarning
        If there are clearly fewer frames than the file states, because it is truncated or
        damaged.

    Examples
    --------
    >>> from skwing.tracking import read_video
    >>> for frame in read_video("clip.mp4"):  # doctest: +SKIP
    ...     print(frame.shape)
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{there_is_no(f'video file {path}', path)}.")
    if os.path.isdir(path):
        raise ValueError(f"{path}: this is a folder, expected a video file.")
    video = cv2.VideoCapture(path)
    if not video.isOpened():
        raise ValueError(f"{path} is damaged, or not a video that OpenCV can read.")
    return _frames_of(video, path)


def _frames_of(video: Any, path: str) -> Iterator[NDArray[np.uint8]]:
    n_stated, n_frames = video.get(cv2.CAP_PROP_FRAME_COUNT), 0
    try:
        while (frame := video.read()[1]) is not None:
            n_frames += 1
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        video.release()
    # Some files state no number of frames, and some only a duration.
    if n_frames < n_stated - max(2, _UNSURE * n_stated):
        warn_caller(
            f"{path}: found {n_frames} frames, expected {n_stated:.0f} as stated in the file: it "
            "is truncated or damaged.",
        )
