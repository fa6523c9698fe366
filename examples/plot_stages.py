"""
What does each stage of the cascade see?
========================================

The first network reads the box. Its landmarks turn the face upright and correct the box, so that
the second network reads an easier image.
"""

# %%
# A cascade of two small networks
# -------------------------------
# Both are much smaller than the default networks, and trained for few epochs.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

train = make_faces(150, max_yaw=20, image_size=96, occlusion=0, random_state=0)
small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small, small),
    max_epochs=(35, 12),
    batch_size=16,
    augmentation=Augmentation(deformation=0, rotation=(40, 10)),
    random_state=0,
)
model.fit(train.data, train.target)

# %%
# Rolled faces in inaccurate boxes
# --------------------------------
# `staged_predict` yields the landmarks after each stage.

faces = make_faces(
    4,
    pose=[[0, 0, 30], [15, 0, -30], [-10, 0, 20], [5, 5, -15]],
    image_size=128,
    occlusion=0,
    box_error=1.5,
    random_state=7,
)
first, second = model.staged_predict(faces.data)

# %%
# Cut the crops
# -------------
# A matrix maps image pixels to the pixels of a crop: for the first stage it follows from the
# box, for the second from the landmarks of the first, which it aligns with the mean shape. Crops
# are cut here at 128 pixels instead of 32, to be seen better.

import cv2
import numpy as np

from skwing import geometry

SIZE, MARGIN = 128, 0.08  # the default margin of the second stage


def align_with_mean(points):
    """Matrices that move landmarks onto the mean shape in the middle of a crop."""
    low, high = model.mean_shape_.min(axis=0), model.mean_shape_.max(axis=0)
    scale = SIZE / ((1 + 2 * MARGIN) * (high - low).max())
    wanted = (model.mean_shape_ - (low + high) / 2) * scale + (SIZE - 1) / 2
    return geometry.similarity(points, np.broadcast_to(wanted, points.shape))


matrices = [geometry.from_box(faces.data.boxes, SIZE), align_with_mean(first)]
found = [first, second]

# %%
# Image, first crop, second crop
# ------------------------------

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

titles = ["image and box", "stage 1 sees the box", "stage 2 sees it upright"]
figure, axes = plt.subplots(3, len(faces.data), figsize=(8, 6.4), layout="constrained")
for i, column in enumerate(axes.T):
    image = faces.data.decode(i)
    x, y, width, height = faces.data.boxes[i]
    column[0].imshow(image)
    frame = (x - 0.5, y - 0.5), width, height
    column[0].add_patch(Rectangle(*frame, fill=False, edgecolor="#F0E442", linewidth=2))
    for ax, matrix, points in zip(column[1:], matrices, found, strict=True):
        crop = cv2.warpAffine(image, matrix[i], (SIZE, SIZE), borderMode=cv2.BORDER_REPLICATE)
        ax.imshow(crop)
        ax.plot(*geometry.apply(matrix[i], points[i]).T, ".", color="#F0E442", markersize=3)
        ax.set(xlim=(-0.5, SIZE - 0.5), ylim=(SIZE - 0.5, -0.5))
for ax in axes.ravel():
    ax.set(xticks=[], yticks=[])
for ax, title in zip(axes[:, 0], titles, strict=True):
    ax.set_ylabel(title)

# %%
# The dots are what each stage answers. The last row is upright, whatever the roll of the head,
# and the face fills the crop: the second stage has only small errors left to correct.
