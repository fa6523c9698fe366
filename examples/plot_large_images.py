"""
Do large images give smaller errors?
====================================

A crop of 128 pixels shows a large image at a fraction of its resolution. A last stage can read
small patches around the landmarks instead, at the resolution that the image has.
"""

# %%
# Drawn plates in large images
# ----------------------------
# The landmarks are the corners of a plate, in images of 600 pixels.

import cv2
import numpy as np

CORNERS = np.array([[-180, -120], [60, -170], [190, -40], [110, 150], [-140, 130], [-60, 10]])


def draw_plate(rng):
    """An image, shape (600, 600, 3), and six landmarks."""
    angle = rng.normal(0, 0.15)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = (CORNERS + rng.normal(0, 8, CORNERS.shape)) @ turn + 300 + rng.uniform(-25, 25, 2)
    image = np.tile(rng.uniform(140, 220, 3).astype(np.float32), (600, 600, 1))
    plate = rng.uniform(20, 100, 3).tolist()
    cv2.fillPoly(image, [np.int32(16 * points)], plate, cv2.LINE_AA, 4)
    image += cv2.resize(rng.normal(0, 12, (300, 300, 3)), (600, 600))
    return image.clip(0, 255).astype(np.uint8), points


rng = np.random.default_rng(0)
images, landmarks = map(np.array, zip(*(draw_plate(rng) for _ in range(80)), strict=True))
train, test = slice(0, 64), slice(64, 80)

# %%
# A stage that reads patches
# --------------------------
# By default, a stage of patches is added to the cascade if the images are large enough:
# ``CascadeLandmarkRegressor()`` has three stages here. To be quick, this page trains two small
# networks instead, the second of them on patches of 32 pixels.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.networks import PatchCNN, PlainCNN

coarse = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
fine = partial(PatchCNN, input_size=256, patch_size=32, width=16, n_hidden=64, scatter=0.02)
model = CascadeLandmarkRegressor(
    networks=(coarse, fine),
    max_epochs=(60, 40),
    batch_size=16,
    augmentation=Augmentation(deformation=0, occlusion=0),
    random_state=0,
)
model.fit(images[train], landmarks[train])

# %%
# The error of each stage
# -----------------------
# `staged_predict` yields the landmarks after each stage.

found = list(model.staged_predict(images[test]))
for name, points in zip(["crop", "patches"], found, strict=True):
    errors = np.linalg.norm(points - landmarks[test], axis=-1)
    print(f"{name}: {errors.mean():.2f} pixels")

# %%
# Patches around the landmarks
# ----------------------------
# The network sees each landmark in the middle of a patch, where the first stage expects it.

import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle

REACH = 30  # half of the side of a patch, in pixels of the image
figure, axes = plt.subplot_mosaic(
    [["image", "image", 0, 1, 2], ["image", "image", 3, 4, 5]],
    figsize=(9, 3.8),
    layout="constrained",
)
image, truth = images[test][0], landmarks[test][0]
before, after = (points[0] for points in found)
axes["image"].imshow(image)
for i, (x, y) in enumerate(before):
    corner = (x - REACH, y - REACH)
    for ax in (axes["image"], axes[i]):
        ax.set(xticks=[], yticks=[])
    axes["image"].add_patch(
        Rectangle(corner, 2 * REACH, 2 * REACH, fill=False, edgecolor="#F0E442", linewidth=1.5)
    )
    axes[i].imshow(image, interpolation="nearest")
    axes[i].plot(*truth[i], "o", markersize=14, markerfacecolor="none", markeredgecolor="white")
    axes[i].plot(*before[i], "x", color="#F0E442", markersize=9, markeredgewidth=2)
    axes[i].plot(*after[i], "+", color="#56B4E9", markersize=12, markeredgewidth=2)
    axes[i].set(xlim=(x - REACH, x + REACH), ylim=(y + REACH, y - REACH))
axes["image"].set_title("patches in an image of 600 pixels", fontsize=10)
axes[1].set_title("ring: truth, x: crop, +: patches", fontsize=10)

# %%
# The first stage, which sees the plate at 32 pixels, is wrong by many pixels of the image. The
# corners are sharp in the patches, so that the second stage finds them.
