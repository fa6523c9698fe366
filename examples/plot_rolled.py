"""
My objects are rolled by any angle. Are they found?
===================================================

A network finds objects in crops like those it was trained on: nearly upright, with the box around
the object. `predict` notices when a prediction is doubtful, and repeats it from turned and scaled
crops (``retry=True``, the default).
"""

# %%
# Rolled faces
# ------------
# The model was trained on generated faces that are nearly upright. Here, images and boxes of new
# faces are turned by up to 165 degrees.

from pathlib import Path

import cv2
import numpy as np

from skwing import BoxedImages, load_model
from skwing.datasets import make_faces
from skwing.display import LandmarkDisplay

here = Path(__file__).parent if "__file__" in globals() else Path()
folder = here / "models" if (here / "models").is_dir() else here / "../models"
model = load_model(folder / "drawn.safetensors")

faces = make_faces(12, max_yaw=30, image_size=128, random_state=7)
images, boxes, target = [], [], []
for i, degrees in enumerate(np.linspace(-165, 165, 12)):
    box = faces.data.boxes[i]
    center = box[:2] + box[2:] / 2 - 0.5
    matrix = cv2.getRotationMatrix2D(center.tolist(), degrees, 1.0)
    image = cv2.warpAffine(
        faces.data.decode(i), matrix, (128, 128), borderMode=cv2.BORDER_REPLICATE
    )
    images.append(image)
    boxes.append(box)  # it turns about its centre
    target.append(faces.target[i] @ matrix[:, :2].T + matrix[:, 2])
rolled, target = BoxedImages(images, boxes, schema="ibug68"), np.array(target)

# %%
# Without repeated predictions
# ----------------------------
# Only nearly upright faces are found.

model.set_params(retry=False)
once = model.predict(rolled)
LandmarkDisplay.from_predictions(
    rolled, target, once, order=[0, 2, 4, 6, 8, 10], n_columns=3, margin=0.4
)

# %%
# With repeated predictions
# -------------------------

model.set_params(retry=True)
found = model.predict(rolled)
LandmarkDisplay.from_predictions(
    rolled, target, found, order=[0, 2, 4, 6, 8, 10], n_columns=3, margin=0.4
)

# %%
# The error by angle
# ------------------

import matplotlib.pyplot as plt

figure, ax = plt.subplots(layout="constrained")
for points, label, color in ((once, "one attempt", "#D55E00"), (found, "retry", "#0072B2")):
    errors = np.linalg.norm(points - target, axis=-1).mean(axis=1)
    ax.plot(np.linspace(-165, 165, 12), errors, "o-", label=label, color=color)
    print(f"{label}: {errors.mean():.1f} pixels")
ax.set(
    xlabel="Roll of the face (degrees)",
    ylabel="Mean error of the landmarks (pixels)",
    ylim=(0, None),
)
ax.grid(color="0.9")
ax.legend()
