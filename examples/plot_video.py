"""
How do I follow faces through a video?
======================================

:func:`skwing.tracking.track` places the box of each frame around the landmarks of the frame
before. It needs boxes in the first frame only, and notices when a face is lost.
"""

# %%
# A model for one person
# ----------------------
# One person and a small network, for speed. Boxes of tracked faces are less accurate than those
# of a detector, so training shifts them more than usual, and crops have a margin.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

person = {"random_state": 5, "faces_per_identity": 150, "occlusion": 0}
faces = make_faces(150, max_yaw=25, image_size=96, **person)
small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=30,
    margin=0.2,
    batch_size=16,
    augmentation=Augmentation(shift=0.1, deformation=0),
    random_state=0,
)
model.fit(faces.data, faces.target)

# %%
# A clip
# ------
# The camera swings to one side and back, then a hand covers it. For a file, use
# ``skwing.tracking.read_video("clip.mp4")``.

import cv2
import numpy as np

from skwing import geometry

still = make_faces(1, pose=[[5, 0, 0]], image_size=128, box_error=0, **person)
picture = still.data.decode(0)
time = np.linspace(0, 1, 40)
swing = np.sin(np.pi * time)
shift = np.column_stack([18 * swing, 8 * np.cos(2 * np.pi * time) - 8])
moves = geometry.from_parts(0.25 * swing, 1 + 0.1 * swing, shift, 63.5)
frames = [
    cv2.warpAffine(picture, move, (128, 128), borderMode=cv2.BORDER_REPLICATE) for move in moves
]
for frame in frames[26:31]:
    frame[20:] = (196, 154, 120)  # covered

# %%
# Track
# -----
# A score near 1 means that the landmarks stay in place if the box is shifted. Below `threshold`
# there are no landmarks; after `patience` such frames the face is dropped.

from skwing.tracking import track

tracked = list(track(model, frames, still.data.boxes, patience=10))
scores = np.array([frame.scores[0] if len(frame.scores) else np.nan for frame in tracked])

# %%
# Some frames, and the score
# --------------------------

import matplotlib.pyplot as plt

shown = [0, 8, 16, 24, 28, 36]
figure = plt.figure(figsize=(9, 4), layout="constrained")
grid = figure.add_gridspec(2, len(shown))
for column, i in enumerate(shown):
    ax = figure.add_subplot(grid[0, column])
    ax.imshow(tracked[i].image)
    for points in tracked[i].landmarks:
        ax.plot(*points.T, ".", color="#F0E442", markersize=2)
    ax.set_title(f"frame {i}", fontsize="medium")
    ax.set_axis_off()
ax = figure.add_subplot(grid[1, :])
ax.plot(scores, ".-", color="#0072B2")
ax.axhline(0.5, color="0.4", linestyle="--", label="threshold")
ax.axvspan(25.5, 30.5, color="0.9", label="face covered")
ax.set(xlabel="Frame", ylabel="Score", xlim=(-0.5, len(frames) - 0.5), ylim=(None, 1))
ax.legend(loc="lower left")

# %%
# ``examples/video.py`` tracks several faces in a file, finds new ones with a detector, and writes
# a video with their landmarks.
