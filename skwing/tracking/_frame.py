"""TrackedFrame: faces in one frame of a video, and a picture of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.opencv import cv2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skwing._utils.types import Floats, Ints

_COLOURS = ((240, 228, 66), (86, 180, 233), (0, 158, 115), (204, 121, 167))  # RGB
_MISSED, _FONT = (128, 128, 128), cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, eq=False)
class TrackedFrame:
    """Faces in one frame of a video.

    Attributes
    ----------
    index : int
        Index of the frame, counted from 0.
    image : ndarray of shape (height, width, 3)
        RGB, uint8. It may share memory with the input frame.
    ids : ndarray of int of shape (n_faces,)
        Identifier of each face. It is constant over time and never reused.
    landmarks : ndarray of shape (n_faces, n_landmarks, 2)
        In image pixels; NaN if the fit was rejected in this frame.
    boxes : ndarray of shape (n_faces, 4)
        Boxes ``(x, y, width, height)`` in image pixels that the landmarks were predicted in.
    scores : ndarray of shape (n_faces,)
        Confidence of the predictions, if the regressor was calibrated. Otherwise their
        stability: 1 if landmarks do not move when the box is shifted, 0 if they move as far as
        the box, negative if they move further. NaN if not computed.
    lost : ndarray of int
        Identifiers of the faces that were dropped in this frame.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.tracking import track
    >>> frames, boxes = np.zeros((2, 8, 8, 3), dtype=np.uint8), np.empty((0, 4))
    >>> [frame.index for frame in track(CascadeLandmarkRegressor(), frames, boxes)]
    [0, 1]
    """

    index: int
    image: NDArray[np.uint8] = field(repr=False)
    ids: Ints
    landmarks: Floats = field(repr=False)
    boxes: Floats
    scores: Floats
    lost: Ints

    def draw(self) -> NDArray[np.uint8]:
        """Draw landmarks, boxes, identifiers and scores of the faces.

        Boxes are grey where the fit was rejected.

        Returns
        -------
        picture : ndarray of shape (height, width, 3)
            A copy of the image.

        Examples
        --------
        >>> import numpy as np
        >>> from skwing.tracking import TrackedFrame
        >>> image, none = np.zeros((48, 64, 3), np.uint8), np.array([], int)
        >>> points, box = np.array([[[20.0, 20], [30, 25]]]), np.array([[10.0, 10, 30, 30]])
        >>> frame = TrackedFrame(0, image, np.array([0]), points, box, np.array([0.9]), none)
        >>> frame.draw()[20, 20]
        array([240, 228,  66], dtype=uint8)
        """
        picture = self.image.copy()
        thick = max(1, round(min(picture.shape[:2]) / 240))
        for number, points, box, score in zip(
            self.ids.tolist(), self.landmarks, self.boxes, self.scores, strict=True
        ):
            missed = bool(np.isnan(points).any())
            colour = _MISSED if missed else _COLOURS[number % len(_COLOURS)]
            for point in [] if missed else np.round(8 * points).astype(int).tolist():
                cv2.circle(picture, point, 10 * thick, colour, -1, cv2.LINE_AA, 3)
            x, y, width, height = np.round(box).astype(int).tolist()
            cv2.rectangle(picture, (x, y), (x + width, y + height), colour, thick)
            text = f"{number}" if np.isnan(score) else f"{number}: {score:.2f}"
            cv2.putText(picture, text, (x, y - 4), _FONT, 0.4 * thick, colour, thick, cv2.LINE_AA)
        return picture
