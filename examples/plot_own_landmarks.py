"""
How do I describe landmarks of my own?
======================================

A :class:`skwing.LandmarkSchema` names the landmarks of any object, and tells which of them swap
places in a mirror. Training then sees every image from both sides.
"""

# %%
# Drawn butterflies
# -----------------
# Two wings on each side, and a body: ten landmarks.

import cv2
import numpy as np

HALF = np.array([[12, -6], [40, -30], [46, -8], [36, 24]])  # of the right side
BODY = np.array([[0, -16], [0, 18]])


def draw_butterfly(rng):
    """An image, shape (112, 112, 3), and ten landmarks."""
    wings = HALF * rng.uniform(0.85, 1.1, 2) + rng.normal(0, 1.2, HALF.shape)
    left = (wings + rng.normal(0, 0.8, wings.shape)) * [-1, 1]
    angle = rng.normal(0, 0.25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    points = np.concatenate([left, BODY, wings]) @ turn + 56 + rng.uniform(-6, 6, 2)
    (head, tail), sides = points[4:6], (points[:4], points[6:])
    background, colour = rng.uniform(90, 230, 3), rng.uniform(30, 220, 3)
    image = np.tile(background.astype(np.float32), (112, 112, 1))

    def fill(corners, shade):
        cv2.fillPoly(image, [np.int32(16 * np.array(corners))], shade.tolist(), cv2.LINE_AA, 4)

    for root, tip, notch, lobe in sides:
        fill([head, root, tip, notch, (head + tail) / 2], colour)
        fill([(head + tail) / 2, notch, lobe, tail], 0.75 * colour)
        spot = (0.5 * tip + 0.3 * notch + 0.2 * root).round().astype(int).tolist()
        cv2.circle(image, spot, 4, (255 - colour).tolist(), -1, cv2.LINE_AA)
    cv2.line(image, *(p.round().astype(int).tolist() for p in (head, tail)), (20, 20, 20), 4)
    image += rng.normal(0, 5, image.shape)
    return image.clip(0, 255).astype(np.uint8), points


rng = np.random.default_rng(0)
images, landmarks = map(np.array, zip(*(draw_butterfly(rng) for _ in range(110)), strict=True))

# %%
# The schema
# ----------
# "left" and "right" in the names define the mirror pairs; `contours` are lines to draw, given as
# positions in the list of names; `normalizers` are lengths by which errors can be divided.

from skwing import LandmarkSchema

parts = ["root", "tip", "notch", "lobe"]
names = [f"left {part}" for part in parts] + ["head", "tail"] + [f"right {part}" for part in parts]
schema = LandmarkSchema.from_names(
    "butterfly",
    names,
    contours=[
        ("left wings", [4, 0, 1, 2, 3, 5], False),
        ("right wings", [4, 6, 7, 8, 9, 5], False),
        ("body", [4, 5], False),
    ],
    normalizers={"wing_span": ([1], [7])},
)
print([names[i] for i in schema.mirror[:4]])

# %%
# Fit with the schema
# -------------------
# 50 images are enough for drawn butterflies. The network is small, for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.metrics import nme
from skwing.networks import PlainCNN

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    schema=schema,
    max_epochs=60,
    batch_size=8,
    augmentation=Augmentation(deformation=0, occlusion=0),
    random_state=0,
)
model.fit(images[:50], landmarks[:50])
predicted = model.predict(images[50:])
error = nme(landmarks[50:], predicted, normalizer="wing_span", schema=schema)
print(f"mean error: {100 * error:.1f} % of the wing span")

# %%
# New butterflies
# ---------------

from skwing.display import LandmarkDisplay

LandmarkDisplay.from_predictions(
    images[50:],
    landmarks[50:],
    predicted,
    schema=schema,
    normalizer="wing_span",
    order="worst",
    n_images=8,
    n_columns=4,
    margin=0,
)

# %%
# ``schema.to_json("butterfly.json")`` keeps the schema in a file, and models saved with
# :func:`skwing.save_model` contain it.
