"""
How far off is my model?
========================

One number hides a lot. A report tells which landmarks are hard, in pixels, millimetres or
percent; a curve of cumulative errors tells how many images are good enough.
"""

# %%
# A model and images that it has not seen
# ---------------------------------------
# Drawn faces with the 19 landmarks of AFLW, and a small network for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

style = {"schema": "aflw19", "image_size": 96, "max_yaw": 20}
train, test = (make_faces(n, random_state=i, **style) for i, n in enumerate([200, 100]))

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=25,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
predicted = model.fit(train.data, train.target).predict(test.data)

# %%
# In pixels, landmark by landmark
# -------------------------------
# The median is a typical error. If the mean is much larger, a few predictions are far off.
# Landmarks with large errors need more training images or more careful labels.

from skwing.metrics import landmark_report

print(landmark_report(test.target, predicted, schema=test.schema))

# %%
# In millimetres, if you know the scale of each image: ``landmark_report(..., unit="mm",
# scale=0.1)``. In percent of a length on the object: ``normalizer="inter_ocular"``, or any other
# length that the schema defines.
#
# How many images are good enough?
# --------------------------------
# Each point of a curve is the fraction of images with at most this error. A model is only as
# good as the best guess that ignores the image: the mean position of each landmark in its box.

from skwing import geometry
from skwing.display import CumulativeErrorDisplay

to_boxes = geometry.from_box(train.data.boxes, size=1)
mean = geometry.apply(to_boxes, train.target).mean(axis=0)
guess = geometry.apply(geometry.invert(geometry.from_box(test.data.boxes, size=1)), mean)

shared = {"schema": test.schema, "threshold": 0.2}
display = CumulativeErrorDisplay.from_predictions(test.target, predicted, name="model", **shared)
CumulativeErrorDisplay.from_predictions(
    test.target, guess, name="mean position in the box", ax=display.ax_, **shared
)

# %%
# The area under the curve (AUC) and the fraction of failures depend on the threshold, here
# 20 %: state it whenever you report them.
