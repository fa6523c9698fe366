"""
Which of two models is better for turned faces?
===============================================

A mean error is dominated by the poses that are frequent in the test set. Plot the error by yaw
to compare models where it matters.
"""

# %%
# Two models: with and without balancing
# --------------------------------------
# In the training images, few faces are turned away; in the test images, all poses are equally
# frequent. The network is small, for speed.

from functools import partial

import numpy as np
from sklearn.pipeline import make_pipeline

from skwing import Augmentation, CascadeLandmarkRegressor, PoseBalancer
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

pose = np.random.default_rng(0).normal(0, [22, 8, 6], (220, 3)).clip(-80, 80)
train = make_faces(220, pose=pose, image_size=96, occlusion=0, random_state=0)
test = make_faces(140, yaw="uniform", max_yaw=75, image_size=96, occlusion=0, random_state=1)

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
plain = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=20,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
models = {"as they are": plain, "balanced": make_pipeline(PoseBalancer(), plain)}
predicted = {
    name: model.fit(train.data, train.target).predict(test.data) for name, model in models.items()
}

# %%
# Error by yaw
# ------------
# Errors are in percent of the size of the face, because the distance between the eyes shrinks
# as a face turns away. Bars are confidence intervals: where they overlap, more test images are
# needed to tell the models apart.

from skwing.display import ErrorByPoseDisplay

ax = None
for name, points in predicted.items():
    display = ErrorByPoseDisplay.from_predictions(
        test.target,
        points,
        test.pose[:, 0],
        bins=[-75, -45, -15, 15, 45, 75],
        normalizer="box",
        boxes=test.data.boxes,
        name=name,
        pose_label="Yaw (degrees)",
        ax=ax,
    )
    ax = display.ax_

# %%
# The faces themselves
# --------------------

from skwing.display import LandmarkDisplay

LandmarkDisplay.from_predictions(
    test.data,
    test.target,
    predicted["balanced"],
    order="pose",
    poses=test.pose[:, 0],
    pose_label="Yaw (degrees)",
    normalizer="box",
    n_images=8,
    n_columns=4,
)
