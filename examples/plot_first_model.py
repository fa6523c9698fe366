"""
A first model, from images to landmarks
=======================================

Images and landmarks in, a model out: fit it, measure it on images that it has not seen, and
look at its worst and best answers.
"""

# %%
# Data
# ----
# :func:`skwing.datasets.make_faces` draws faces with 68 exact landmarks. ``faces.data`` holds
# images and the boxes of the faces, ``faces.target`` the landmarks in image pixels. Replace
# both by your own images; the file readers of :mod:`skwing.datasets` return the same kind of
# object.

from skwing.datasets import make_faces

style = {"image_size": 96, "max_yaw": 20, "occlusion": 0}
train = make_faces(220, random_state=0, **style)
test = make_faces(60, random_state=1, **style)  # other persons
print(train.data.shape, train.target.shape)

# %%
# Fit
# ---
# A small network that reads 32 x 32 pixels keeps this example short. Leave out `networks` and
# the other parameters to train the default, which takes minutes and is several times as
# accurate.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.networks import PlainCNN

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=30,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
model.fit(train.data, train.target)

# %%
# Measure
# -------
# `score` is the negative mean error, normalised by the distance between the outer corners of
# the eyes.

print(f"mean error: {-100 * model.score(test.data, test.target):.1f} % of the eyes' distance")

# %%
# Look at the largest errors
# --------------------------
# White lines join each true landmark with its prediction.

from skwing.display import LandmarkDisplay

LandmarkDisplay.from_estimator(model, test.data, test.target, order="worst", n_images=6)

# %%
# And at the smallest
# -------------------

LandmarkDisplay.from_estimator(model, test.data, test.target, order="best", n_images=6)

# %%
# Keep the model
# --------------
# ``skwing.save_model(model, "faces.safetensors")`` writes one file, and
# ``skwing.load_model("faces.safetensors")`` reads it back on any machine.
