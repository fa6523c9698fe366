"""
Which predictions should I check by hand?
=========================================

A calibrated model returns a standard deviation for each landmark. Sort by it, and look at the
least sure predictions first; no labels are needed for that.
"""

# %%
# Train, then calibrate on held-out images
# ----------------------------------------
# Errors on training images are too small, so `calibrate` takes images that were not used in
# training. The network is small, for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

style = {"schema": "aflw19", "max_yaw": 30, "image_size": 96}
train, held_out, new = (
    make_faces(n, random_state=i, **style) for i, n in enumerate([200, 60, 100])
)
small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=25,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
model.fit(train.data, train.target).calibrate(held_out.data, held_out.target)
predicted, std = model.predict(new.data, return_std=True)

# %%
# The least sure predictions
# --------------------------
# The radius of each circle is one standard deviation.

from skwing.display import LandmarkDisplay

LandmarkDisplay.from_predictions(
    new.data,
    y_pred=predicted,
    y_std=std,
    order="least sure",
    n_images=6,
    n_std=1,
    contours=False,
    size=3.5,
)

# %%
# Are they really the worst?
# --------------------------
# Here the true landmarks are known. Each point is an image: if the model says that it is unsure,
# its error is larger on average.

import matplotlib.pyplot as plt
import numpy as np

distances = np.linalg.norm(predicted - new.target, axis=-1).mean(axis=1)
figure, ax = plt.subplots(layout="constrained")
ax.scatter(std.mean(axis=1), distances, s=18, color="#0072B2", edgecolor="white", linewidth=0.5)
ax.set(
    xlabel="Mean standard deviation of the landmarks (pixels)",
    ylabel="Mean error of the landmarks (pixels)",
    xlim=(0, None),
    ylim=(0, None),
)
ax.grid(color="0.9")
ax.set_axisbelow(True)

least_sure = np.argsort(-std.mean(axis=1))[:20]
print(f"mean error, all images:       {distances.mean():.1f} pixels")
print(f"mean error, 20 least sure:    {distances[least_sure].mean():.1f} pixels")
