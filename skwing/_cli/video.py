"""Files of ``skwing track``: the table of landmarks, and the video with landmarks."""

import csv
import math
from contextlib import contextmanager
from pathlib import Path

from skwing._utils.files import replacing
from skwing._utils.opencv import cv2
from skwing.datasets._text import number_text

VIDEOS = {".mp4": "mp4v", ".avi": "MJPG"}  # suffix and codec
_COLUMNS = ("frame", "time", "face", "score", "x", "y", "width", "height")
_USUAL_RATE = 25.0  # frames per second of videos that do not state a rate


def about_video(path):
    """Frames per second, and number of frames or None, as a video file states them."""
    video = cv2.VideoCapture(str(path))
    rate, n_frames = video.get(cv2.CAP_PROP_FPS), video.get(cv2.CAP_PROP_FRAME_COUNT)
    video.release()
    usable = math.isfinite(rate) and rate > 0
    return rate if usable else _USUAL_RATE, int(n_frames) if n_frames > 0 else None


@contextmanager
def open_table(path, columns, rate, decimals=None):
    """Context manager: a function that writes the faces of a tracked frame to a CSV file.

    Parameters
    ----------
    path : str or None
        None writes nothing.
    columns : list of str
        Names of the columns of the landmarks.
    rate : float
        Frames per second.
    decimals : int, default=None
        Decimals of coordinates.
    """
    if path is None:
        yield lambda frame: None
        return
    with replacing(path) as file:
        write = csv.writer(file, lineterminator="\n").writerow
        write([*_COLUMNS, *columns])

        def add(frame):
            rows = zip(frame.ids.tolist(), frame.scores, frame.boxes, frame.landmarks, strict=True)
            for face, score, box, points in rows:
                numbers = [frame.index / rate, score, *box, *points.ravel()]
                time, score, *rest = (_cell(x, d) for x, d in _rounded(numbers, decimals))
                write([frame.index, time, face, score, *rest])

        yield add


def _rounded(numbers, decimals):
    """Numbers with their decimals: four for time and score."""
    return [(x, 4 if i < 2 else decimals) for i, x in enumerate(map(float, numbers))]


def _cell(number, decimals):
    if math.isnan(number):
        return ""
    return number_text(number if decimals is None else round(number, decimals))


@contextmanager
def open_video(path, rate):
    """Context manager: a function that writes an RGB image to a video file.

    Parameters
    ----------
    path : str or None
        None writes nothing.
    rate : float
        Frames per second.

    Raises
    ------
    OSError
        If OpenCV cannot write videos of this format.
    """
    video = None

    def add(picture):
        nonlocal video
        if path is None:
            return
        if video is None:
            size = picture.shape[1::-1]
            code = cv2.VideoWriter_fourcc(*VIDEOS[Path(path).suffix.lower()])
            video = cv2.VideoWriter(str(path), code, rate, size)
            if not video.isOpened():
                raise OSError(f"{path}: OpenCV cannot write this video; try .avi instead of .mp4")
        video.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    try:
        yield add
    finally:
        if video is not None:
            video.release()
