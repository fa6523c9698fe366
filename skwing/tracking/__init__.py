"""Tracking of faces in videos: the landmarks of a frame define the boxes of the next.

A detector is needed only for the first frame, or at intervals to find new faces. A face is
tracked while its predictions are stable when the box is perturbed: if the box is shifted
slightly, the predicted landmarks of a face stay at their position, while predictions on
background move with the box.
"""

from skwing.tracking._frame import TrackedFrame
from skwing.tracking._track import track
from skwing.tracking._video import read_video

__all__ = ["TrackedFrame", "read_video", "track"]

# Pickles refer to the public names.
for _part in (TrackedFrame, read_video, track):
    _part.__module__ = __name__
